"""How far a ranking of one's own agrees with a published top ten.

1. Own sets that the table does not rank are left aside: Tables 9 to 16 rank singles and pairs together, Tables 17 and
   18 triples alone.
2. Overlap: how many sets are in both top k, beside the number that a random order would give, k * k / n_sets.
3. Rank correlation (Spearman) of the printed values with the own means, over the published sets that the own ranking
   has.

Only ten sets are published, to two decimals.  A set that is not listed has no published value, so it cannot enter the
correlation: that says whether the ten come in the same order, not whether they are the right ten, which is what the
overlap says.  Ties: printed values are rounded, so many tie; in the correlation they share the mean of their ranks.
For the top k, equal own means are put in the order of their layers, as the printed lists put equal values.  Such ties
are common, because a patch at the last layer does nothing: (l, last) equals (l) exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..stats import rank_agreement, top_overlap
from .tables import LayerSet, TupleRow

__all__ = ["Agreement", "compare"]

TOP = 10


@dataclass(frozen=True)
class Agreement:
    """A published top ten beside a ranking of one's own."""

    k: int
    """How many places of each ranking are compared: ten, or fewer where fewer are there."""
    overlap: int
    """Sets among the first k of both."""
    expected: float
    """Overlap of a random order, on average."""
    shared: tuple[LayerSet, ...]
    """The sets of ``overlap``, in published order."""
    n_sets: int
    """Own sets of the sizes that the table ranks."""
    spearman: float | None
    """Rank correlation, -1 to 1; None where it is not defined."""
    n: int
    """Sets behind the rank correlation: published ones that the own ranking has."""
    reason: str | None
    """Why the rank correlation is not defined; None where it is."""


def compare(published: Sequence[TupleRow], own: Sequence[tuple[LayerSet, float]], *, k: int = TOP) -> Agreement:
    """Compare one published list with the means of one's own sweep.

    Args:
        published: the rows of one model, stage, task, metric and number of layers.
        own: each layer set with its mean effect by the same metric, in any order; other sizes are left aside.
        k: how many places to compare, 1 to 10.

    Raises:
        InputError: no published rows or rows of more than one list; a ``k`` that is not 1 to 10; own sets that repeat,
            are not finite, or are all of sizes that the list does not rank.

    Source: arXiv 2602.07930 v2, Tables 9 to 18, for the lists; the comparison is ours.
    """
    if not 1 <= k <= TOP:
        raise InputError(f"The top {k} cannot be compared, because ten sets are published; choose 1 to {TOP}.")
    rows = _one_list(published)
    means = _ranked(own, rows[0])
    ranking = sorted(means, key=lambda layers: (-means[layers], layers))
    printed = [row.layers for row in rows]
    k = min(k, len(printed), len(ranking))
    first = set(ranking[:k])
    both = [row for row in rows if row.layers in means]
    order = rank_agreement([row.value for row in both], [means[row.layers] for row in both])
    return Agreement(
        k=k,
        overlap=top_overlap(printed, ranking, k),
        expected=k * k / len(ranking),
        shared=tuple(layers for layers in printed[:k] if layers in first),
        n_sets=len(ranking),
        spearman=order.rho,
        n=order.n,
        reason=order.reason,
    )


def _one_list(published: Sequence[TupleRow]) -> list[TupleRow]:
    """The rows by place, once they are known to be of one list."""
    lists = {(row.table, row.size, row.stage, row.task, row.metric, row.n_layers) for row in published}
    if len(lists) != 1:
        raise InputError(
            f"The published rows belong to {len(lists)} lists; give the rows of one table, model, stage and task."
        )
    return sorted(published, key=lambda row: row.place)


def _ranked(own: Sequence[tuple[LayerSet, float]], row: TupleRow) -> dict[LayerSet, float]:
    """Own means by set, of the sizes that the row's list ranks."""
    kept = [(tuple(sorted(layers)), float(mean)) for layers, mean in own if row.is_ranked(layers)]
    means = dict(kept)
    if not kept:
        raise InputError(f"The own ranking has no sets of {row.n_layers} layers; run the sweep with that depth.")
    if len(means) < len(kept):
        raise InputError(f"The own ranking has {len(kept) - len(means)} layer sets twice; give each set once.")
    if not all(math.isfinite(mean) for mean in means.values()):
        raise InputError("The own ranking has a mean that is not a finite number; run the sweep again.")
    return means
