"""How far apart classes lie, in numbers.

1. ``lda_ratio``: variance between the classes over variance within them, of *held-out* points along the LDA axes of
   the training points, which are scaled to a variance of 1 within the classes. By analysis of variance, summed over
   axes and folds: (MSB - MSW) / n_0 / MSW, with the mean squares between and within and n_0 the points a class in a
   fold. Unlike the plain ratio of traces it is 0 on average where there is nothing to separate (it may fall below),
   and does not grow with the number of points.
2. ``silhouette``: scikit-learn's mean silhouette of standardised states, from -1 to 1; of at most 2,000 points, drawn
   with a seed.  Distances count all directions, so states can be perfectly separable at a silhouette near 0.
3. ``effective_dimension``: participation ratio of the states' covariance, (sum of eigenvalues)^2 / sum of their
   squares, of all classes together: 1 where all spread is along one line, d where it is the same along all.

Source: Searle, Casella and McCulloch 1992, section 3.6 (1); Rousseeuw 1987 (2); Gao et al. 2017 (3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

__all__ = ["Separation", "effective_dimension", "lda_ratio", "silhouette"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_SILHOUETTE_POINTS = 2_000


@dataclass(frozen=True)
class Separation:
    """Of one layer; None where the states do not vary, so that nothing is defined."""

    lda_ratio: float | None
    silhouette: float | None
    effective_dimension: float | None


def lda_ratio(projected: Sequence[tuple[FloatArray, IntArray]]) -> float | None:
    """Between over within, from each fold's held-out points along its axes (n_held_out, n_axes) and their classes."""
    between = within = per_class = 0.0
    free_between = free_within = 0
    for points, labels in projected:
        classes, counts = np.unique(labels, return_counts=True)
        means = np.stack([points[labels == c].mean(axis=0) for c in classes])
        total = float(np.square(points - points.mean(axis=0)).sum())
        among = float((counts[:, None] * np.square(means - points.mean(axis=0))).sum())
        between, within = between + among, within + total - among
        free_between += len(classes) - 1
        free_within += len(points) - len(classes)
        per_class += len(points) - float(np.square(counts).sum()) / len(points)
    if not free_between or not free_within or within <= 0:
        return None
    mean_within = within / free_within
    return (between / free_between - mean_within) / (per_class / free_between) / mean_within


def silhouette(features: FloatArray, labels: IntArray, seed: int = 0) -> float | None:
    """Of standardised states (n, d)."""
    if features.shape[1] == 0:
        return None
    chosen = np.random.default_rng(seed).permutation(len(labels))[:_SILHOUETTE_POINTS]
    return float(silhouette_score(features[np.sort(chosen)], labels[np.sort(chosen)]))


def effective_dimension(states: FloatArray) -> float | None:
    """Of states (n, d) as they are, less their mean."""
    centred = states - states.mean(axis=0)
    scale = float(np.abs(centred).max())
    if scale == 0:
        return None
    centred = centred / scale
    products = centred @ centred.T if len(centred) <= centred.shape[1] else centred.T @ centred
    return float(np.trace(products) ** 2 / np.square(products).sum())
