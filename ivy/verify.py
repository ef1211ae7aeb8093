"""What the ivy checkpoints can do, measured: the table that ``python -m ivy verify`` prints and the model cards quote.

1. *Following.* EMA and IA over all bundled tasks, n prompts a task, for three splits: trained pairs with trained
   wordings, trained pairs with held-out paraphrases, held-out pairs with trained wordings; and, hardest, held-out
   pairs with held-out paraphrases.
2. *The phenomenon.* On the four contrastive tasks, the canonical instruction: RR of the full prompt and of the target
   alone, and the share of the difference that patching the best set of at most two layers recovers. The set is chosen
   on one half of the queries and measured on the other, so that choosing among 36 sets does not flatter it; 95%
   bootstrap interval over queries.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ivcore.activations import source_vectors
from ivcore.behaviour import greedy_answers, judge
from ivcore.metrics import measure
from ivcore.models import LoadedModel, load_model
from ivcore.patching import final_residuals, layer_sets
from ivcore.prompts import build_answer, build_prompt
from ivcore.prompts.tasks import Task, load_task, query_text, task_names
from ivcore.stats import ratio_interval
from ivy.corpus import heldout_instructions, is_heldout_pair, trained_instructions
from ivy.train import CHECKPOINTS

STAGES = ("ivy-base", "ivy-sft", "ivy-dpo")
CONTRASTIVE = ("adj_comp", "adj_ant", "anim_color", "can_fly")
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Following:
    """EMA and IA on one split: means over tasks, the lowest task's EMA, and prompts in all."""

    split: str
    ema: float
    ia: float
    worst_task: str
    worst_ema: float
    n: int
    by_task: dict[str, float]


@dataclass(frozen=True)
class Recovery:
    """The best set of at most two layers, chosen on other queries, and the share of the RR it recovers with its 95%
    interval.
    """

    task: str
    full_rr: float
    target_rr: float
    layers: tuple[int, ...]
    recovery: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Verification:
    """Everything measured on one checkpoint."""

    ref: str
    fingerprint: str
    following: tuple[Following, ...]
    recoveries: tuple[Recovery, ...]


def verify(ref: str, n: int = 100, seed: int = 0, folder: Path = CHECKPOINTS) -> Verification:
    """Measure one checkpoint; ``n`` prompts for each task and split, and n queries for each recovery."""
    model = load_model(str(folder / ref))
    rng = random.Random(seed)
    splits = [(pair, paraphrase) for pair in (False, True) for paraphrase in (False, True)]
    following = tuple(_following(model, pair, paraphrase, n, rng) for pair, paraphrase in splits)
    return Verification(
        ref, model.fingerprint, following, tuple(_recovery(model, load_task(name), n, rng) for name in CONTRASTIVE)
    )


def _following(
    model: LoadedModel, heldout_pairs: bool, heldout_paraphrases: bool, n: int, rng: random.Random
) -> Following:
    tasks = [load_task(name) for name in task_names()]
    drawn = [(task, *pair) for task in tasks for pair in _draw(task, heldout_pairs, heldout_paraphrases, n, rng)]
    prompts = [model.tokenizer(prompt, add_special_tokens=False).input_ids for _, prompt, _ in drawn]
    exact: dict[str, list[bool]] = defaultdict(list)
    valid: dict[str, list[bool]] = defaultdict(list)
    for (task, _, answer), said in zip(drawn, greedy_answers(model, prompts), strict=True):
        verdict = judge(task.rule, said, answer)
        exact[task.name].append(verdict.exact)
        valid[task.name].append(verdict.valid)
    by_task = {name: float(np.mean(values)) for name, values in exact.items()}
    worst = min(by_task, key=by_task.__getitem__)
    pairs, wordings = ("held-out" if held else "trained" for held in (heldout_pairs, heldout_paraphrases))
    return Following(
        split=f"{pairs} pairs, {wordings} wordings",
        ema=float(np.mean(list(by_task.values()))),
        ia=float(np.mean([np.mean(values) for values in valid.values()])),
        worst_task=worst,
        worst_ema=by_task[worst],
        n=len(drawn),
        by_task=by_task,
    )


def _draw(
    task: Task, heldout_pairs: bool, heldout_paraphrases: bool, n: int, rng: random.Random
) -> list[tuple[str, str]]:
    pairs = [
        (q, a)
        for q, a in zip(task.queries, task.answers, strict=True)
        if is_heldout_pair(task.name, q) == heldout_pairs
    ]
    wordings = (heldout_instructions if heldout_paraphrases else trained_instructions)(task.name)
    return [
        (f"{rng.choice(wordings)} {query_text(task.field, query)}", answer) for query, answer in rng.choices(pairs, k=n)
    ]


def _recovery(model: LoadedModel, task: Task, n: int, rng: random.Random) -> Recovery:
    pairs = list(zip(task.queries, task.answers, strict=True))
    rng.shuffle(pairs)
    half = min(n, len(pairs) // 2)
    full, target, patched = reciprocal_ranks(model, task, pairs[: 2 * half])
    sets = layer_sets(model.n_layers, 2)
    chosen = int(np.argmax(patched[:, :half].mean(axis=1)))
    found = ratio_interval(patched[chosen, half:] - target[half:], full[half:] - target[half:])
    return Recovery(
        task=task.name,
        full_rr=float(full[half:].mean()),
        target_rr=float(target[half:].mean()),
        layers=sets[chosen],
        recovery=found.value,
        low=found.low,
        high=found.high,
        n=len(full) - half,
    )


def reciprocal_ranks(
    model: LoadedModel, task: Task, pairs: list[tuple[str, str]]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """RR of the full prompt (n,), of the target alone (n,), and patched with every set of one or two layers (n_sets,
    n).
    """
    prompts = [build_prompt(model.tokenizer, task.instruction, query_text(task.field, query)) for query, _ in pairs]
    answers = [
        build_answer(model.tokenizer, prompt, answer).id for prompt, (_, answer) in zip(prompts, pairs, strict=True)
    ]
    vectors = source_vectors(model, prompts[0].ids_source, prompts[0].t_inst)
    sets = ((), *layer_sets(model.n_layers, 2))
    full, patched = np.empty(len(pairs)), np.empty((len(sets), len(pairs)))
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        by_length[len(prompt.ids_full)].append(i)
    with model.lock, torch.no_grad():
        for members in by_length.values():
            targets = torch.tensor([prompts[i].ids_target for i in members], device=model.device)
            finals = final_residuals(
                model.network, vectors, targets, prompts[members[0]].patch_position, sets, memory_budget=2**30
            )
            whole = model.hf(
                torch.tensor([prompts[i].ids_full for i in members], device=model.device), logits_to_keep=1
            ).logits
            for column, i in enumerate(members):
                full[i] = measure(whole[column], answers[i])[0].rr
                patched[:, i] = [m.rr for m in measure(model.network.logits(finals[:, column]), answers[i])]
    return full, patched[0], patched[1:]


def as_markdown(results: list[Verification]) -> str:
    """The table of several checkpoints, as the README and the model cards show it."""
    lines = ["| model | split | EMA | IA | lowest task | n |", "|---|---|---|---|---|---|"]
    for result in results:
        for row in result.following:
            lowest = f"{row.worst_task} {row.worst_ema:.2f}"
            lines.append(f"| {result.ref} | {row.split} | {row.ema:.3f} | {row.ia:.3f} | {lowest} | {row.n} |")
    lines += ["", "| model | task | RR full | RR target alone | best layers | recovered (95% interval) | n |"]
    lines.append("|---|---|---|---|---|---|---|")
    for result in results:
        for found in result.recoveries:
            layers = ", ".join(map(str, found.layers))
            interval = "not defined" if found.low is None else f"{found.low:.2f} to {found.high:.2f}"
            share = "not defined" if found.recovery is None else f"{found.recovery:.2f} ({interval})"
            ranks = f"{found.full_rr:.3f} | {found.target_rr:.3f}"
            lines.append(f"| {result.ref} | {found.task} | {ranks} | {layers} | {share} | {found.n} |")
    return "\n".join(lines)
