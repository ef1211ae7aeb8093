"""Statistics against plain loops, scipy and figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from ivcore.errors import InputError
from ivcore.stats import (
    bootstrap_means,
    effective_number,
    one_sided_tests,
    proportion,
    rank_agreement,
    ratio,
    ratio_interval,
    resample_weights,
    top_overlap,
)


def samples(n_rows: int = 6, n: int = 40, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(loc=rng.normal(0, 0.4, size=(n_rows, 1)), size=(n_rows, n))


def test_the_bootstrap_is_that_of_a_plain_loop_over_the_same_draws() -> None:
    values, n = samples(3, 15), 15
    weights = np.random.default_rng(7).multinomial(n, np.full(n, 1 / n), size=500)
    for row, found in zip(values, bootstrap_means(values, n_resamples=500, seed=7), strict=True):
        means = [np.repeat(row, counts).mean() for counts in weights]
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1e-12)
        assert found.mean == pytest.approx(row.mean()) and found.n == 15
        assert found.low < found.mean < found.high


def test_many_rows_have_the_intervals_that_each_has_alone() -> None:
    values = samples(600, 9)
    together = bootstrap_means(values, n_resamples=50)
    for i in (0, 255, 256, 599):
        alone = bootstrap_means(values[i : i + 1], n_resamples=50)[0]
        assert (together[i].low, together[i].high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    assert together[255].low != pytest.approx(together[256].low)


def test_every_resample_draws_as_many_as_there_are() -> None:
    weights = resample_weights(12, 300, 1)
    assert np.allclose(weights.sum(axis=1), 1) and set(np.unique(weights * 12)) <= set(range(13))
    assert not np.allclose(weights, 1 / 12)


def test_the_interval_is_near_that_of_the_normal_distribution() -> None:
    row = samples(1, 400)
    found, error = bootstrap_means(row)[0], row.std() / math.sqrt(400)
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.1 * error)
    narrower = bootstrap_means(row, level=0.5)[0]
    assert narrower.high - narrower.low < 0.5 * (found.high - found.low)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(300):
        found = bootstrap_means(rng.normal(1.0, 1.0, size=(1, 50)), n_resamples=500, seed=int(rng.integers(1e6)))[0]
        covered.append(found.low <= 1.0 <= found.high)
    assert 0.89 <= np.mean(covered) <= 0.98


def test_one_sample_has_no_interval_and_equal_samples_have_a_point() -> None:
    alone = bootstrap_means(np.array([[2.5]]))[0]
    assert (alone.mean, alone.low, alone.high, alone.n) == (2.5, None, None, 1)
    equal = bootstrap_means(np.full((1, 30), 0.1))[0]
    assert equal.low == pytest.approx(0.1) == equal.high and equal.low <= equal.mean <= equal.high


@pytest.mark.parametrize("values", [np.zeros((2, 0)), np.zeros(3), np.array([[1.0, np.nan]]), np.array([[np.inf, 1]])])
def test_what_cannot_be_averaged_is_refused(values: np.ndarray) -> None:
    with pytest.raises(InputError):
        bootstrap_means(values)


def test_each_row_is_tested_as_scipy_tests_it() -> None:
    values = samples()
    values[0, :5] = 0
    for row, found in zip(values, one_sided_tests(values), strict=True):
        t = scipy_stats.ttest_1samp(row, 0, alternative="greater")
        assert (found.t, found.p) == pytest.approx((t.statistic, t.pvalue))
        w = scipy_stats.wilcoxon(row[row != 0], alternative="greater")
        assert found.p_wilcoxon == pytest.approx(w.pvalue)
        assert found.share == sum(v > 0 for v in row) / len(row)
    negated = one_sided_tests(-values)[2]
    assert negated.p == pytest.approx(1 - one_sided_tests(values)[2].p), "the tests look to one side"


def rows_with_p(wanted: list[float], n: int = 12) -> np.ndarray:
    """Rows whose one-sided t-test has these p-values."""
    base = np.random.default_rng(2).normal(size=n)
    base = (base - base.mean()) / base.std(ddof=1)
    return np.stack([base + scipy_stats.t.isf(p, n - 1) / math.sqrt(n) for p in wanted])


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    found = one_sided_tests(rows_with_p([0.01, 0.04, 0.03, 0.005]))
    assert [f.p for f in found] == pytest.approx([0.01, 0.04, 0.03, 0.005])
    assert [f.p_holm for f in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [f.p_bh for f in found] == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_adjusted_p_never_exceeds_one() -> None:
    found = one_sided_tests(rows_with_p([0.9, 0.7, 0.4]))
    assert max(f.p_holm for f in found) == 1.0 and all(f.p <= f.p_bh <= 1 for f in found)


def test_rows_without_a_test_say_why_and_do_not_count() -> None:
    values = np.vstack([rows_with_p([0.02]), np.full((1, 12), 0.3), np.zeros((1, 12))])
    found = one_sided_tests(values)
    assert found[0].p_holm == pytest.approx(0.02), "adjusted over one row, not three"
    for row, share in zip(found[1:], (1.0, 0.0), strict=True):
        assert (row.t, row.p, row.p_holm, row.p_bh, row.p_wilcoxon) == (None,) * 5
        assert row.undefined and "equal" in row.undefined and row.share == share
    single = one_sided_tests(np.array([[1.0]]))[0]
    assert single.p is None and single.undefined and "single" in single.undefined


def test_the_ratio_is_that_of_the_means_with_a_loop_s_interval() -> None:
    rng = np.random.default_rng(4)
    below = rng.uniform(0.5, 1.5, 25)
    above = 0.6 * below + rng.normal(0, 0.1, 25)
    found = ratio_interval(above, below, n_resamples=400, seed=9)
    weights = np.random.default_rng(9).multinomial(25, np.full(25, 1 / 25), size=400)
    ratios = [np.repeat(above, c).mean() / np.repeat(below, c).mean() for c in weights]
    assert found.value == pytest.approx(above.mean() / below.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])))
    assert found.value != pytest.approx((above / below).mean(), abs=1e-4), "not the mean of ratios"


def test_a_ratio_without_a_denominator_is_not_defined() -> None:
    found = ratio_interval(np.ones(4), np.array([1e-9, -1e-9, 0, 0]))
    assert found.value is None and found.undefined
    assert ratio(1.0, -1e-7) is None and ratio(1.0, -2.0) == -0.5
    unsure = ratio_interval(np.ones(4), np.array([1.0, -0.9, 0.5, -0.4]))
    assert unsure.value is not None and unsure.low is None and unsure.undefined and "resamples" in unsure.undefined
    single = ratio_interval(np.ones(1), np.ones(1))
    assert (single.value, single.low) == (1.0, None) and single.undefined and "single" in single.undefined


def wilson(hits: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Written out from Wilson 1927."""
    p, half = hits / n, z * math.sqrt(hits / n * (1 - hits / n) / n + z * z / (4 * n * n))
    return tuple((p + z * z / (2 * n) + sign * half) / (1 + z * z / n) for sign in (-1, 1))  # type: ignore[return-value]


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (7, 7), (1, 2), (97, 100), (450, 1000)])
def test_a_proportion_has_wilsons_interval(hits: int, n: int) -> None:
    found = proportion(hits, n)
    assert (found.share, found.hits, found.n) == (hits / n, hits, n)
    assert (found.low, found.high) == pytest.approx(wilson(hits, n), abs=1e-12)
    assert found.low is not None and found.high is not None and 0 <= found.low < found.high <= 1


def test_wilsons_interval_covers_and_one_of_half_the_level_does_not() -> None:
    draws = np.random.default_rng(0).binomial(60, 0.9, 2000).tolist()
    covers = dict.fromkeys((0.95, 0.5), 0)
    for level in covers:
        ends = {hits: proportion(hits, 60, level=level) for hits in set(draws)}
        covers[level] = sum(ends[hits].low <= 0.9 <= ends[hits].high for hits in draws)  # type: ignore[operator]
    assert 0.93 < covers[0.95] / 2000 < 0.98
    assert covers[0.5] / 2000 < 0.65


def test_a_share_of_nothing_is_not_defined_and_of_too_many_refused() -> None:
    assert proportion(0, 0).share is None
    with pytest.raises(InputError, match="3 of 2"):
        proportion(3, 2)


def test_rank_agreement_is_spearmans() -> None:
    a, b = [1.0, 2.0, 3.0, 4.0, 4.0], [2.0, 1.0, 4.0, 3.0, 5.0]
    assert rank_agreement(a, b).rho == pytest.approx(scipy_stats.spearmanr(a, b).statistic)
    assert rank_agreement(a, [math.exp(v) for v in a]).rho == pytest.approx(1.0)
    assert rank_agreement([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).rho is None
    assert rank_agreement([1.0, 2.0], [1.0, 2.0]).reason
    with pytest.raises(InputError):
        rank_agreement([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="finite"):
        rank_agreement([1.0, math.nan, 3.0], [1.0, 2.0, 3.0])


def test_overlap_and_effective_number() -> None:
    assert top_overlap([1, 2, 3, 4], [9, 3, 1, 2], 3) == 2
    assert effective_number(np.array([1.0, 1, 1, 1])) == pytest.approx(4)
    assert effective_number(np.array([5.0, 0, -3])) == pytest.approx(1)
    assert effective_number(np.array([3.0, 1])) == pytest.approx(
        math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    )
    assert effective_number(np.array([0.0, -1])) is None
    assert effective_number(np.array([1e10, 5e-324])) == 1.0, "a share below the smallest float is none"
