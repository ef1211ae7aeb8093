"""How well a model's logits rank the answer: DESIGN section 2 (rank, RR, effect, recovery).

1. ``measure``: rank (by counting strictly higher logits, so ties share the better rank), reciprocal rank, logit and
   log-probability of one token; ``measure_rows`` the same for many rows, each with an answer of its own, as arrays.
2. ``top_tokens``: the most probable tokens of one row of logits.
3. ``effect`` and ``recovery``: one patched measurement against the target prompt alone and the full prompt.
4. ``reciprocal_ranks``: as defined, or as the released code computes them (REFERENCE, departure 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import DamagedModelError, InputError
from .stats import ratio

__all__ = [
    "CONVENTIONS",
    "METRICS",
    "Measures",
    "Metrics",
    "TokenScore",
    "effect",
    "measure",
    "measure_rows",
    "reciprocal_ranks",
    "recovery",
    "top_tokens",
]

METRICS = ("rr", "logit", "logprob")
"""The names under which effects are reported."""

CONVENTIONS = ("exact", "released")
"""As defined, or as the code released with arXiv 2602.07930 computes it."""

_LAST_RELEASED_RANK = 1000
"""The released code gives every rank beyond this one the reciprocal rank -1."""


@dataclass(frozen=True)
class Metrics:
    """How one row of logits treats the answer token."""

    rank: int
    """1 + number of tokens with a strictly higher logit; 1 is best."""
    rr: float
    """Reciprocal rank, 1 / rank."""
    logit: float
    """The answer's logit."""
    logprob: float
    """The answer's log-probability, in nats."""

    @property
    def prob(self) -> float:
        """The answer's probability, between 0 and 1."""
        return math.exp(self.logprob)


@dataclass(frozen=True)
class TokenScore:
    """One token of the vocabulary and what the model gives it."""

    id: int
    token: str
    """The token as text for display."""
    logit: float
    prob: float
    """Probability between 0 and 1."""


@dataclass(frozen=True)
class Measures:
    """How many rows of logits treat their answer tokens: three arrays of one shape."""

    rank: NDArray[np.int32]
    """1 + number of tokens with a strictly higher logit."""
    logit: NDArray[np.float32]
    logprob: NDArray[np.float32]
    """In nats."""

    def values(self, metric: str, convention: str = "exact") -> NDArray[np.float64]:
        """One metric as float64. Raises InputError if there is no such metric or convention."""
        if metric == "rr":
            return reciprocal_ranks(self.rank, convention)
        _check_name(metric, METRICS, "metric")
        return np.asarray(getattr(self, metric), dtype=np.float64)


def reciprocal_ranks(ranks: NDArray[np.int32], convention: str = "exact") -> NDArray[np.float64]:
    """1 / rank for every rank; ``released``: -1 beyond rank 1000, as in the code released with the paper."""
    _check_name(convention, CONVENTIONS, "convention")
    exact = 1.0 / np.asarray(ranks, dtype=np.float64)
    return exact if convention == "exact" else np.where(ranks > _LAST_RELEASED_RANK, -1.0, exact)


def measure_rows(logits: Tensor, answer_ids: Sequence[int]) -> Measures:
    """Measure in every row of ``logits`` (n, vocab_size) the answer of that row.

    Raises:
        DamagedModelError, InputError: as ``measure``.
    """
    for answer_id in set(answer_ids):
        _check_answer(answer_id, logits.shape[-1])
    scores = _finite(logits)
    answers = scores.gather(-1, torch.tensor([[i] for i in answer_ids], device=scores.device))
    ranks = 1 + (scores > answers).sum(dim=-1)
    logprobs = (answers[:, 0] - torch.logsumexp(scores, dim=-1)).clamp(max=0.0)
    return Measures(
        ranks.cpu().numpy().astype(np.int32),
        answers[:, 0].cpu().numpy().astype(np.float32),
        logprobs.cpu().numpy().astype(np.float32),
    )


def measure(logits: Tensor, answer_id: int) -> list[Metrics]:
    """Measure the answer in every row of ``logits``.

    Args:
        logits: tensor of shape (n, vocab_size), any floating dtype.
        answer_id: index of the answer token, 0 <= answer_id < vocab_size.

    Raises:
        DamagedModelError: a logit is infinite or not a number, so no rank would mean anything.
        InputError: ``answer_id`` is not in the vocabulary.
    """
    _check_answer(answer_id, logits.shape[-1])
    scores = _finite(logits)
    answer = scores[:, answer_id]
    ranks = 1 + (scores > answer[:, None]).sum(dim=-1)
    logprobs = answer - torch.logsumexp(scores, dim=-1)
    return [
        Metrics(rank=rank, rr=1.0 / rank, logit=logit, logprob=min(logprob, 0.0))
        for rank, logit, logprob in zip(ranks.tolist(), answer.tolist(), logprobs.tolist(), strict=True)
    ]


def top_tokens(logits: Tensor, k: int, text_of: Callable[[int], str]) -> list[tuple[TokenScore, ...]]:
    """The ``k`` highest tokens of every row of ``logits`` (n, vocab_size), best first; ``text_of`` shows an id."""
    scores = _finite(logits)
    values, ids = scores.topk(min(k, scores.shape[-1]), dim=-1)
    probs = (values - torch.logsumexp(scores, dim=-1, keepdim=True)).exp()
    return [
        tuple(
            TokenScore(id=i, token=text_of(i), logit=logit, prob=prob)
            for i, logit, prob in zip(row_ids, row_values, row_probs, strict=True)
        )
        for row_ids, row_values, row_probs in zip(ids.tolist(), values.tolist(), probs.tolist(), strict=True)
    ]


def effect(patched: Metrics, target: Metrics, metric: str) -> float:
    """Effect of a patch: metric(patched) - metric(target prompt alone), in the metric's unit."""
    return _value(patched, metric) - _value(target, metric)


def recovery(patched: Metrics, target: Metrics, full: Metrics, metric: str) -> float | None:
    """Effect as a share of the distance from target alone to full prompt; None where that is under 1e-6."""
    return ratio(effect(patched, target, metric), _value(full, metric) - _value(target, metric))


def _value(metrics: Metrics, metric: str) -> float:
    _check_name(metric, METRICS, "metric")
    return float(getattr(metrics, metric))


def _check_name(name: str, known: tuple[str, ...], what: str) -> None:
    if name not in known:
        raise InputError(f"Unknown {what} {name!r}; choose one of {', '.join(known)}.")


def _check_answer(answer_id: int, vocab_size: int) -> None:
    if not 0 <= answer_id < vocab_size:
        raise InputError(
            f"Token {answer_id} is not in the model's vocabulary of {vocab_size}; give an answer that this model's own "
            "tokenizer makes."
        )


def _finite(logits: Tensor) -> Tensor:
    """``logits`` in at least single precision, once they are known to be finite."""
    scores = logits if logits.dtype == torch.float64 else logits.float()
    if not bool(torch.isfinite(scores).all()):
        raise DamagedModelError(
            "The model's logits are not finite numbers, so nothing can be ranked; the weights are damaged or overflow "
            "in this dtype: try --dtype float32 or another copy of the model."
        )
    return scores
