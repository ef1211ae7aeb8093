"""The answer's rank in the logits of many vectors, exact where it is at most a limit (DESIGN section 6).

That a rank is beyond the limit is proved by as many higher logits among any part of the vocabulary.  So all vectors
meet a small part first, those not yet disproved a larger one, and what is left the whole.  Tokens with long unembedding
vectors come first: their logits spread widest, so they are above the answer's most often.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..models import Affine
from ..models.products import product

__all__ = ["BEYOND", "Ranker"]

BEYOND = 0
"""Stands for a rank above the limit."""


class Ranker:
    """Ranks of one answer token; keeps the first parts of the vocabulary at hand for it."""

    def __init__(self, unembedding: Affine, answer: int, limit: int, *, memory_budget: int) -> None:
        """``limit``: the highest rank of interest; ``memory_budget``: bytes that logits may take at a time."""
        self.weight, self.answer, self.limit = unembedding.weight, answer, limit
        n_tokens = len(self.weight)
        self._rows = max(1, memory_budget // (2 * self.weight.element_size() * n_tokens))
        ends, end = [0], max(4 * limit, n_tokens // 128)
        while end < n_tokens // 2:
            ends.append(end)
            end *= 4
        order = self.weight.norm(dim=-1).argsort(descending=True)[: ends[-1] + 1]
        order = order[order != answer]
        self._parts = [self.weight[order[a:b]] for a, b in pairwise(ends)]

    def rank(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, d_model), the final norm applied -> the answer's logits (n,) and ranks (n,); ``BEYOND`` above the
        limit.
        """
        logits = x @ self.weight[self.answer]
        ranks = torch.full((len(x),), BEYOND, dtype=torch.int32, device=x.device)
        left = torch.arange(len(x), device=x.device)
        higher = torch.zeros(len(x), dtype=torch.long, device=x.device)
        for part in self._parts:
            for rows in left.split(max(1, self._rows * len(self.weight) // len(part))):
                higher[rows] += (product(x[rows], part) > logits[rows, None]).sum(-1)
            left = left[higher[left] < self.limit]
        for rows in left.split(self._rows):
            found = product(x[rows], self.weight)
            logits[rows] = found[:, self.answer]
            rank = 1 + (found > found[:, self.answer, None]).sum(-1)
            ranks[rows] = torch.where(rank <= self.limit, rank, BEYOND).to(torch.int32)
        return logits, ranks
