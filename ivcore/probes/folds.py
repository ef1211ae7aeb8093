"""Who is held out with whom: folds stratified by class in which a group is never split.

1. Classes are dealt to the folds one after the other, each group to the fold that has fewest points of its class (of
   equals the one with fewest points, then at random), larger groups first.
2. Shuffled labels stay within their fold: every fold keeps its number of each class, so a probe of shuffled labels is
   held out exactly as one of the true labels is. (Shuffled across folds, the class that is rarer in training would
   be more common among the held-out points, and chance would come out below chance.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["N_FOLDS", "assign_folds", "shuffle_labels"]

IntArray = NDArray[np.int64]
N_FOLDS = 5


def assign_folds(labels: IntArray, groups: Sequence[object], *, n_folds: int = N_FOLDS, seed: int = 0) -> IntArray:
    """The fold, 0 to ``n_folds`` - 1, in which each point is held out: shape (n,).

    Args:
        labels: class of each point, shape (n,).
        groups: anything that is equal for points that must not be separated; each of one class.
        n_folds: at least 2.
        seed: of the order in which groups are dealt.
    """
    members: dict[object, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    rng = np.random.default_rng(seed)
    folds, totals = np.empty(len(labels), dtype=np.int64), np.zeros(n_folds)
    by_class: dict[int, list[list[int]]] = defaultdict(list)
    for points in members.values():
        by_class[int(labels[points[0]])].append(points)
    for label in sorted(by_class):
        own = np.zeros(n_folds)
        dealt = [by_class[label][i] for i in rng.permutation(len(by_class[label]))]
        for points in sorted(dealt, key=len, reverse=True):
            fold = int(np.lexsort((rng.random(n_folds), totals, own))[0])
            folds[points] = fold
            own[fold] += len(points)
            totals[fold] += len(points)
    return folds


def shuffle_labels(labels: IntArray, folds: IntArray, n: int, seed: int = 0) -> IntArray:
    """``n`` permutations of ``labels`` within each fold: shape (n, n_points)."""
    rng = np.random.default_rng(seed)
    shuffled = np.tile(labels, (n, 1))
    for row in shuffled:
        for fold in np.unique(folds):
            row[folds == fold] = rng.permutation(row[folds == fold])
    return shuffled
