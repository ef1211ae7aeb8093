"""The high-ranking paths of one prompt that a run kept, and which of them go where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ivcore.paths import Edges

__all__ = ["Paths"]

Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Paths:
    """Paths along the edges of one prompt; masks have shape (n,)."""

    positions: NDArray[np.int16]
    """Where each path stands before the first block and after every block: shape (n, n_layers + 1)."""
    ranks: NDArray[np.int32]
    """The answer's rank in each, shape (n,)."""
    logits: NDArray[np.float64]
    """The answer's logit in each, shape (n,)."""
    edges: Edges
    """Along which they run."""

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def n_layers(self) -> int:
        """Blocks."""
        return self.edges.n_layers

    def take(self, rows: Rows | Mask) -> Paths:
        """Some of them."""
        return Paths(self.positions[rows], self.ranks[rows], self.logits[rows], self.edges)

    def strongest(self, most: int) -> Paths:
        """The ``most`` whose logits are largest, up or down; largest first."""
        return self.take(np.argsort(-np.abs(self.logits), kind="stable")[:most])

    def from_source(self, position: int) -> Mask:
        """Those that begin here."""
        found: Mask = self.positions[:, 0] == position
        return found

    def through_place(self, row: int, position: int) -> Mask:
        """Those that stand at a position before block ``row`` (n_layers: at the end)."""
        found: Mask = self.positions[:, row] == position
        return found

    def through_edge(self, layer: int, j: int, i: int) -> Mask:
        """Those that go from j to i in a block."""
        return self.through_place(layer, j) & self.through_place(layer + 1, i)

    def through_head(self, layer: int, head: int) -> Mask:
        """Those whose edge in a block has this head."""
        found: Mask = self.edges.heads[layer, head, self.positions[:, layer + 1], self.positions[:, layer]]
        return found

    def moves(self, layer: int) -> Mask:
        """Those that go to another token in a block."""
        found: Mask = self.positions[:, layer] != self.positions[:, layer + 1]
        return found

    def edge_heads(self, layer: int, j: int, i: int) -> tuple[int, ...]:
        """The heads of an edge; empty where only the residual stream carries it."""
        return tuple(np.flatnonzero(self.edges.heads[layer, :, i, j]).tolist())

    def route(self, row: int) -> tuple[int, ...]:
        """One path's positions."""
        return tuple(self.positions[row].tolist())
