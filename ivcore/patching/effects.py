"""What a sweep's effects say: which sets are strongest, which exceed the sum of their parts, how spread it is.

Effects are arrays of shape (n_sets, n_samples), metric(patched) - metric(target alone).

1. ``rank_sets``: mean and interval of every set, strongest first.
2. ``chosen_on_halves``: the best of many sets is flattered by the samples that chose it, so it is chosen on one half of
   the samples and measured on the other, and the other way round.
3. ``superadditivity``: for every pair and triple f(S) minus the sum of its singles, sample by sample, with interval and
   tests; for triples also the third-order interaction, f(ijk) - f(ij) - f(ik) - f(jk) + f(i) + f(j) + f(k).
4. ``released_superadditivity``: the test of the code released with arXiv 2602.07930 (REFERENCE, departure 4).
5. ``spread``: over how many singles and pairs the effect is spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..errors import InputError
from ..stats import MeanInterval, bootstrap_means, effective_number, one_sided_tests, ratio
from .sets import LayerSet

__all__ = [
    "HeldOut",
    "ReleasedTest",
    "SetEffect",
    "Spread",
    "Superadditivity",
    "ThirdOrder",
    "chosen_on_halves",
    "rank_sets",
    "released_superadditivity",
    "spread",
    "superadditivity",
]

FloatArray = NDArray[np.float64]
_RELEASED_MEAN = 50.0
_TIE_DECIMALS = 9
"""Means that agree to so many decimals differ by rounding only."""
_FEWEST_TO_HALVE = 4
"""With fewer samples a half would be one sample."""


@dataclass(frozen=True)
class SetEffect:
    """Mean effect of one set, in the metric's unit."""

    layers: LayerSet
    mean: float
    low: float | None
    """95% bootstrap interval over samples; None for a single sample."""
    high: float | None
    n: int


@dataclass(frozen=True)
class HeldOut:
    """A set chosen on some samples and measured on others."""

    effect: SetEffect
    """Of the chosen set, on the samples that did not choose it."""
    n_chosen_on: int
    recovery: float | None
    """On the same samples; None where it is not defined."""


@dataclass(frozen=True)
class ThirdOrder:
    """What three layers do together beyond their singles and pairs."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Superadditivity:
    """One set against the sum of its singles. The tests are one-sided: is the mean difference above zero?"""

    layers: LayerSet
    mean: float
    """Mean of f(S) minus the sum of f({l}), in the metric's unit."""
    low: float | None
    high: float | None
    t: float | None
    p: float | None
    p_wilcoxon: float | None
    p_holm: float | None
    """``p`` adjusted over all sets of the sweep that were tested."""
    p_bh: float | None
    share: float
    """Share of the samples above zero."""
    third_order: ThirdOrder | None
    """For triples whose pairs were swept too."""
    undefined: str | None
    """Why there is no test, in words."""


@dataclass(frozen=True)
class ReleasedTest:
    """The released code's test of one pair; singles are tested as pairs with themselves."""

    layers: tuple[int, int]
    t: float | None
    """Minus infinity where all samples agree."""
    p: float | None
    """Two-sided."""
    n_holding: int
    """Samples with f(i, j) >= f(i) + f(j)."""


@dataclass(frozen=True)
class Spread:
    """How localised an effect is."""

    effective_sets: float | None
    """Exponential of the entropy of the positive mean effects: 1 where one set has it all; None where none is."""
    top_layers: LayerSet | None
    top_share: float | None
    """Share of the strongest set in the sum of the positive mean effects."""
    n_sets: int


def rank_sets(effects: FloatArray, sets: Sequence[LayerSet], seed: int = 0) -> tuple[SetEffect, ...]:
    """Mean and interval of every set, highest mean first; of equals (to nine decimals) the smaller set, then by layers.

    Raises:
        InputError: as ``bootstrap_means``.
    """
    _check(effects, sets)
    rows = [
        SetEffect(layers, found.mean, found.low, found.high, found.n)
        for layers, found in zip(sets, bootstrap_means(effects, seed=seed), strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: _strength(row.mean, row.layers)))


def chosen_on_halves(
    effects: FloatArray, span: FloatArray, sets: Sequence[LayerSet], seed: int = 0
) -> tuple[HeldOut, ...]:
    """The best set of each random half of the samples, measured on the other half; nothing for fewer than 4 samples.

    Args:
        effects: shape (n_sets, n_samples).
        span: metric(full prompt) - metric(target alone), shape (n_samples,).
        sets: one a row of ``effects``.
        seed: of the halves and of the intervals.

    Raises:
        InputError: as ``bootstrap_means``.
    """
    _check(effects, sets)
    n = effects.shape[1]
    if n < _FEWEST_TO_HALVE or not len(sets):
        return ()
    order = np.random.default_rng(seed).permutation(n)
    halves = order[: n // 2], order[n // 2 :]
    return tuple(_held_out(effects, span, sets, *pair, seed) for pair in (halves, halves[::-1]))


def superadditivity(effects: FloatArray, sets: Sequence[LayerSet], seed: int = 0) -> tuple[Superadditivity, ...]:
    """Every set of two or three layers whose singles were swept too, in the order of ``sets``.

    Raises:
        InputError: as ``bootstrap_means``.
    """
    _check(effects, sets)
    row = {layers: effects[i] for i, layers in enumerate(sets)}
    larger = [s for s in sets if len(s) in (2, 3) and all((layer,) in row for layer in s)]
    if not larger:
        return ()
    excess = _rounded(np.stack([row[s] - sum(row[layer,] for layer in s) for s in larger]))
    third: dict[LayerSet, FloatArray] = {
        s: _third_order(row, s) for s in larger if len(s) == 3 and all(p in row for p in combinations(s, 2))
    }
    orders = dict(zip(third, bootstrap_means(np.stack(list(third.values())), seed=seed), strict=True)) if third else {}
    return tuple(
        Superadditivity(
            layers,
            interval.mean,
            interval.low,
            interval.high,
            test.t,
            test.p,
            test.p_wilcoxon,
            test.p_holm,
            test.p_bh,
            test.share,
            _as_third(orders.get(layers)),
            test.undefined,
        )
        for layers, interval, test in zip(
            larger, bootstrap_means(excess, seed=seed), one_sided_tests(excess), strict=True
        )
    )


def released_superadditivity(effects: FloatArray, sets: Sequence[LayerSet]) -> tuple[ReleasedTest, ...]:
    """The released code's one-sample t-test of the truth values of f(i, j) >= f(i) + f(j) against a mean of 50.0."""
    _check(effects, sets)
    row = {layers: effects[i] for i, layers in enumerate(sets)}
    pairs = {s: (s[0], s[-1]) for s in sets if len(s) <= 2 and all((layer,) in row for layer in s)}
    return tuple(_released(ends, row[s] >= row[ends[0],] + row[ends[1],]) for s, ends in pairs.items())


def spread(means: FloatArray, sets: Sequence[LayerSet]) -> Spread:
    """How localised mean effects (n_sets,) are; negative ones count as none."""
    _check(means, sets)
    positive = np.maximum(means, 0.0)
    top = int(positive.argmax()) if len(sets) else 0
    if not len(sets) or positive[top] == 0:
        return Spread(None, None, None, len(sets))
    return Spread(effective_number(positive), sets[top], float(positive[top] / positive.sum()), len(sets))


def _strength(mean: float, layers: LayerSet) -> tuple[float, int, LayerSet]:
    """Sorts the strongest set first."""
    return -round(mean, _TIE_DECIMALS), len(layers), layers


def _held_out(
    effects: FloatArray,
    span: FloatArray,
    sets: Sequence[LayerSet],
    choose: NDArray[np.intp],
    measure: NDArray[np.intp],
    seed: int,
) -> HeldOut:
    means = effects[:, choose].mean(axis=1).tolist()
    best = min(range(len(sets)), key=lambda i: _strength(means[i], sets[i]))
    (found,) = rank_sets(effects[best : best + 1, measure], sets[best : best + 1], seed)
    return HeldOut(found, len(choose), ratio(found.mean, float(span[measure].mean())))


def _rounded(values: FloatArray) -> FloatArray:
    """Differences of reciprocal ranks that are zero come out as 1e-17 or so, and would count as above or below zero."""
    return np.round(values, 12) + 0.0


def _third_order(row: dict[LayerSet, FloatArray], layers: LayerSet) -> FloatArray:
    pairs = sum((row[pair] for pair in combinations(layers, 2)), np.zeros_like(row[layers]))
    singles = sum((row[layer,] for layer in layers), np.zeros_like(row[layers]))
    return np.asarray(row[layers] - pairs + singles)


def _as_third(found: MeanInterval | None) -> ThirdOrder | None:
    return None if found is None else ThirdOrder(found.mean, found.low, found.high)


def _released(layers: tuple[int, int], holds: NDArray[np.bool_]) -> ReleasedTest:
    n, n_holding = len(holds), int(holds.sum())
    if n < 2:
        return ReleasedTest(layers, None, None, n_holding)
    if n_holding in (0, n):
        return ReleasedTest(layers, -math.inf, 0.0, n_holding)
    found = stats.ttest_1samp(holds.astype(np.float64), _RELEASED_MEAN)
    return ReleasedTest(layers, float(found.statistic), float(found.pvalue), n_holding)


def _check(effects: FloatArray, sets: Sequence[LayerSet]) -> None:
    if len(effects) != len(sets):
        raise InputError(f"{len(effects)} rows of effects do not fit {len(sets)} layer sets; give one row a set.")
