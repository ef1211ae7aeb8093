"""Nested cross-validation of the linear probe: every point is predicted once, by a probe that never saw it or its
class.

1. The folds are given (``folds``).  For each outer fold the strength is the one with the best mean accuracy over the
   other folds, each predicted by a probe of the folds that then remain; of equals the strongest penalty.
2. A probe of the folds other than i and j serves twice: it tests j for the outer fold i and i for j, so five folds
   need ten inner fits.
3. With the chosen strength the probe is fitted on all folds but the outer one, and predicts that.
4. Scaling is fitted anew inside every training set (``scaling``).

The same as scikit-learn's ``GridSearchCV`` over ``make_pipeline(StandardScaler(), LogisticRegression())`` inside a loop
over the outer folds; see ``scaling`` for how strengths compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .logistic import fit_path
from .scaling import Scaling, fit_scaling

__all__ = ["STRENGTHS", "Nested", "nested_predictions"]

FloatArray = NDArray[Any]
IntArray = NDArray[np.int64]
STRENGTHS = (0.03, 0.3, 3.0, 30.0)
"""C on features of mean squared length 1."""


@dataclass(frozen=True)
class Nested:
    """Held-out predictions of several labelings of the same points."""

    predictions: IntArray
    """Shape (n_labelings, n)."""
    strengths: FloatArray
    """Chosen for each outer fold: shape (n_labelings, n_folds)."""


def nested_predictions(
    states: FloatArray,
    labelings: IntArray,
    folds: IntArray,
    n_classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    scale: Callable[[FloatArray], Scaling] = fit_scaling,
) -> Nested:
    """Predict every point by a probe fitted without its fold.

    Args:
        states: shape (n, d); float64 for exact optima, float32 for speed.
        labelings: classes of the points, shape (n_labelings, n).
        folds: 0 to n_folds - 1, shape (n,); at least three folds.
        n_classes: classes are 0 to ``n_classes`` - 1.
        strengths: C's to choose from, ascending.
        scale: makes the scaling of a training set.
    """
    n_folds = int(folds.max()) + 1
    scores = np.zeros((len(strengths), len(labelings), n_folds))
    for i, j in combinations(range(n_folds), 2):
        held_out = (folds == i) | (folds == j)
        found = _predict(states, labelings, held_out, n_classes, strengths, scale)
        right = found == labelings[:, held_out]
        in_i = folds[held_out] == i
        scores[:, :, i] += right[..., ~in_i].mean(axis=-1) / (n_folds - 1)
        scores[:, :, j] += right[..., in_i].mean(axis=-1) / (n_folds - 1)
    chosen = scores.round(12).argmax(axis=0)
    predictions = np.empty(labelings.shape, dtype=np.int64)
    for fold in range(n_folds):
        _refit(states, labelings, folds == fold, n_classes, strengths, scale, chosen[:, fold], predictions)
    return Nested(predictions, np.asarray(strengths)[chosen])


def _predict(
    states: FloatArray,
    labelings: IntArray,
    held_out: NDArray[np.bool_],
    n_classes: int,
    strengths: Sequence[float],
    scale: Callable[[FloatArray], Scaling],
) -> IntArray:
    """Classes of the points held out: shape (n_strengths, n_labelings, n_held_out)."""
    training = states[~held_out]
    scaling = scale(training)
    path = fit_path(scaling(training), labelings[:, ~held_out], n_classes, strengths)
    features = scaling(states[held_out])
    return np.stack([weights.predict(features) for weights in path])


def _refit(
    states: FloatArray,
    labelings: IntArray,
    held_out: NDArray[np.bool_],
    n_classes: int,
    strengths: Sequence[float],
    scale: Callable[[FloatArray], Scaling],
    chosen: IntArray,
    predictions: IntArray,
) -> None:
    """Fill in the predictions of one outer fold; labelings with the same strength are fitted together."""
    training = states[~held_out]
    scaling = scale(training)
    features, others = scaling(training), scaling(states[held_out])
    for at in np.unique(chosen):
        rows = np.flatnonzero(chosen == at)
        path = fit_path(features, labelings[np.ix_(rows, ~held_out)], n_classes, strengths[: at + 1])
        *_, weights = path
        predictions[np.ix_(rows, held_out)] = weights.predict(others)
