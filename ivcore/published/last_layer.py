"""Printed effects that cannot be effects of a patch as the paper defines it.

A patch writes a block's output at the filler.  After the last block nothing reads the filler any more, so:

1. the last layer alone has no effect;
2. the last layer together with others has the effect of the others alone.

``last_layer_conflicts`` looks for printed rows that break this by more than rounding.  They occur in
Tables 15 and 16 only.

Source: the method of arXiv 2602.07930 v2, section 5, and its Tables 9 to 18; the check is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .tables import N_LAYERS, LayerSet, TupleRow

__all__ = ["Conflict", "last_layer_conflicts"]

_ROUNDING = 0.011
"""Two figures that are printed to two decimals differ by one unit at most if rounding alone parts them."""


@dataclass(frozen=True)
class Conflict:
    """A printed set with the last layer, and the effect that it ought to have."""

    layers: LayerSet
    value: float
    """As printed, in the metric's unit."""
    without: LayerSet
    """The set without the last layer; empty for the last layer alone."""
    expected: float
    """The printed effect of ``without``; 0 for the empty set."""


def last_layer_conflicts(rows: Sequence[TupleRow]) -> tuple[Conflict, ...]:
    """The conflicts within one published list, in its order."""
    printed = {row.layers: row.value for row in rows}
    found = []
    for row in sorted(rows, key=lambda row: row.place):
        last = N_LAYERS[row.size] - 1
        without = tuple(layer for layer in row.layers if layer != last)
        expected = printed.get(without) if without else 0.0
        if last in row.layers and expected is not None and abs(row.value - expected) > _ROUNDING:
            found.append(Conflict(row.layers, row.value, without, expected))
    return tuple(found)
