"""Statistics of effects: intervals, one-sided tests with correction, agreement of rankings.  Arrays in, results out.

1. ``bootstrap_means``: percentile bootstrap of each row's mean over samples.  All rows share the same resamples, so
   that one matrix product makes them all.
2. ``one_sided_tests``: paired t-test and Wilcoxon signed-rank test that a row's mean is above zero; Holm's and
   Benjamini and Hochberg's adjustment over all rows tested.
3. ``proportion``: a share with Wilson's interval.
4. ``ratio``, ``ratio_interval``: a ratio of two means (recovery), and its bootstrap.
5. ``rank_agreement``, ``top_overlap``: do two rankings agree?
6. ``effective_number``: over how many items is a sum spread?

What is not defined is None, with a reason in words; never not-a-number.

Source: Efron and Tibshirani 1993, chapter 13; Wilson 1927; Holm 1979; Benjamini and Hochberg 1995; Wilcoxon 1945
(zeros are left out); the effective number is the exponential of Shannon's entropy (Hill 1973, order 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .errors import InputError

__all__ = [
    "MeanInterval",
    "Proportion",
    "RankAgreement",
    "RatioInterval",
    "SampleTest",
    "bootstrap_means",
    "effective_number",
    "one_sided_tests",
    "proportion",
    "rank_agreement",
    "ratio",
    "ratio_interval",
    "top_overlap",
]

FloatArray = NDArray[np.float64]
N_RESAMPLES = 10_000
LEVEL = 0.95
_SMALLEST_DENOMINATOR = 1e-6
_SAMPLES_FOR_AN_INTERVAL = 2
_ROWS_AT_ONCE = 256
"""Rows resampled together, so that memory does not grow with the number of rows."""


@dataclass(frozen=True)
class MeanInterval:
    """A mean over samples, in the values' unit."""

    mean: float
    low: float | None
    """None where a single sample has no interval."""
    high: float | None
    n: int


@dataclass(frozen=True)
class SampleTest:
    """Is the mean of one row of samples above zero?"""

    t: float | None
    p: float | None
    """Of the one-sided t-test."""
    p_wilcoxon: float | None
    """Of the one-sided signed-rank test."""
    p_holm: float | None
    """``p`` after Holm, over all rows that were tested together."""
    p_bh: float | None
    """``p`` after Benjamini and Hochberg."""
    share: float
    """Share of the samples above zero."""
    undefined: str | None
    """Why there is no test, in words; None where there is one."""


@dataclass(frozen=True)
class RatioInterval:
    """A ratio of two means."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    undefined: str | None
    """Why the value, or else its interval, is not defined, in words."""


@dataclass(frozen=True)
class Proportion:
    """A share of n samples."""

    share: float | None
    """0 to 1; None where there are no samples."""
    low: float | None
    high: float | None
    hits: int
    n: int


@dataclass(frozen=True)
class RankAgreement:
    """Spearman's correlation of two rankings of the same things."""

    rho: float | None
    n: int
    reason: str | None
    """Why it is not defined, in words."""


def bootstrap_means(
    values: FloatArray, *, level: float = LEVEL, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> tuple[MeanInterval, ...]:
    """Mean of each row with its percentile bootstrap interval.

    Args:
        values: shape (n_rows, n_samples).
        level: of the interval, between 0 and 1.
        n_resamples: how often the samples are drawn anew, with replacement.
        seed: of the draws; all rows share them.

    Raises:
        InputError: no samples, or values that are not finite.
    """
    rows = _rows(values)
    n = rows.shape[1]
    means = rows.mean(axis=1)
    if n < _SAMPLES_FOR_AN_INTERVAL:
        return tuple(MeanInterval(float(mean), None, None, n) for mean in means)
    weights, levels = resample_weights(n, n_resamples, seed), [(1 - level) / 2, (1 + level) / 2]
    parts = [rows[first : first + _ROWS_AT_ONCE] for first in range(0, max(1, len(rows)), _ROWS_AT_ONCE)]
    low, high = np.concatenate([np.quantile(weights @ part.T, levels, axis=0) for part in parts], axis=1)
    # Rounding of the product must not put the mean of a constant row outside its own interval.
    low, high = np.minimum(low, means), np.maximum(high, means)
    ends = zip(means.tolist(), low.tolist(), high.tolist(), strict=True)
    return tuple(MeanInterval(mean, least, most, n) for mean, least, most in ends)


@lru_cache(maxsize=4)
def resample_weights(n: int, n_resamples: int, seed: int) -> FloatArray:
    """How often each of n samples is drawn in each resample, divided by n: shape (n_resamples, n); rows sum to 1."""
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    weights = draws / n
    weights.flags.writeable = False  # shared between calls
    return weights


def one_sided_tests(values: FloatArray) -> tuple[SampleTest, ...]:
    """Test each row of ``values`` (n_rows, n_samples) for a mean above zero.

    Rows without a test (a single sample, or all samples equal) have a reason instead and do not count in the
    adjustment.

    Raises:
        InputError: no samples, or values that are not finite.
    """
    rows = _rows(values)
    reasons = [_untestable(row) for row in rows]
    tested = [i for i, reason in enumerate(reasons) if reason is None]
    found: list[tuple[float, float, float]] = []
    for i in tested:
        t_test = stats.ttest_1samp(rows[i], 0.0, alternative="greater")
        found.append((float(t_test.statistic), float(t_test.pvalue), _wilcoxon(rows[i])))
    p = np.array([row[1] for row in found])
    holm, bh = _holm(p), stats.false_discovery_control(p) if len(p) else p
    place = {i: number for number, i in enumerate(tested)}
    shares = (rows > 0).mean(axis=1)

    def test(i: int) -> SampleTest:
        if reasons[i] is not None:
            return SampleTest(None, None, None, None, None, float(shares[i]), reasons[i])
        at = place[i]
        return SampleTest(*found[at], float(holm[at]), float(bh[at]), float(shares[i]), None)

    return tuple(test(i) for i in range(len(rows)))


def proportion(hits: int, n: int, *, level: float = LEVEL) -> Proportion:
    """The share of ``hits`` among ``n`` with Wilson's score interval, which stays within 0 and 1 and is never empty.

    Raises:
        InputError: more hits than samples, or fewer than none.
    """
    if not 0 <= hits <= n:
        raise InputError(f"{hits} of {n} samples is no share; give a number of hits from 0 to the number of samples.")
    if n == 0:
        return Proportion(None, None, None, 0, 0)
    interval = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    return Proportion(hits / n, float(interval.low), float(interval.high), hits, n)


def ratio(above: float, below: float) -> float | None:
    """``above / below``; None where ``below`` is within 1e-6 of zero."""
    return None if abs(below) < _SMALLEST_DENOMINATOR else above / below


def ratio_interval(
    numerators: FloatArray,
    denominators: FloatArray,
    *,
    level: float = LEVEL,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> RatioInterval:
    """Ratio of the two means over the same samples (n_samples,), with a percentile bootstrap over samples.

    The value is undefined where the mean of the denominators is within 1e-6 of zero; the interval already where that is
    so in any resample, or its sign changes there.

    Raises:
        InputError: no samples, or values that are not finite.
    """
    pair = _rows(np.stack([numerators, denominators]))
    n = pair.shape[1]
    above, below = pair.mean(axis=1).tolist()
    if (value := ratio(above, below)) is None:
        return RatioInterval(None, None, None, n, "the denominator is within 1e-6 of zero")
    if n < _SAMPLES_FOR_AN_INTERVAL:
        return RatioInterval(value, None, None, n, "a single sample has no interval")
    drawn = resample_weights(n, n_resamples, seed) @ pair.T
    if (drawn[:, 1] * np.sign(below)).min() < _SMALLEST_DENOMINATOR:
        return RatioInterval(value, None, None, n, "the denominator reaches zero in some resamples")
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return RatioInterval(value, min(float(low), value), max(float(high), value), n, None)


def rank_agreement(a: Sequence[float], b: Sequence[float]) -> RankAgreement:
    """Spearman's rho of two lists of values for the same things; ties share their mean rank.

    Raises:
        InputError: the lists differ in length, or hold values that are not finite.
    """
    if len(a) != len(b):
        raise InputError(f"Rankings of {len(a)} and of {len(b)} things cannot be compared; give the same things twice.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("A ranking needs finite numbers; some values are infinite or not a number.")
    if len(a) < 3:
        return RankAgreement(None, len(a), f"only {len(a)} things are ranked by both")
    if len(set(a)) == 1 or len(set(b)) == 1:
        return RankAgreement(None, len(a), "one of the two gives all the same value")
    return RankAgreement(float(stats.spearmanr(a, b).statistic), len(a), None)


def top_overlap(a: Sequence[object], b: Sequence[object], k: int) -> int:
    """How many things stand among the first ``k`` of both rankings."""
    return len(set(a[:k]) & set(b[:k]))


def effective_number(weights: FloatArray) -> float | None:
    """Over how many items a sum is spread: 1 where one has it all, n where all n have the same; None where nothing is.

    Negative weights count as none.
    """
    positive = weights[weights > 0]
    if not len(positive):
        return None
    shares = positive / positive.sum()
    shares = shares[shares > 0]  # a share may be too small for a float
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _rows(values: FloatArray) -> FloatArray:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise InputError(f"Statistics need rows of at least one sample, not an array of shape {rows.shape}.")
    if not np.isfinite(rows).all():
        raise InputError("Statistics need finite numbers; some samples are infinite or not a number.")
    return rows


def _untestable(row: FloatArray) -> str | None:
    if len(row) < _SAMPLES_FOR_AN_INTERVAL:
        return "a single sample cannot be tested"
    if np.ptp(row) <= 1e-12 * max(1.0, float(np.abs(row).max())):
        return "all samples are equal, so there is no spread to test against"
    return None


def _wilcoxon(row: FloatArray) -> float:
    """scipy's test of the samples that are not zero; it takes the exact distribution for few of them without ties."""
    return float(stats.wilcoxon(row[row != 0], alternative="greater").pvalue)


def _holm(p: FloatArray) -> FloatArray:
    """Step-down: the i-th smallest of m times (m - i), never below the one before, at most 1."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
