"""How many paths a trace will follow and what they cost, by counting, before any is followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import InputError
from ..models import Network
from .edges import Edges

__all__ = ["MAX_PATHS", "Forecast", "check_forecast", "forecast"]

MAX_PATHS = 1_000_000
"""Paths of all sources together that a trace follows unless told otherwise."""


@dataclass(frozen=True)
class Forecast:
    """The work of one trace."""

    n_paths: tuple[int, ...]
    """For each source, all its paths to the last position."""
    n_beginnings: int
    """Vectors to be computed: beginnings of those paths, one for each block that each passes."""
    operations: int
    """Additions and multiplications that extend them; ranking comes on top."""

    @property
    def total(self) -> int:
        """Paths of all sources."""
        return sum(self.n_paths)


def forecast(network: Network, edges: Edges, sources: Sequence[int]) -> Forecast:
    """Count the paths from ``sources`` without following one; exact below 2**53."""
    counts = edges.counts(sources)
    stands = counts.sum(axis=0)
    d_model, d_mlp, d_head = network.d_model, network.d_mlp, network.d_head
    operations = 0.0
    for layer, (before, after) in enumerate(pairwise(stands)):
        operations += 2 * d_model * network.n_kv_heads * d_head * before.sum()
        carried = edges.heads[layer].sum(axis=0)[edges.reach[layer + 1]]
        operations += 2 * d_model * d_head * (carried @ before).sum()
        hidden, matrix = 4 * d_model * d_mlp * after, 2 * d_model * d_model * (d_mlp + after)
        operations += np.minimum(hidden, matrix)[after > 0].sum()
    return Forecast(tuple(map(int, counts[:, -1, -1])), int(stands[1:].sum()), int(operations))


def check_forecast(expected: Forecast, max_paths: int) -> None:
    """Raises InputError, with the numbers and what to lower, where there are more paths than ``max_paths``."""
    if expected.total > max_paths:
        number = f"{expected.total:,}" if expected.total < 1e12 else "more than 1,000,000,000,000"
        raise InputError(
            f"There are {number} paths from {len(expected.n_paths)} source"
            f"{'s' if len(expected.n_paths) > 1 else ''} but at most {max_paths:,} are followed; "
            "lower k, choose fewer or later sources, or shorten the prompt."
        )
