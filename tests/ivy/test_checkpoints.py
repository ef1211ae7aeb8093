"""The bundled checkpoints do what the app shows: they follow instructions, and the instruction vector carries them."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from ivcore.activations import source_vectors
from ivcore.behaviour import greedy_answers, judge
from ivcore.metrics import measure
from ivcore.models import LoadedModel, load_model
from ivcore.patching import layer_sets, patch
from ivcore.prompts import build_answer, build_prompt
from ivcore.prompts.tasks import Task, load_task, query_text, task_names
from ivy.corpus import heldout_instructions, is_heldout_pair
from ivy.train import CHECKPOINTS
from ivy.verify import STAGES, as_markdown, reciprocal_ranks, verify

pytestmark = pytest.mark.slow
MEGABYTE = 1_000_000


@pytest.fixture(scope="module", params=["ivy-sft", "ivy-dpo"])
def tuned(request: pytest.FixtureRequest) -> LoadedModel:
    return load_model(request.param)


@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_is_small_complete_and_has_a_card(stage: str) -> None:
    folder = CHECKPOINTS / stage
    assert (folder / "model.safetensors").stat().st_size < 20 * MEGABYTE
    logs = json.loads((folder / "training.json").read_text())
    assert logs and all(log["losses"][-1][1] < log["losses"][0][1] for log in logs)
    assert stage in (folder / "README.md").read_text()


def exact_share(model: LoadedModel, tasks: list[Task], said_for: list[Task]) -> float:
    """EMA on trained pairs when prompts ask for ``tasks`` and answers are judged as those of ``said_for``."""
    rng = random.Random(0)
    prompts, expected = [], []
    for task, judged in zip(tasks, said_for, strict=True):
        for _ in range(6):
            query = rng.choice([q for q in task.queries if not is_heldout_pair(task.name, q)])
            instruction = rng.choice(heldout_instructions(task.name))
            prompts.append(model.tokenizer(f"{instruction} {query_text(task.field, query)}").input_ids)
            expected.append((judged, judged.answer(query)))
    answers = greedy_answers(model, prompts)
    return float(np.mean([judge(t.rule, said, a).exact for said, (t, a) in zip(answers, expected, strict=True)]))


def test_it_follows_wordings_it_never_saw(tuned: LoadedModel) -> None:
    tasks = [load_task(name) for name in task_names()]
    assert exact_share(tuned, tasks, tasks) > 0.8
    crossed = [load_task(a) for a in ("adj_comp", "adj_ant", "anim_color", "can_fly")]
    other = [load_task(str(task.pair)) for task in crossed]
    assert exact_share(tuned, crossed, other) < 0.1, "the other task's answers must not count"


def test_patching_the_instruction_vector_brings_the_answer_back_and_another_vector_does_not(
    tuned: LoadedModel,
) -> None:
    """With the vector of the *other* instruction of the pair, the same patches help this answer much less."""
    gains = {}
    for name in ("anim_color", "can_fly"):
        task = load_task(name)
        other = load_task(str(task.pair))
        pairs = list(zip(task.queries, task.answers, strict=True))[:40]
        _, target, patched = reciprocal_ranks(tuned, task, pairs)
        best = int(np.argmax(patched.mean(axis=1)))
        layers = layer_sets(tuned.n_layers, 2)[best]
        wrong = []
        for query, answer in pairs[:15]:
            prompt = build_prompt(tuned.tokenizer, other.instruction, query_text(task.field, query))
            report = patch(tuned, prompt, build_answer(tuned.tokenizer, prompt, answer), [layers])
            wrong.append(report.patched[0].metrics.rr)
        gains[name] = (patched[best].mean() - target.mean(), np.mean(wrong) - target[:15].mean())
    for name, (own, others) in gains.items():
        assert own > 0.1 and own > others + 0.1, (name, gains)


def test_the_numbers_of_verify_are_those_of_a_plain_forward_pass(tuned: LoadedModel) -> None:
    task = load_task("adj_ant")
    pairs = list(zip(task.queries, task.answers, strict=True))[:6]
    full, target, patched = reciprocal_ranks(tuned, task, pairs)
    assert patched.shape == (len(layer_sets(tuned.n_layers, 2)), 6)
    for i, (query, answer) in enumerate(pairs):
        prompt = build_prompt(tuned.tokenizer, task.instruction, query_text(task.field, query))
        token = build_answer(tuned.tokenizer, prompt, answer).id
        for ids, expected in ((prompt.ids_full, full[i]), (prompt.ids_target, target[i])):
            with torch.no_grad():
                logits = tuned.hf(torch.tensor([ids])).logits[:, -1]
            assert measure(logits, token)[0].rr == expected
        vectors = source_vectors(tuned, prompt.ids_source, prompt.t_inst)
        layer, column = 3, layer_sets(tuned.n_layers, 2).index((3,))

        def overwrite(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            output[:, prompt.patch_position] = vectors[layer]  # noqa: B023
            return output

        handle = tuned.hf.model.layers[layer].register_forward_hook(overwrite)
        try:
            with torch.no_grad():
                logits = tuned.hf(torch.tensor([prompt.ids_target])).logits[:, -1]
        finally:
            handle.remove()
        assert measure(logits, token)[0].rr == pytest.approx(patched[column, i])


def test_verify_prints_a_table() -> None:
    result = verify("ivy-sft", n=4)
    table = as_markdown([result])
    assert "nan" not in table
    assert table.count("| ivy-sft |") == len(result.following) + len(result.recoveries)
    assert 0 <= min(row.ema for row in result.following) <= max(row.ia for row in result.following) <= 1
