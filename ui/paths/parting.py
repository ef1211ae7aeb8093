"""Two instructions, one query: which paths they share, and where those of one leave all those of the other.

Positions are counted from each prompt's T_inst, since instructions differ in length.  A path is shared if it stands at
the same places under both.  One that is not leaves at the first block after which no path of the other prompt has come
the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .kept import Paths

__all__ = ["Parting", "parting"]

Route = tuple[int, ...]


@dataclass(frozen=True)
class Parting:
    """The paths of two prompts from T_inst, compared."""

    shared: int
    first_only: int
    second_only: int
    same_heads: int
    """Of the shared paths those that the same heads carry in every block."""
    first_leaves: NDArray[np.int64]
    """Of the paths of the first prompt only, how many leave in each block: shape (n_layers,)."""
    second_leaves: NDArray[np.int64]

    @property
    def first_layer(self) -> int | None:
        """The lowest block in which any path leaves; None where all are shared."""
        leaving = np.flatnonzero(self.first_leaves + self.second_leaves)
        return int(leaving[0]) if len(leaving) else None


def parting(first: Paths, second: Paths, t_inst: tuple[int, int]) -> Parting:
    """Compare the paths of two prompts that begin at T_inst."""
    one, two = (_heads_by_route(paths, inst) for paths, inst in zip((first, second), t_inst, strict=True))
    shared = one.keys() & two.keys()
    return Parting(
        shared=len(shared),
        first_only=len(one) - len(shared),
        second_only=len(two) - len(shared),
        same_heads=sum(one[route] == two[route] for route in shared),
        first_leaves=_leaves(one.keys() - shared, set(two), first.n_layers),
        second_leaves=_leaves(two.keys() - shared, set(one), first.n_layers),
    )


def _heads_by_route(paths: Paths, t_inst: int) -> dict[Route, tuple[tuple[int, ...], ...]]:
    """Each path as offsets from T_inst, with the heads of its edges."""
    found = {}
    for positions in paths.positions.tolist():
        steps = enumerate(pairwise(positions))
        heads = tuple(paths.edge_heads(layer, j, i) for layer, (j, i) in steps)
        found[tuple(at - t_inst for at in positions)] = heads
    return found


def _leaves(routes: set[Route], others: set[Route], n_layers: int) -> NDArray[np.int64]:
    """In which block each route leaves all others."""
    known = {route[:length] for route in others for length in range(1, n_layers + 1)}
    counts = np.zeros(n_layers, dtype=np.int64)
    for route in routes:
        together = next((length for length in range(n_layers, 0, -1) if route[:length] in known), 1)
        counts[together - 1] += 1
    return counts
