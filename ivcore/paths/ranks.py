"""The answer's rank in the logits of many vectors, exact where it is at most a limit (DESIGN section 6).

That a rank is beyond the limit is proved by as many higher logits among any part of the vocabulary.  So all vectors
meet a small part first, those not yet disproved a larger one, and what is left the whole.  Which tokens come first is
learned from a few of the vectors themselves: those above the answer in most of them that are not yet disproved.  The
choice says how fast it goes, never what comes out.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..models import Affine
from ..models.products import product

__all__ = ["BEYOND", "Ranker", "count_above"]

BEYOND = 0
"""Stands for a rank above the limit."""

_LANES, _FULL = 8, 255
"""Bytes that one addition of 64-bit words adds side by side, and the most that each can hold."""


class Ranker:
    """Ranks of one answer token; keeps the first parts of the vocabulary at hand for it."""

    def __init__(self, unembedding: Affine, answer: int, limit: int, *, memory_budget: int) -> None:
        """``limit``: the highest rank of interest; ``memory_budget``: bytes that logits may take at a time."""
        self.weight, self.answer, self.limit = unembedding.weight, answer, limit
        self._rows = max(1, memory_budget // (2 * self.weight.element_size() * len(self.weight)))
        self._parts: list[Tensor] | None = None

    def rank(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, d_model), the final norm applied -> the answer's logits (n,) and ranks (n,); ``BEYOND`` above the
        limit.
        """
        logits = x @ self.weight[self.answer]
        ranks = torch.full((len(x),), BEYOND, dtype=torch.int32, device=x.device)
        left = torch.arange(len(x), device=x.device)
        higher = torch.zeros(len(x), dtype=torch.long, device=x.device)
        if self._parts is None:
            self._parts = self._first_parts(x)
        for part in self._parts:
            for rows in left.split(max(1, self._rows * len(self.weight) // len(part))):
                higher[rows] += count_above(product(x[rows], part), logits[rows])
            left = left[higher[left] < self.limit]
        for rows in left.split(self._rows):
            found = product(x[rows], self.weight)
            logits[rows] = found[:, self.answer]
            rank = 1 + count_above(found, found[:, self.answer])
            ranks[rows] = torch.where(rank <= self.limit, rank, BEYOND).to(torch.int32)
        return logits, ranks

    def _first_parts(self, x: Tensor) -> list[Tensor]:
        """Weights of the tokens that come first, part by part, each as large as all before it."""
        n_tokens = len(self.weight)
        ends, end = [0], max(2 * self.limit, n_tokens // 128)
        while end < n_tokens // 2:
            ends.append(end)
            end *= 2
        logits = product(self._some(x), self.weight)
        above = logits > logits[:, self.answer, None]
        higher = torch.zeros(len(above), dtype=torch.long, device=x.device)
        free, parts = torch.ones(n_tokens, dtype=torch.bool, device=x.device), list[Tensor]()
        free[self.answer] = False
        for start, stop in pairwise(ends):
            left = higher < self.limit
            votes = above[left if left.any() else ~left].float().mean(0)
            chosen = torch.where(free, votes, -1.0).topk(stop - start).indices
            free[chosen] = False
            parts.append(self.weight[chosen])
            higher += above[:, chosen].sum(-1)
        return parts

    def _some(self, x: Tensor) -> Tensor:
        """A few of the vectors, evenly spread: the more, the more they speak for."""
        n = min(len(x), max(16, min(512, len(x) // 128)))
        return x[torch.linspace(0, len(x) - 1, n, device=x.device).long()]


def count_above(values: Tensor, limits: Tensor) -> Tensor:
    """How many of each row of ``values`` (n, m) are above its limit (n,): tensor of shape (n,).

    Truth values are added as bytes, eight in one 64-bit word; torch's own sum of them takes a hundred times as long.
    """
    above = values > limits[:, None]
    if above.shape[1] % _LANES:
        above = torch.nn.functional.pad(above, (0, -above.shape[1] % _LANES))
    found = torch.zeros(len(values), dtype=torch.long, device=values.device)
    for words in above.view(torch.int64).split(_FULL, dim=1):
        found += words.sum(-1)[:, None].view(torch.uint8).sum(-1)
    return found
