"""Which positions each block connects, and how many paths that makes (REFERENCE section 3), before any is followed.

The edge j -> i of block l exists if i = j, or if a head h has j among the k most attended positions of row i; those
heads are the edge's heads.  Where two positions are attended alike the earlier one counts first; a weight of zero
(a later position, one out of the window, one rounded away) is no attention and makes no edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError

__all__ = ["Edges", "top_k_edges"]

_MOST = 1e100
"""Stands for any larger number of paths, so that none is infinite."""


@dataclass(frozen=True)
class Edges:
    """The edges of every block."""

    heads: NDArray[np.bool_]
    """Whether head h carries the edge j -> i of block l: shape (n_layers, n_heads, n_tokens, n_tokens) as [l, h, i, j].
    """

    @property
    def n_layers(self) -> int:
        """Blocks."""
        return self.heads.shape[0]

    @property
    def n_tokens(self) -> int:
        """Positions."""
        return self.heads.shape[-1]

    @cached_property
    def exist(self) -> NDArray[np.bool_]:
        """Whether the edge j -> i of block l exists: shape (n_layers, n_tokens, n_tokens) as [l, i, j]."""
        found: NDArray[np.bool_] = self.heads.any(axis=1) | np.eye(self.n_tokens, dtype=bool)
        return found

    @cached_property
    def reach(self) -> NDArray[np.bool_]:
        """Whether a path that stands at position i before block l can still end at the last position: shape (n_layers +
        1, n_tokens).
        """
        reach = np.zeros((self.n_layers + 1, self.n_tokens), dtype=bool)
        reach[-1, -1] = True
        for layer in reversed(range(self.n_layers)):
            reach[layer] = (self.exist[layer] & reach[layer + 1][:, None]).any(axis=0)
        return reach

    def counts(self, sources: Sequence[int]) -> NDArray[np.float64]:
        """How many beginnings of paths from each source stand at each position before each block, those left out that
        cannot reach the last position: shape (n_sources, n_layers + 1, n_tokens). The last number of all is that of
        the paths. Whole numbers, exact below 2**53, and never beyond 1e100.
        """
        now = np.zeros((len(sources), self.n_tokens))
        now[np.arange(len(sources)), sources] = self.reach[0, sources]
        rows = [now]
        for exist, reach in zip(self.exist, self.reach[1:], strict=True):
            rows.append(np.minimum(rows[-1] @ exist.T * reach, _MOST))
        return np.stack(rows, axis=1)

    def n_paths(self, source: int) -> int:
        """Paths from ``source`` to the last position."""
        return int(self.counts([source])[0, -1, -1])

    def head_share(self, source: int) -> NDArray[np.float64]:
        """The share of all paths from ``source`` on which each head lies, by counting: shape (n_layers, n_heads); 0
        where there are no paths. What a path drawn at random would do.
        """
        before = self.counts([source])[0]
        after = np.zeros_like(before)
        after[-1, -1] = 1
        for layer in reversed(range(self.n_layers)):
            after[layer] = after[layer + 1] @ self.exist[layer]
        on_edge = before[:-1, None, :] * after[1:, :, None]
        shares: NDArray[np.float64] = np.einsum("lhij,lij->lh", self.heads, on_edge) / (before[-1, -1] or 1.0)
        return shares

    def head_use(self, positions: NDArray[np.integer]) -> NDArray[np.int32]:
        """On how many of these paths (n, n_layers + 1) each head lies: shape (n_layers, n_heads)."""
        steps = zip(self.heads, positions.T[:-1], positions.T[1:], strict=True)
        return np.stack([heads[:, i, j].sum(-1) for heads, j, i in steps]).astype(np.int32)

    def path_heads(self, positions: Sequence[int]) -> list[list[int]]:
        """The heads of a path's edge in each block; empty where only the residual stream carries it."""
        return [np.flatnonzero(self.heads[layer, :, i, j]).tolist() for layer, (j, i) in enumerate(pairwise(positions))]


def top_k_edges(attention: Tensor, k: int) -> Edges:
    """The edges that the ``k`` most attended positions of every row make.

    Args:
        attention: patterns (n_layers, n_heads, n_tokens, n_tokens), rows are queries.
        k: at most n_tokens; rows with fewer positions before them have those.

    Raises:
        InputError: k is below 1 or above the number of tokens.
    """
    n_tokens = attention.shape[-1]
    if not 1 <= k <= n_tokens:
        raise InputError(
            f"The {k} most attended positions were asked for; choose 1 to {n_tokens}, the number of tokens."
        )
    order = attention.sort(dim=-1, descending=True, stable=True).indices[..., :k]
    chosen = torch.zeros(attention.shape, dtype=torch.bool, device=attention.device)
    return Edges((chosen.scatter_(-1, order, True) & (attention > 0)).cpu().numpy())
