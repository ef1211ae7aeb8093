"""Two-dimensional views of one layer's states, for drawing; each point says whether the view was fitted on it.

1. ``lda``: the two strongest axes of LDA (``discriminant``).  Two classes have one axis; the second is then the first
   principal component of the training points orthogonal to it, so it shows spread and no separation.
2. ``pca``: the first two principal components, which know no classes.
3. ``tsne``: t-distributed stochastic neighbour embedding of the first principal components. It has no map for new
   points, so it is fitted on all and holds none out; distances between its clusters mean little.

All on standardised states, LDA and PCA fitted on the training points alone.

Source: van der Maaten and Hinton 2008 (3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import svds
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from .discriminant import Discriminant
from .scaling import fit_scaling

__all__ = ["PERPLEXITY", "View", "lda_view", "pca_view", "tsne_view"]

FloatArray = NDArray[np.float64]
PERPLEXITY = 30.0
_COMPONENTS_FOR_TSNE = 50
_DENSE = 64


@dataclass(frozen=True)
class View:
    """One layer's points in two dimensions."""

    method: str
    points: NDArray[np.float32]
    """Shape (n, 2), in the order of the texts."""
    held_out: NDArray[np.bool_]
    """Which points the view was not fitted on, shape (n,)."""
    explained: tuple[float, float] | None = None
    """For ``pca``: each axis's share of the training points' variance."""


def lda_view(features: FloatArray, held_out: NDArray[np.bool_], fitted: Discriminant) -> View:
    """All ``features`` (n, d) along the axes of an LDA fitted on those not held out."""
    axes = fitted.axes[:, :2]
    if axes.shape[1] == 1:
        axes = np.column_stack((axes, _orthogonal_component(features[~held_out], axes[:, 0])))
    return View("lda", _two(features @ axes), held_out)


def pca_view(features: FloatArray, held_out: NDArray[np.bool_]) -> View:
    """All ``features`` (n, d) along the principal components of those not held out."""
    training = features[~held_out]
    mean = training.mean(axis=0)
    axes, variances = _components(training - mean, 2)
    total = float(np.square(training - mean).sum())
    shares = [*(variances / total if total else variances).tolist(), 0.0, 0.0]
    return View("pca", _two((features - mean) @ axes), held_out, (shares[0], shares[1]))


def tsne_view(states: FloatArray, *, perplexity: float = PERPLEXITY, seed: int = 0) -> View:
    """All ``states`` (n, d) of one layer; seconds for a thousand points.

    Args:
        states: at least five points.
        perplexity: lowered to a third of the points where there are too few for it.
        seed: of the initial noise.
    """
    n = len(states)
    features = fit_scaling(states)(np.asarray(states, dtype=np.float64))
    axes, _ = _components(features, _COMPONENTS_FOR_TSNE)
    reduced = features @ axes
    none = np.zeros(n, dtype=np.bool_)
    if not reduced.any():
        return View("tsne", np.zeros((n, 2), dtype=np.float32), none)
    start = reduced[:, :2] if reduced.shape[1] >= 2 else np.column_stack((reduced, np.zeros(n)))
    model = TSNE(perplexity=min(perplexity, (n - 1) / 3), init=start / start[:, 0].std() * 1e-4, random_state=seed)
    # Its threads wait for one another at each of many small steps: on a busy machine many times as long as one alone.
    with threadpool_limits(limits=1):
        return View("tsne", _two(model.fit_transform(reduced)), none)


def _orthogonal_component(training: FloatArray, axis: FloatArray) -> FloatArray:
    """First principal component of what is left after ``axis``, scaled to a variance of 1."""
    unit = axis / np.linalg.norm(axis)
    centred = training - training.mean(axis=0)
    components, variances = _components(centred - np.outer(centred @ unit, unit), 1)
    if not components.shape[1] or variances[0] <= 0:
        return np.zeros_like(axis)
    return components[:, 0] / np.sqrt(variances[0] / len(training))


def _components(centred: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Up to ``n`` principal axes (d, n), the strongest first, and the sum of squares along each; signs are fixed."""
    if 0 in centred.shape or not centred.any():
        return np.zeros((centred.shape[1], 0)), np.zeros(0)
    smaller = min(centred.shape)
    if smaller <= max(_DENSE, n + 1):
        _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    else:
        _, lengths, axes = svds(centred, k=n, v0=np.ones(smaller), return_singular_vectors="vh")
    order = np.argsort(lengths)[::-1][:n]
    axes = axes[order].T
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return axes * np.where(largest < 0, -1.0, 1.0), np.square(lengths[order])


def _two(points: FloatArray) -> NDArray[np.float32]:
    """Exactly two columns."""
    missing = max(0, 2 - points.shape[1])
    return np.pad(points[:, :2], ((0, 0), (0, missing))).astype(np.float32)
