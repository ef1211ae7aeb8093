"""The sweep: every set of layers over many samples of one task (REFERENCE section 1).

1. *Samples*: for each (query, answer) the full prompt, the target prompt and the answer token.  ``exact`` follows the
   definitions (DESIGN section 2).  ``released`` follows the code released with arXiv 2602.07930 (REFERENCE, departures
   2 and 3): the target is the bare query, patched at its first token, and the answer token is the first token of the
   answer without a leading space.
2. The source vectors depend on the instruction alone: computed once.
3. *Blocks*: samples of equal length that agree up to the patch position run together, at most ``BLOCK_SAMPLES`` at a
   time.  A block is what is finished, stored and resumed as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..activations import source_vectors
from ..errors import AnswerError, InputError, PromptError, quote
from ..metrics import CONVENTIONS, Measures, measure_rows
from ..models import LoadedModel
from ..prompts import Answer, bare_answer, bare_ids, build_answer, build_prompt
from .sets import LayerSet
from .shared_prefix import final_residuals

__all__ = [
    "BLOCK_SAMPLES",
    "MEMORY_BUDGET",
    "SweepBlock",
    "SweepSample",
    "build_samples",
    "plan_blocks",
    "sweep_block",
    "task_vectors",
]

BLOCK_SAMPLES = 16
MEMORY_BUDGET = 2 * 2**30
"""Bytes that intermediate results may take beside the weights, where the user names no other figure."""


@dataclass(frozen=True)
class SweepSample:
    """One (query, answer) as the model reads it."""

    ids_full: tuple[int, ...]
    t_inst: int
    """Position in the full prompt at which the source vectors are read."""
    ids_target: tuple[int, ...]
    patch_position: int
    answer: Answer


@dataclass(frozen=True)
class SweepBlock:
    """What a block of samples gave."""

    full: Measures
    """Full prompts, shape (n_block,)."""
    target: Measures
    """Targets alone, shape (n_block,)."""
    patched: Measures
    """Shape (n_sets, n_block)."""


def build_samples(
    model: LoadedModel,
    instruction: str,
    items: Sequence[tuple[str, str]],
    *,
    convention: str = "exact",
    filler: str = "bos",
) -> tuple[SweepSample, ...]:
    """Cut every (query text, answer) into a sample, in order.

    Args:
        model: whose tokenizer cuts; takes its own lock.
        instruction: shared by all samples.
        items: query texts such as ``Adjective: big. Answer:`` with their answers; at least one.
        convention: ``exact`` or ``released``.
        filler: as in ``build_prompt``; without meaning for ``released``, which has none.

    Raises:
        InputError: no items, or no such convention.
        PromptError, AnswerError: a prompt or an answer cannot be used; the message names its query.
    """
    if convention not in CONVENTIONS:
        raise InputError(f"Unknown convention {convention!r}; choose one of {', '.join(CONVENTIONS)}.")
    if not items:
        raise InputError("There are no samples to sweep over; give at least one query with its answer.")
    with model.lock:
        samples = tuple(_build_named(model, instruction, *item, convention, filler) for item in items)
    first = samples[0]
    for sample in samples:
        if sample.ids_full[: sample.t_inst + 1] != first.ids_full[: first.t_inst + 1]:
            raise PromptError(
                "The tokenizer cuts the instruction differently before different queries, so they have no source "
                "vectors in common; end the instruction with a full stop."
            )
    return samples


def _build_named(
    model: LoadedModel, instruction: str, query: str, answer: str, convention: str, filler: str
) -> SweepSample:
    """As ``_build``; among a hundred queries an error must say which one it is about."""
    try:
        return _build(model, instruction, query, answer, convention, filler)
    except (PromptError, AnswerError) as error:
        raise type(error)(f"The query {quote(query)}: {error}") from error


def _build(model: LoadedModel, instruction: str, query: str, answer: str, convention: str, filler: str) -> SweepSample:
    prompt = build_prompt(model.tokenizer, instruction, query, filler=filler)
    if convention == "exact":
        target, position = prompt.ids_target, prompt.patch_position
        expected = build_answer(model.tokenizer, prompt, answer)
    else:
        target, position = bare_ids(model.tokenizer, query), 0
        expected = bare_answer(model.tokenizer, answer)
    longest = max(len(prompt.ids_full), len(target))
    if model.n_positions is not None and longest > model.n_positions:
        raise PromptError(
            f"A prompt has {longest} tokens but the model takes {model.n_positions}; shorten instruction or queries."
        )
    return SweepSample(prompt.ids_full, prompt.t_inst, target, position, expected)


def plan_blocks(samples: Sequence[SweepSample], most: int = BLOCK_SAMPLES) -> tuple[tuple[int, ...], ...]:
    """Indices of the samples that run together; depends on the samples alone, so that a run can be resumed."""
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, sample in enumerate(samples):
        start = sample.ids_target[: sample.patch_position + 1]
        alike[len(sample.ids_full), len(sample.ids_target), start].append(i)
    return tuple(
        tuple(members[first : first + most]) for members in alike.values() for first in range(0, len(members), most)
    )


@torch.no_grad()
def sweep_block(
    model: LoadedModel,
    vectors: Tensor,
    samples: Sequence[SweepSample],
    sets: Sequence[LayerSet],
    *,
    memory_budget: int = MEMORY_BUDGET,
    on_share: Callable[[float], None] | None = None,
) -> SweepBlock:
    """Measure one block.

    Args:
        model: takes its own lock.
        vectors: source vectors, tensor of shape (n_layers, d_model).
        samples: of one block of ``plan_blocks``.
        sets: checked layer sets, none empty.
        memory_budget: bytes that intermediate results may take.
        on_share: told the share of the block that is done; may raise to stop.

    Raises:
        DamagedModelError: the logits are not finite.
    """
    answers = [sample.answer.id for sample in samples]
    with model.lock:
        full_ids = torch.tensor([sample.ids_full for sample in samples], device=model.device)
        full = model.hf(input_ids=full_ids, use_cache=False, logits_to_keep=1).logits[:, -1]
        targets = torch.tensor([sample.ids_target for sample in samples], device=model.device)
        finals = final_residuals(
            model.network,
            vectors,
            targets,
            samples[0].patch_position,
            ((), *sets),
            memory_budget=memory_budget,
            on_block=on_share,
        )
        patched = _measure_all(model, finals, answers, memory_budget)
        return SweepBlock(
            measure_rows(full, answers),
            Measures(patched.rank[0], patched.logit[0], patched.logprob[0]),
            Measures(patched.rank[1:], patched.logit[1:], patched.logprob[1:]),
        )


def _measure_all(model: LoadedModel, finals: Tensor, answers: Sequence[int], memory_budget: int) -> Measures:
    """Measures of shape (n_sets, n_samples) from final residuals (n_sets, n_samples, d_model)."""
    n_sets, n_samples, _ = finals.shape
    rows_at_once = max(1, memory_budget // (32 * model.vocab_size))
    ids = list(answers) * n_sets
    parts = [
        measure_rows(model.network.logits(rows), ids[first : first + len(rows)])
        for first, rows in zip(
            range(0, n_sets * n_samples, rows_at_once), finals.flatten(0, 1).split(rows_at_once), strict=True
        )
    ]

    shape = (n_sets, n_samples)
    return Measures(
        np.concatenate([part.rank for part in parts]).reshape(shape),
        np.concatenate([part.logit for part in parts]).reshape(shape),
        np.concatenate([part.logprob for part in parts]).reshape(shape),
    )


def task_vectors(model: LoadedModel, samples: Sequence[SweepSample]) -> Tensor:
    """The source vectors that all samples share: tensor of shape (n_layers, d_model)."""
    first = samples[0]
    return source_vectors(model, first.ids_full[: first.t_inst + 1], first.t_inst)
