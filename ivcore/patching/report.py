"""What patching does to one prompt: full prompt, target alone, and every patch set (DESIGN section 2).

1. Source vectors: residuals of the full prompt's tokens up to ``t_inst``, at ``t_inst``, after every block.
2. The full prompt, plainly; its best token is the answer where none is given.
3. Target alone and all patch sets in one shared-prefix pass; logits at the last position only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ..activations import source_vectors
from ..errors import PromptError
from ..metrics import Metrics, TokenScore, measure, top_tokens
from ..models import LoadedModel
from ..prompts import Answer, Prompt, token_answer, token_text
from .sets import check_sets
from .shared_prefix import final_residuals

__all__ = ["Outcome", "PatchReport", "Patched", "patch"]


@dataclass(frozen=True)
class Outcome:
    """The answer's metrics in one forward pass, and the model's best tokens there."""

    metrics: Metrics
    top: tuple[TokenScore, ...]


@dataclass(frozen=True)
class Patched:
    """The same for the target prompt with one set of layers patched."""

    layers: tuple[int, ...]
    """Ascending, 0-based."""
    metrics: Metrics
    top: tuple[TokenScore, ...]


@dataclass(frozen=True)
class PatchReport:
    """The effect of patching on one prompt."""

    prompt: Prompt
    answer: Answer
    full: Outcome
    target: Outcome
    patched: tuple[Patched, ...]
    """In the order in which the sets were given."""
    seconds: float
    """Wall time, waiting for the model not counted."""


def patch(
    model: LoadedModel,
    prompt: Prompt,
    answer: Answer | None,
    sets: Sequence[Sequence[int]],
    *,
    top_k: int = 10,
    memory_budget: int = 2 * 2**30,
) -> PatchReport:
    """Patch the instruction's source vectors into the target prompt, once for each set of layers.

    Args:
        model: takes its own lock.
        prompt: made with this model's tokenizer.
        answer: None for the model's own best token on the full prompt.
        sets: sets of 0-based layers, such as ``layer_sets(model.n_layers, 2)``; may be empty.
        top_k: how many of the best tokens to report for each.
        memory_budget: bytes that intermediate results may take; a smaller budget is slower, never different.

    Raises:
        LayerError: a set is empty, repeated or out of range.
        PromptError: the prompt is longer than the model's context or was made with another model's tokenizer.
        DamagedModelError: the logits are not finite.
    """
    chosen = check_sets(sets, model.n_layers)
    _check_prompt(model, prompt)
    with model.lock, torch.no_grad():
        start = time.perf_counter()
        vectors = source_vectors(model, prompt.ids_source, prompt.t_inst)
        full_logits = _plain_logits(model, prompt.ids_full)
        answer = answer or token_answer(model.tokenizer, int(full_logits[0].argmax()))
        target_ids = torch.tensor([prompt.ids_target], device=model.device)
        finals = final_residuals(
            model.network, vectors, target_ids, prompt.patch_position, ((), *chosen), memory_budget=memory_budget
        )[:, 0]
        outcomes = [
            *_outcomes(model, full_logits, answer, top_k),
            *(o for rows in _logits(model, finals, memory_budget) for o in _outcomes(model, rows, answer, top_k)),
        ]
        seconds = time.perf_counter() - start
    patched = tuple(Patched(s, o.metrics, o.top) for s, o in zip(chosen, outcomes[2:], strict=True))
    return PatchReport(prompt, answer, outcomes[0], outcomes[1], patched, seconds)


def _plain_logits(model: LoadedModel, ids: Sequence[int]) -> Tensor:
    """Logits at the last position of an ordinary forward pass: tensor of shape (1, vocab_size)."""
    rows = torch.tensor([list(ids)], device=model.device)
    logits: Tensor = model.hf(input_ids=rows, use_cache=False, logits_to_keep=1).logits[:, -1]
    return logits


def _logits(model: LoadedModel, finals: Tensor, memory_budget: int) -> Iterator[Tensor]:
    """Logits of final residuals (n, d_model), in parts that fit the budget together with what is measured on them."""
    rows = max(1, memory_budget // (32 * model.vocab_size))
    for part in finals.split(rows):
        yield model.network.logits(part)


def _outcomes(model: LoadedModel, logits: Tensor, answer: Answer, top_k: int) -> list[Outcome]:
    @cache
    def text_of(token_id: int) -> str:
        return token_text(model.tokenizer, token_id)

    best = top_tokens(logits, top_k, text_of)
    return [Outcome(metrics, top) for metrics, top in zip(measure(logits, answer.id), best, strict=True)]


def _check_prompt(model: LoadedModel, prompt: Prompt) -> None:
    longest = max(len(prompt.ids_full), len(prompt.ids_target))
    if model.n_positions is not None and longest > model.n_positions:
        raise PromptError(
            f"The prompt has {longest} tokens but the model takes {model.n_positions}; shorten instruction or query."
        )
    if max(*prompt.ids_full, *prompt.ids_target) >= model.vocab_size:
        raise PromptError("The prompt was made with another model's tokenizer; build it again with this model's.")
