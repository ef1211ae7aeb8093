"""Sets of layers: all of them up to a size, and the check of those that a user names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import comb

from ..errors import LayerError

__all__ = ["MAX_DEPTH", "MAX_SETS", "LayerSet", "check_sets", "layer_sets"]

LayerSet = tuple[int, ...]
"""0-based layers, ascending."""

MAX_DEPTH = 3
"""All sets are enumerated up to this size; single sets may be larger."""

MAX_SETS = 2000
"""This many sets are taken at once, or all up to ``MAX_DEPTH`` where that is more."""


def layer_sets(n_layers: int, depth: int) -> tuple[LayerSet, ...]:
    """All sets of 1 to ``depth`` layers, by size and then lexicographically.

    Raises:
        LayerError: ``depth`` is not 1, 2 or 3.
    """
    if depth not in range(1, MAX_DEPTH + 1):
        raise LayerError(f"The depth {depth} is not possible; choose 1, 2 or 3.")
    return tuple(found for size in range(1, depth + 1) for found in combinations(range(n_layers), size))


def check_sets(sets: Iterable[Sequence[int]], n_layers: int) -> tuple[LayerSet, ...]:
    """The sets as ascending tuples, in the order given.

    Raises:
        LayerError: a set is empty, repeats a layer or another set, or names an unknown layer; or they are too many.
    """
    given = [tuple(layers) for layers in sets]
    limit = max(MAX_SETS, sum(comb(n_layers, size) for size in range(1, MAX_DEPTH + 1)))
    if len(given) > limit:
        raise LayerError(f"{len(given)} layer sets are too many; at most {limit} are patched at once, so ask in parts.")
    checked = tuple(_check_set(layers, n_layers) for layers in given)
    if len(set(checked)) < len(checked):
        twice = next(layers for i, layers in enumerate(checked) if layers in checked[:i])
        raise LayerError(f"The layer set {_show(twice)} is given twice; give each set once.")
    return checked


def _check_set(layers: tuple[int, ...], n_layers: int) -> tuple[int, ...]:
    if not layers:
        raise LayerError(f"A layer set is empty; name at least one layer from 0 to {n_layers - 1}.")
    for layer in layers:
        if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < n_layers:
            raise LayerError(f"There is no layer {layer!r}; this model has the layers 0 to {n_layers - 1}.")
    if len(set(layers)) < len(layers):
        raise LayerError(f"The layer set {_show(layers)} names a layer twice; name each layer once.")
    return tuple(sorted(layers))


def _show(layers: Sequence[int]) -> str:
    return ",".join(str(layer) for layer in layers)
