"""How well a model's logits rank the answer: DESIGN section 2 (rank, RR, effect, recovery).

1. ``measure``: rank (by counting strictly higher logits, so ties share the better rank), reciprocal rank, logit and
   log-probability of one token.
2. ``top_tokens``: the most probable tokens of one row of logits.
3. ``effect`` and ``recovery``: one patched measurement against the target prompt alone and the full prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import DamagedModelError, InputError

__all__ = ["METRICS", "RECOVERY_FLOOR", "Metrics", "TokenScore", "effect", "measure", "recovery", "top_tokens"]

METRICS = ("rr", "logit", "logprob")
"""The names under which effects are reported."""

RECOVERY_FLOOR = 1e-6
"""Below this distance between full prompt and target alone, recovery is undefined."""


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


def measure(logits: Tensor, answer_id: int) -> list[Metrics]:
    """Measure the answer in every row of ``logits``.

    Args:
        logits: tensor of shape (n, vocab_size), any floating dtype.
        answer_id: index of the answer token, 0 <= answer_id < vocab_size.

    Raises:
        DamagedModelError: a logit is infinite or not a number, so no rank would mean anything.
        InputError: ``answer_id`` is not in the vocabulary.
    """
    if not 0 <= answer_id < logits.shape[-1]:
        raise InputError(
            f"Token {answer_id} is not in the model's vocabulary of {logits.shape[-1]}; give an answer that this "
            "model's own tokenizer makes."
        )
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
    span = _value(full, metric) - _value(target, metric)
    return None if abs(span) < RECOVERY_FLOOR else effect(patched, target, metric) / span


def _value(metrics: Metrics, metric: str) -> float:
    if metric not in METRICS:
        raise InputError(f"Unknown metric {metric!r}; choose one of {', '.join(METRICS)}.")
    return float(getattr(metrics, metric))


def _finite(logits: Tensor) -> Tensor:
    """``logits`` in at least single precision, once they are known to be finite."""
    scores = logits if logits.dtype == torch.float64 else logits.float()
    if not bool(torch.isfinite(scores).all()):
        raise DamagedModelError(
            "The model's logits are not finite numbers, so nothing can be ranked; the weights are damaged or overflow "
            "in this dtype: try --dtype float32 or another copy of the model."
        )
    return scores
