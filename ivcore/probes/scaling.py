"""Standardising: each feature less its mean, over its standard deviation, both of the training points alone.

Features that are constant in training say nothing and are left out. The rest is divided by the root of their number,
so that a point's squared length is 1 on average and one strength means the same at every width: logistic regression
of strength C on these features is scikit-learn's with C / n_features on its ``StandardScaler``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scaling", "fit_scaling", "fit_unit_length"]

FloatArray = NDArray[Any]
_CONSTANT = 1e-6
"""A spread below this share of a feature's size is rounding."""


@dataclass(frozen=True)
class Scaling:
    """A map from states to features."""

    kept: NDArray[np.bool_]
    """Which features vary, shape (d,)."""
    mean: FloatArray
    """Shape (n_kept,)."""
    scale: FloatArray
    """What is divided by, shape (n_kept,)."""

    def __call__(self, states: FloatArray) -> FloatArray:
        """States (n, d) -> features (n, n_kept), of the states' precision."""
        chosen = states if self.kept.all() else states[:, self.kept]
        features: FloatArray = (chosen - self.mean.astype(states.dtype)) / self.scale.astype(states.dtype)
        return features


def fit_scaling(training: FloatArray) -> Scaling:
    """Standardise as ``training`` (n, d) needs it, to a mean squared length of 1."""
    mean = training.mean(axis=0, dtype=np.float64)
    deviation = np.sqrt(((training - mean) ** 2).mean(axis=0))
    kept = deviation > _CONSTANT * np.abs(mean)
    return Scaling(kept, mean[kept], deviation[kept] * np.sqrt(max(1, kept.sum())))


def fit_unit_length(training: FloatArray) -> Scaling:
    """Neither centred nor standardised (for counts of words): one factor for all, to a mean squared length of 1."""
    kept = np.asarray((training != 0).any(axis=0))
    length = np.sqrt((training.astype(np.float64) ** 2).sum(axis=1).mean()) or 1.0
    n_kept = int(kept.sum())
    return Scaling(kept, np.zeros(n_kept), np.full(n_kept, length))
