"""Linear discriminant analysis with Ledoit and Wolf's shrinkage: scikit-learn's ``solver="lsqr", shrinkage="auto"``.

1. Within each class the covariance is shrunk towards the diagonal of its features' variances, by as much as Ledoit and
   Wolf's estimate says; S is the mean of these, weighted by the classes' shares.  With fewer points than dimensions the
   unshrunken S has no inverse, and LDA separates anything.
2. Classes are told apart by S^-1 m_c (m_c the class's mean), with the shares as prior.
3. The axes are those on which the class means lie farthest apart in units of S: at most n_classes - 1, scaled to a
   variance of 1 within the classes.
4. With more dimensions than points S is a diagonal plus products of few vectors, so it is inverted by Woodbury's
   formula.

To the diagonal of S a millionth is added (features are standardised), so that it is defined where no class has any
spread.

Source: Ledoit and Wolf 2004; Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

__all__ = ["Discriminant", "fit_discriminant", "shrinkage"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_RIDGE = 1e-6


@dataclass(frozen=True)
class Discriminant:
    """A fitted LDA."""

    classes: IntArray
    """The classes it was fitted on."""
    coef: FloatArray
    """Shape (n_classes, d)."""
    intercept: FloatArray
    """Shape (n_classes,)."""
    axes: FloatArray
    """Shape (d, n_axes), the strongest first; within the classes the variance along each is 1."""

    def predict(self, features: FloatArray) -> IntArray:
        """The class of each row of ``features`` (n, d)."""
        return self.classes[(features @ self.coef.T + self.intercept).argmax(axis=1)]


def fit_discriminant(features: FloatArray, labels: IntArray) -> Discriminant:
    """Fit on standardised ``features`` (n, d) of classes ``labels`` (n,)."""
    classes, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shares = counts / len(labels)
    means = np.stack([features[place == i].mean(axis=0) for i in range(len(classes))])
    diagonal = np.full(features.shape[1], _RIDGE)
    rows = np.empty_like(features)
    for i, share in enumerate(shares):
        centred = features[place == i] - means[i]
        scale = _deviations(centred)
        standard = centred / scale
        amount = shrinkage(standard)
        diagonal += share * amount * scale**2 * np.square(standard).mean()
        rows[place == i] = centred * np.sqrt(share * (1 - amount) / len(centred))
    coef = _solve(rows, diagonal, means.T).T
    intercept = np.log(shares) - (means * coef).sum(axis=1) / 2
    return Discriminant(classes, coef, intercept, _axes(means, coef, shares))


def shrinkage(standard: FloatArray) -> float:
    """Ledoit and Wolf's amount, 0 to 1, for centred points (n, d) of unit variance; from products of points alone."""
    n, d = standard.shape
    if d == 1:
        return 0.0
    squares = np.square(standard)
    trace = squares.sum() / n
    products = standard @ standard.T if n <= d else standard.T @ standard
    off_target = np.square(products).sum() / n**2
    noise = (np.square(squares.sum(axis=1)).sum() / n - off_target) / (d * n)
    spread = (off_target - trace**2 / d) / d
    noise = min(noise, spread)
    return 0.0 if noise <= 0 else float(noise / spread)


def _deviations(centred: FloatArray) -> FloatArray:
    """Standard deviations; 1 where a feature is constant, as scikit-learn scales."""
    found = np.sqrt(np.square(centred).mean(axis=0))
    return np.where(found > 0, found, 1.0)


def _solve(rows: FloatArray, diagonal: FloatArray, right: FloatArray) -> FloatArray:
    """(rows^T rows + diag)^-1 right."""
    n, d = rows.shape
    if d <= n:
        matrix = rows.T @ rows
        matrix[np.diag_indices_from(matrix)] += diagonal
        return _positive_solve(matrix, right)
    scaled, root = rows / np.sqrt(diagonal), np.sqrt(diagonal)[:, None]
    small = scaled @ scaled.T
    small[np.diag_indices_from(small)] += 1
    whitened = right / root
    return (whitened - scaled.T @ _positive_solve(small, scaled @ whitened)) / root


def _positive_solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    factor = linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    solved: FloatArray = linalg.cho_solve(factor, right, check_finite=False)
    return solved


def _axes(means: FloatArray, coef: FloatArray, shares: FloatArray) -> FloatArray:
    """Of the between-class scatter against S: both reduce to products between class means."""
    weights = np.sqrt(shares)[:, None]
    spread, solved = (weights * (x - shares @ x) for x in (means, coef))
    strength, vectors = linalg.eigh(spread @ solved.T)
    order = np.argsort(strength)[::-1][: len(means) - 1]
    order = order[strength[order] > 1e-12 * max(1.0, strength[-1])]
    axes = solved.T @ (vectors[:, order] / np.sqrt(strength[order]))
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.asarray(axes * np.where(largest < 0, -1.0, 1.0))
