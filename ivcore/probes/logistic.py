"""Multinomial logistic regression with L2 penalty: scikit-learn's optimum, for many labelings of the same points at
once.

Minimised is, for weights w_c and free intercepts b_c of the classes c,

    sum over points of -log softmax(z w + b)[y]  +  (1 / 2C) sum of w^2

and for two classes scikit-learn's binary form of it (the difference of the two weight vectors, which has the same
optimum as the above at half of C). The optimum is unique up to a constant on all intercepts, so any method that gets
there gives scikit-learn's predictions.

1. All labelings (the true one and shuffled ones) share each matrix product.
2. With more dimensions than points the weights lie in the span of the points: w = z^T a, and only products of points
   with one another are needed (``_Span``); else they are taken as they are (``_Full``).
3. L-BFGS, preconditioned by the Hessian at equal probabilities, (Z^T Z / n_classes + 1 / C)^-1; in the span its
   product with Z comes free, so that an iteration costs one product with an (n, n) matrix.
4. From strong to weak penalty, each from the last one's optimum.

Source: Liu and Nocedal 1989 (L-BFGS); Böhning 1992 (a fixed bound of the Hessian); Schölkopf, Herbrich and Smola 2001
(the representer theorem, 2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

__all__ = ["Weights", "fit_path"]

FloatArray = NDArray[Any]
IntArray = NDArray[np.int64]

_MEMORY = 6
"""Steps that L-BFGS remembers."""
_MAX_ITERATIONS = 400
_TOLERANCE = {"f": 1e-6, "d": 1e-10}
"""By precision: how far from the minimum, in nats over all points, counts as there."""
_SUFFICIENT = 1e-4
_HALVINGS = 12


@dataclass(frozen=True)
class Weights:
    """Fitted probes of several labelings of the same points."""

    coef: FloatArray
    """Shape (n_labelings, n_classes, n_features)."""
    intercept: FloatArray
    """Shape (n_labelings, n_classes)."""

    def scores(self, features: FloatArray) -> FloatArray:
        """Log-odds up to a constant a point: shape (n_labelings, n_classes, n)."""
        n_labelings, n_classes, n_features = self.coef.shape
        product = self.coef.reshape(n_labelings * n_classes, n_features) @ features.T
        found: FloatArray = product.reshape(n_labelings, n_classes, len(features)) + self.intercept[..., None]
        return found

    def predict(self, features: FloatArray) -> IntArray:
        """The most likely class of each point: shape (n_labelings, n)."""
        return self.scores(features).argmax(axis=1)


def fit_path(
    features: FloatArray, labelings: IntArray, n_classes: int, strengths: Sequence[float]
) -> Iterator[Weights]:
    """The optimum of every labeling for each strength in turn.

    Args:
        features: shape (n, n_features); float64 for an exact optimum, float32 for speed.
        labelings: classes of the points, shape (n_labelings, n).
        n_classes: classes are 0 to ``n_classes`` - 1; one that no point has is never predicted.
        strengths: C, ascending.
    """
    if not features.shape[1]:
        no_use = np.zeros((len(features), 1), dtype=features.dtype)
        for found in fit_path(no_use, labelings, n_classes, strengths):
            yield Weights(found.coef[..., :0], found.intercept)
        return
    centre = features.mean(axis=0)
    centred = features - centre
    wide = features.shape[1] > len(features)
    space: _Space = _Span(centred, n_classes) if wide else _Full(centred, n_classes)
    truth = np.moveaxis(labelings[..., None] == np.arange(n_classes), -1, -2).astype(features.dtype)
    point = space.zeros(len(labelings))
    for strength in strengths:
        # scikit-learn's binary form has one weight vector, of which each of our two is one half.
        penalty = (2.0 if n_classes == 2 else 1.0) / strength
        space.prepare(penalty)
        point = _minimise(space, truth, point)
        coef, intercept = space.weights(point)
        yield Weights(coef, intercept - coef @ centre)


@dataclass(frozen=True)
class _State:
    """Where the minimisation stands."""

    point: FloatArray
    values: FloatArray
    loss: FloatArray
    gradient: FloatArray

    @staticmethod
    def of(space: _Space, truth: FloatArray, point: FloatArray, values: FloatArray) -> _State:
        loss, residual = _cross_entropy(values, truth)
        return _State(point, values, loss, space.gradient(residual, point))


@dataclass(frozen=True)
class _Remembered:
    """One step, how the gradient changed along it, and the inverse of the product of the two (n_labelings,)."""

    step: FloatArray
    change: FloatArray
    inverse: FloatArray


class _Space(ABC):
    """Where the weights live. Arrays end in (n_labelings, n_classes, size + 1): coordinates, then the intercept.

    A *point* or direction is (parts, ...): its coordinates and, as the last part, what they are multiplied with in an
    inner product. A *gradient* is one such array.
    """

    parts: int
    size: int

    def __init__(self, centred: FloatArray, n_classes: int) -> None:
        self.centred, self.n_classes = centred, n_classes
        self.penalty, self.inverse = 1.0, np.empty(0)
        self.gram = self.products()

    def zeros(self, n_labelings: int) -> FloatArray:
        return np.zeros((self.parts, n_labelings, self.n_classes, self.size + 1), dtype=self.centred.dtype)

    def prepare(self, penalty: float) -> None:
        """Invert the Hessian at equal probabilities, for this penalty."""
        self.penalty = penalty
        hessian = self.gram / self.n_classes
        hessian[np.diag_indices_from(hessian)] += penalty
        factor = linalg.cholesky(hessian, lower=True, overwrite_a=True, check_finite=False)
        (invert,) = linalg.get_lapack_funcs(("potri",), (factor,))
        self.inverse, _ = invert(factor, lower=True, overwrite_c=True)
        self.inverse += np.tril(self.inverse, -1).T

    def solve(self, gradient: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The inverse times a gradient's coordinates, and the step of the intercepts."""
        step = _times(gradient[..., :-1], self.inverse)
        return step, gradient[..., -1:] * (self.n_classes / len(self.centred))

    @abstractmethod
    def products(self) -> FloatArray:
        """The Hessian at equal probabilities, times the number of classes, without the penalty."""

    @abstractmethod
    def values(self, point: FloatArray) -> FloatArray:
        """Scores of the points: shape (n_labelings, n_classes, n)."""

    @abstractmethod
    def gradient(self, residual: FloatArray, point: FloatArray) -> FloatArray:
        """Of the penalised loss."""

    @abstractmethod
    def precondition(self, gradient: FloatArray) -> FloatArray:
        """A direction that ``gradient`` asks for."""

    @abstractmethod
    def weights(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Weights and intercepts."""


class _Full(_Space):
    """The weights themselves."""

    parts = 1

    def __init__(self, centred: FloatArray, n_classes: int) -> None:
        super().__init__(centred, n_classes)
        self.size = centred.shape[1]

    def products(self) -> FloatArray:
        return self.centred.T @ self.centred

    def values(self, point: FloatArray) -> FloatArray:
        return _times(point[0, ..., :-1], self.centred.T) + point[0, ..., -1:]

    def gradient(self, residual: FloatArray, point: FloatArray) -> FloatArray:
        coordinates = _times(residual, self.centred) + self.penalty * point[0, ..., :-1]
        return np.concatenate((coordinates, residual.sum(axis=-1, keepdims=True)), axis=-1)

    def precondition(self, gradient: FloatArray) -> FloatArray:
        return np.concatenate(self.solve(gradient), axis=-1)[None]

    def weights(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        return point[0, ..., :-1], point[0, ..., -1]


class _Span(_Space):
    """Coordinates a with w = z^T a; the second part is K a, with K the products of points with one another."""

    parts = 2

    def __init__(self, centred: FloatArray, n_classes: int) -> None:
        super().__init__(centred, n_classes)
        self.size = len(centred)

    def products(self) -> FloatArray:
        return self.centred @ self.centred.T

    def values(self, point: FloatArray) -> FloatArray:
        values: FloatArray = point[1, ..., :-1] + point[1, ..., -1:]
        return values

    def gradient(self, residual: FloatArray, point: FloatArray) -> FloatArray:
        coordinates = residual + self.penalty * point[0, ..., :-1]
        return np.concatenate((coordinates, residual.sum(axis=-1, keepdims=True)), axis=-1)

    def precondition(self, gradient: FloatArray) -> FloatArray:
        # (K / m + p) a = g gives K a = m (g - p a) without another product.
        step, intercept = self.solve(gradient)
        image = self.n_classes * (gradient[..., :-1] - self.penalty * step)
        return np.stack([np.concatenate((part, intercept), axis=-1) for part in (step, image)])

    def weights(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        return _times(point[0, ..., :-1], self.centred), point[0, ..., -1]


def _minimise(space: _Space, truth: FloatArray, start: FloatArray) -> FloatArray:
    """L-BFGS from ``start``; a labeling that has arrived takes no more steps."""
    tolerance = _TOLERANCE[truth.dtype.char]
    at = _State.of(space, truth, start, space.values(start))
    memory: list[_Remembered] = []
    for _ in range(_MAX_ITERATIONS):
        direction = _direction(space, at.gradient, memory)
        descent = _pair(at.gradient, direction)
        along = space.values(direction)
        sizes = _step_sizes(space.penalty, truth, at, direction, along, descent, descent > 2 * tolerance)
        if not sizes.any():
            break
        step = -sizes[:, None, None] * direction
        after = _State.of(space, truth, at.point + step, at.values - sizes[:, None, None] * along)
        memory = [*memory[-_MEMORY + 1 :], _remember(step, after.gradient - at.gradient)]
        at = after
    return at.point


def _step_sizes(
    penalty: float,
    truth: FloatArray,
    at: _State,
    direction: FloatArray,
    along: FloatArray,
    descent: FloatArray,
    going: NDArray[np.bool_],
) -> FloatArray:
    """How far each labeling goes against ``direction``: 1 halved until the loss falls enough, 0 where it never does."""
    sizes = going.astype(truth.dtype)
    linear = penalty * _pair(at.point[0, ..., :-1], direction[..., :-1])
    square = penalty * _pair(direction[0, ..., :-1], direction[..., :-1])
    noise = 4 * np.finfo(truth.dtype).eps * at.loss
    for _ in range(_HALVINGS):
        loss = _cross_entropy(at.values - sizes[:, None, None] * along, truth)[0]
        change = loss - at.loss - sizes * linear + sizes**2 * square / 2
        too_far = change > noise - _SUFFICIENT * sizes * descent
        if not too_far.any():
            return sizes
        sizes = np.where(too_far, sizes / 2, sizes)
    return np.where(too_far, 0, sizes).astype(truth.dtype)


def _direction(space: _Space, gradient: FloatArray, memory: Sequence[_Remembered]) -> FloatArray:
    """The two loops of L-BFGS; what is returned is to be subtracted."""
    left, shares = gradient, list[FloatArray]()
    for past in reversed(memory):
        shares.append(past.inverse * _pair(left, past.step))
        left = left - shares[-1][:, None, None] * past.change
    direction = space.precondition(left)
    for past, share in zip(memory, reversed(shares), strict=True):
        correction = share - past.inverse * _pair(past.change, direction)
        direction = direction + correction[:, None, None] * past.step
    return direction


def _remember(step: FloatArray, change: FloatArray) -> _Remembered:
    curvature = _pair(change, step)
    usable = curvature > np.finfo(step.dtype).tiny
    return _Remembered(step, change, np.where(usable, 1 / np.where(usable, curvature, 1), 0).astype(step.dtype))


def _cross_entropy(values: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Summed loss of each labeling (n_labelings,), in double precision, and its slope by the scores."""
    shifted = values - values.max(axis=1, keepdims=True)
    odds = np.exp(shifted)
    total = odds.sum(axis=1, keepdims=True)
    right = (shifted * truth).sum(axis=1)
    return (np.log(total[:, 0]) - right).sum(axis=-1, dtype=np.float64), odds / total - truth


def _pair(gradient: FloatArray, direction: FloatArray) -> FloatArray:
    """How much a step changes the loss to first order: shape (n_labelings,)."""
    found: FloatArray = np.einsum("pi,pi->p", *(x.reshape(len(x), -1) for x in (gradient, direction[-1])))
    return found


def _times(stack: FloatArray, matrix: FloatArray) -> FloatArray:
    """(..., a) times (a, b) as one product."""
    product: FloatArray = (stack.reshape(-1, stack.shape[-1]) @ matrix).reshape(*stack.shape[:-1], matrix.shape[1])
    return product
