"""Are the same heads active?  Between values of k, tasks, stages or positions, by layer (REFERENCE section 4).

1. ``agreement_by_layer``: Spearman's r of the heads' activities, one layer at a time (the paper's Table 2).
2. ``jaccard``: of the sets of active heads in groups of layers (Tables 3 and 20 to 24).
3. ``split_halves``: the control that the paper lacks.  Two tasks differ also because each is seen through few prompts;
   so their likeness is held against that of two halves of the *same* task's prompts, all halves of the same size.

The first two have percentile bootstraps over prompts.  Sides that share queries (two values of k, stages, positions, or
tasks that ask different things of the same words) are paired: a query drawn is drawn for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..errors import InputError
from ..stats import LEVEL, N_RESAMPLES, rank_agreement, resample_weights
from .activity import THRESHOLD, HeadUse

__all__ = [
    "LAYER_GROUPS",
    "Agreement",
    "Similarity",
    "SplitHalves",
    "agreement_by_layer",
    "jaccard",
    "split_halves",
]

LAYER_GROUPS: Mapping[str, tuple[int, int]] = {"0-2": (0, 2), "6-9": (6, 9), "10-15": (10, 15)}
"""The groups of the published Tables 22 to 24: first and last layer."""

_LEVELS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_NOTHING_ACTIVE = "no head of these layers is active in either"
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Spearman's r of all heads' activities in one layer."""

    rho: float | None
    low: float | None
    """Of the 95% bootstrap interval over prompts. Few prompts make rankings noisier than they are, and noise lowers r,
    so the interval may reach further down than up; None too where some resample leaves all heads alike."""
    high: float | None
    n: int
    """Heads."""
    reason: str | None
    """Why there is no value, in words."""


@dataclass(frozen=True)
class Similarity:
    """The Jaccard index of two sets of active heads in some layers."""

    layers: tuple[int, int]
    """First and last."""
    value: float | None
    """Size of the intersection over that of the union, 0 to 1."""
    low: float | None
    """Of the 95% bootstrap interval over prompts."""
    high: float | None
    n_active: tuple[int, int]
    undefined: str | None
    """Why there is no value, in words."""


@dataclass(frozen=True)
class SplitHalves:
    """One layer: how alike two tasks' heads are, and how alike two halves of one task's prompts."""

    layer: int
    between: float | None
    """Mean likeness of a half of one task and a half of the other: the sum over heads of the smaller activity over that
    of the larger, 1 where they are the same."""
    within: float | None
    """Mean likeness of two halves of the same task, both tasks alike."""
    difference: float | None
    """``within`` less ``between``: above zero where the tasks differ by more than their prompts do."""
    low: float | None
    """Of the central 95% of the difference over random splits."""
    high: float | None
    undefined: str | None
    """Why there is no value, in words."""


def agreement_by_layer(
    a: HeadUse, b: HeadUse, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> tuple[Agreement, ...]:
    """Spearman's r of the heads' activities in each layer; not defined where a layer's heads are all alike.

    Raises:
        InputError: the two come from models of different shapes.
    """
    _same_heads(a, b)
    both = [_level(use.activity).tolist() for use in (a, b)]
    ranked = [rank_agreement(x, y) for x, y in zip(*both, strict=True)]
    nothing = [(None, None)] * len(ranked)
    ends = _ends(_spearman(*_drawn(a, b, n_resamples, seed))) if _can_resample(a, b) else nothing
    return tuple(
        Agreement(one.rho, *((None, None) if one.rho is None else end), one.n, one.reason)
        for one, end in zip(ranked, ends, strict=True)
    )


def jaccard(
    a: HeadUse,
    b: HeadUse,
    groups: Sequence[tuple[int, int]],
    *,
    threshold: float = THRESHOLD,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> tuple[Similarity, ...]:
    """The likeness of the sets of heads whose activity is above ``threshold``, in each group of layers.

    Args:
        a: one set of prompts.
        b: the other; of the same model's shape.
        groups: first and last layer of each.
        threshold: between 0 and 1.
        n_resamples: how often prompts are drawn anew.
        seed: of the draws.

    Raises:
        InputError: different shapes, a group outside the layers, or a threshold outside 0 to 1.
    """
    n_layers = _same_heads(a, b)
    if not 0 <= threshold < 1:
        raise InputError(f"The threshold {threshold:g} is no activity that a head can exceed; choose 0 up to 1.")
    active = [use.activity > threshold for use in (a, b)]
    drawn = [one > threshold for one in _drawn(a, b, n_resamples, seed)]
    found = []
    for first, last in groups:
        if not 0 <= first <= last < n_layers:
            raise InputError(f"Layers {first} to {last} are not all there; choose from 0 to {n_layers - 1}.")
        x, y = (one[first : last + 1] for one in active)
        sizes = int(x.sum()), int(y.sum())
        union = int((x | y).sum())
        if not union:
            found.append(Similarity((first, last), None, None, None, sizes, _NOTHING_ACTIVE))
            continue
        value, low, high = int((x & y).sum()) / union, None, None
        xs, ys = (one[:, first : last + 1].reshape(n_resamples, -1) for one in drawn)
        unions = (xs | ys).sum(axis=1)
        if _can_resample(a, b) and unions.all():
            low, high = np.quantile((xs & ys).sum(axis=1) / unions, _LEVELS).tolist()
        found.append(Similarity((first, last), value, low, high, sizes, None))
    return tuple(found)


def split_halves(a: HeadUse, b: HeadUse, *, n_splits: int = 1000, seed: int = 0) -> tuple[SplitHalves, ...]:
    """For every layer, whether two tasks use other heads by more than two halves of one task's prompts do.

    Both tasks give halves of the same size, that of the smaller one's; every split draws both anew.

    Raises:
        InputError: different shapes, or fewer than four prompts of a task.
    """
    n_layers = _same_heads(a, b)
    size = min(len(a.shares), len(b.shares)) // 2
    if size < 2:
        raise InputError("Halves of a task need at least two prompts each; trace at least four prompts of each task.")
    rng = np.random.default_rng(seed)
    first, second = (_halves(use.shares, size, n_splits, rng) for use in (a, b))
    within = (_likeness(*first) + _likeness(*second)) / 2
    between = (_likeness(first[0], second[0]) + _likeness(first[1], second[1])) / 2
    rows = []
    for layer in range(n_layers):
        inside, across = within[:, layer], between[:, layer]
        if not (np.isfinite(inside).all() and np.isfinite(across).all()):
            rows.append(SplitHalves(layer, None, None, None, None, None, "no head of this layer is ever used"))
            continue
        low, high = np.quantile(inside - across, _LEVELS).tolist()
        means = float(across.mean()), float(inside.mean())
        rows.append(SplitHalves(layer, *means, means[1] - means[0], low, high, None))
    return tuple(rows)


def _same_heads(a: HeadUse, b: HeadUse) -> int:
    """The number of layers of both."""
    if a.shares.shape[1:] != b.shares.shape[1:]:
        raise InputError(
            f"Heads of {a.shares.shape[1]} x {a.shares.shape[2]} and of {b.shares.shape[1]} x {b.shares.shape[2]} "
            "(layers x heads) cannot be compared; choose two models of the same shape."
        )
    return a.shares.shape[1]


def _can_resample(a: HeadUse, b: HeadUse) -> bool:
    return min(len(a.shares), len(b.shares)) > 1


def _drawn(a: HeadUse, b: HeadUse, n_resamples: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Activities of both in every resample: each (n_resamples, n_layers, n_heads)."""
    if set(a.queries) & set(b.queries):
        names, where = np.unique([*a.queries, *b.queries], return_inverse=True)
        together = resample_weights(len(names), n_resamples, seed)
        weights = [together[:, place] for place in np.split(where, [len(a.queries)])]
        # A side that lacks some of the queries is drawn as often as the others are.
        first, second = (one / np.maximum(one.sum(axis=1, keepdims=True), 1e-300) for one in weights)
    else:
        first = resample_weights(len(a.shares), n_resamples, seed)
        second = first if a is b else resample_weights(len(b.shares), n_resamples, seed + 1)
    return _activity(first, a), _activity(second, b)


def _activity(weights: FloatArray, use: HeadUse) -> FloatArray:
    n, *shape = use.shares.shape
    drawn: FloatArray = (weights @ use.shares.reshape(n, -1)).reshape(-1, *shape)
    return drawn


def _spearman(x: FloatArray, y: FloatArray) -> FloatArray:
    """Spearman's r over the last axis, ties at their mean rank: (n_resamples, n_layers); not-a-number where all are
    alike.
    """
    ranked = [rankdata(_level(one), axis=-1) for one in (x, y)]
    centred = [ranks - ranks.mean(axis=-1, keepdims=True) for ranks in ranked]
    above = (centred[0] * centred[1]).sum(axis=-1)
    below = np.sqrt((centred[0] ** 2).sum(axis=-1) * (centred[1] ** 2).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: FloatArray = above / below
    return found


def _level(activity: FloatArray) -> FloatArray:
    """Activities without what rounding adds to their sums, which would part heads that are alike."""
    return np.round(activity, 12)


def _ends(values: FloatArray) -> list[tuple[float | None, float | None]]:
    """The 95% interval of each column; none where a resample is not defined."""
    low, high = np.quantile(values, _LEVELS, axis=0).tolist()
    return [(None, None) if np.isnan(least) else (least, most) for least, most in zip(low, high, strict=True)]


def _halves(shares: FloatArray, size: int, n_splits: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Activity in two halves that share no prompt, for every split: each (n_splits, n_layers, n_heads)."""
    order = rng.permuted(np.tile(np.arange(len(shares)), (n_splits, 1)), axis=1)
    rows = np.arange(n_splits)[:, None]
    means = []
    for chosen in (order[:, :size], order[:, size : 2 * size]):
        weights = np.zeros((n_splits, len(shares)))
        weights[rows, chosen] = 1 / size
        means.append((weights @ shares.reshape(len(shares), -1)).reshape(n_splits, *shares.shape[1:]))
    return means[0], means[1]


def _likeness(x: FloatArray, y: FloatArray) -> FloatArray:
    """Sum over heads of the smaller activity over that of the larger, (n_splits, n_layers); not-a-number where no head
    is used.

    Source: Ruzicka 1958, the Jaccard index of weights.
    """
    above = np.maximum(x, y).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        likeness: FloatArray = np.minimum(x, y).sum(axis=-1) / above
    return likeness
