"""Rankings, superadditivity and spread against plain loops over samples and sets."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from ivcore.errors import InputError
from ivcore.patching import chosen_on_halves, layer_sets, rank_sets, released_superadditivity, spread, superadditivity
from ivcore.stats import bootstrap_means, one_sided_tests

N_LAYERS, N = 4, 30
SETS = layer_sets(N_LAYERS, 3)


def effects(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.2, 1.0, size=(len(SETS), N))


def additive() -> np.ndarray:
    """Effects in which every set has exactly the sum of its singles."""
    singles = np.random.default_rng(1).normal(size=(N_LAYERS, N))
    return np.stack([sum(singles[layer] for layer in layers) for layers in SETS])


def test_sets_are_ranked_by_their_mean() -> None:
    values = effects()
    found = rank_sets(values, SETS)
    expected = sorted(SETS, key=lambda s: -values[SETS.index(s)].mean())
    assert [row.layers for row in found] == expected
    for row in found:
        assert row.mean == pytest.approx(values[SETS.index(row.layers)].mean())
        assert row.low < row.mean < row.high and row.n == N


def test_of_equals_the_smaller_set_comes_first_whatever_rounding_says() -> None:
    smallest_first = sorted(SETS, key=lambda layers: (len(layers), layers))
    assert [row.layers for row in rank_sets(np.ones((len(SETS), 3)), SETS)] == smallest_first
    rounding = np.ones((len(SETS), 3)) + 1e-13 * np.arange(len(SETS))[:, None]
    assert [row.layers for row in rank_sets(rounding, SETS)] == smallest_first
    apart = np.ones((len(SETS), 3)) + 1e-6 * np.arange(len(SETS))[:, None]
    assert [row.layers for row in rank_sets(apart, SETS)] == list(SETS)[::-1]


def test_the_held_out_effect_is_measured_on_samples_that_did_not_choose() -> None:
    values, span = effects(), np.random.default_rng(5).uniform(1, 2, N)
    first, second = chosen_on_halves(values, span, SETS)
    order = np.random.default_rng(0).permutation(N)
    chose, other = order[: N // 2], order[N // 2 :]
    best = int(values[:, chose].mean(axis=1).argmax())
    assert first.effect.layers == SETS[best]
    assert first.effect.mean == pytest.approx(values[best, other].mean())
    assert first.effect.mean != pytest.approx(values[best, chose].mean()), "not on those that chose it"
    assert first.recovery == pytest.approx(values[best, other].mean() / span[other].mean())
    assert (first.n_chosen_on, first.effect.n) == (len(chose), len(other))
    assert (second.n_chosen_on, second.effect.n) == (len(other), len(chose))
    assert chosen_on_halves(values[:, :3], span[:3], SETS) == ()
    assert chosen_on_halves(np.ones_like(values), span, SETS)[0].effect.layers == (0,), "of equals the smaller set"
    assert chosen_on_halves(values, np.zeros(N), SETS)[0].recovery is None


def test_choosing_flatters_and_the_halves_show_it() -> None:
    """Pure noise: the best mean is far above zero, the held-out means of many draws are not."""
    rng = np.random.default_rng(3)
    noise = [rng.normal(size=(len(SETS), 20)) for _ in range(60)]
    chosen = [values.mean(axis=1).max() for values in noise]
    fair = [half.effect.mean for values in noise for half in chosen_on_halves(values, np.ones(20), SETS)]
    assert float(np.mean(chosen)) > 0.3
    assert abs(float(np.mean(fair))) < 0.1


def test_the_excess_is_taken_sample_by_sample() -> None:
    values = effects()
    f = {s: values[i] for i, s in enumerate(SETS)}
    found = superadditivity(values, SETS)
    assert [row.layers for row in found] == [s for s in SETS if len(s) > 1]
    for row in found:
        excess = [f[row.layers][i] - sum(f[layer,][i] for layer in row.layers) for i in range(N)]
        assert row.mean == pytest.approx(np.mean(excess))
        assert row.t == pytest.approx(stats.ttest_1samp(excess, 0).statistic)
        assert row.share == np.mean([e > 0 for e in excess])
        if len(row.layers) == 3:
            i, j, k = row.layers
            third = f[i, j, k] - f[i, j] - f[i, k] - f[j, k] + f[i,] + f[j,] + f[k,]
            assert row.third_order is not None and row.third_order.mean == pytest.approx(third.mean())
        else:
            assert row.third_order is None


@pytest.mark.parametrize("seed", [0, 5])
def test_every_figure_stands_under_its_own_name(seed: int) -> None:
    values = effects()
    f = {s: values[i] for i, s in enumerate(SETS)}
    found = superadditivity(values, SETS, seed)
    excess = np.stack([f[row.layers] - sum(f[layer,] for layer in row.layers) for row in found])
    for row, interval, test in zip(found, bootstrap_means(excess, seed=seed), one_sided_tests(excess), strict=True):
        assert (row.low, row.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
        assert row.low < row.mean < row.high
        assert (row.p, row.p_wilcoxon) == (pytest.approx(test.p), pytest.approx(test.p_wilcoxon))
        assert (row.p_holm, row.p_bh) == (pytest.approx(test.p_holm), pytest.approx(test.p_bh))
        if row.third_order is not None:
            assert row.third_order.low < row.third_order.mean < row.third_order.high
    assert any(row.p_holm != pytest.approx(row.p_bh) for row in found)
    assert any(row.p != pytest.approx(row.p_wilcoxon) for row in found)
    ranked = {row.layers: row.low for row in rank_sets(values, SETS, seed)}
    assert ranked[1, 2] == pytest.approx(bootstrap_means(values, seed=seed)[SETS.index((1, 2))].low)
    assert ranked[1, 2] != pytest.approx(bootstrap_means(values, seed=seed + 1)[SETS.index((1, 2))].low)


def test_signs_at_random_leave_nothing_after_adjustment() -> None:
    values = additive() + np.random.default_rng(2).normal(0.3, 0.05, size=(len(SETS), N))
    f = {s: values[i] for i, s in enumerate(SETS)}
    singles = np.stack([np.zeros(N) if len(s) == 1 else sum(f[layer,] for layer in s) for s in SETS])
    excess = np.where([[len(s) == 1] for s in SETS], 0, np.abs(values - singles))
    signs = np.random.default_rng(3).choice([-1, 1], size=excess.shape)
    assert all(row.p_holm < 0.01 for row in superadditivity(excess, SETS))
    assert not [row for row in superadditivity(excess * signs, SETS) if row.p_holm < 0.05]


def test_sets_whose_parts_were_not_swept_are_left_out() -> None:
    kept = [s for s in SETS if s not in ((3,), (0, 1))]
    values = effects()[[SETS.index(s) for s in kept]]
    found = {row.layers: row for row in superadditivity(values, kept)}
    assert set(found) == {(0, 2), (1, 2), (0, 1, 2)}
    assert found[0, 1, 2].third_order is None and found[0, 1, 2].p is not None
    assert all(3 not in row.layers for row in released_superadditivity(values, kept))


def test_additive_effects_have_no_excess_and_no_test() -> None:
    for row in superadditivity(additive(), SETS):
        assert row.mean == pytest.approx(0, abs=1e-12) and row.undefined and row.p is None
        assert row.third_order is None or row.third_order.mean == pytest.approx(0, abs=1e-12)


def test_a_planted_pair_is_found_after_adjustment_and_noise_is_not() -> None:
    values = additive() + np.random.default_rng(2).normal(0, 0.05, size=(len(SETS), N))
    planted = values.copy()
    planted[SETS.index((1, 3))] += 0.5
    pairs = [row for row in superadditivity(planted, SETS) if row.p_holm < 0.01 and len(row.layers) == 2]
    assert [row.layers for row in pairs] == [(1, 3)]
    assert not [row for row in superadditivity(values, SETS) if row.p_holm < 0.01]


def test_triples_contain_what_their_pairs_exceed_but_not_beyond_it() -> None:
    """A pure pair interaction shows in the triple's excess and cancels in its third order."""
    values = additive()
    for i, layers in enumerate(SETS):
        values[i] += 0.7 * ({0, 2} <= set(layers))
    triple = next(row for row in superadditivity(values, SETS) if row.layers == (0, 1, 2))
    assert triple.mean == pytest.approx(0.7)
    assert triple.third_order is not None and triple.third_order.mean == pytest.approx(0, abs=1e-12)


def test_the_released_test_is_a_t_test_of_booleans_against_fifty() -> None:
    values = effects()
    f = {s: values[i] for i, s in enumerate(SETS)}
    found = {row.layers: row for row in released_superadditivity(values, SETS)}
    assert set(found) == {(a, b) for a in range(N_LAYERS) for b in range(a, N_LAYERS)}
    for (a, b), row in found.items():
        together = f[a,] if a == b else f[a, b]
        holds = [bool(together[i] >= f[a,][i] + f[b,][i]) for i in range(N)]
        assert row.n_holding == sum(holds)
        expected = stats.ttest_1samp(np.array(holds, dtype=float), 50.0)
        assert (row.t, row.p) == pytest.approx((expected.statistic, expected.pvalue))
        assert row.t < -300, "hugely negative whatever the data: the departure that the page explains"


def test_the_released_test_counts_equality_and_has_minus_infinity() -> None:
    found = released_superadditivity(np.zeros((len(SETS), 5)), SETS)
    assert all(row.n_holding == 5 and row.t == -math.inf for row in found)


def test_the_spread_counts_positive_means_only() -> None:
    sets = tuple(combinations(range(4), 1))
    assert spread(np.array([2.0, 2.0, -5.0, 0.0]), sets).effective_sets == pytest.approx(2)
    one = spread(np.array([0.0, 3.0, 0.0, -1.0]), sets)
    assert (one.effective_sets, one.top_layers, one.top_share, one.n_sets) == (pytest.approx(1), (1,), 1.0, 4)
    assert spread(np.array([-1.0, 0, 0, 0]), sets).effective_sets is None


def test_rows_that_do_not_fit_the_sets_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        rank_sets(np.zeros((2, 3)), SETS)


def test_an_excess_of_nothing_counts_as_nothing_also_for_thirds_and_tenths() -> None:
    """1/10 + 1/5 - 3/10 is 5.6e-17 in floating point: not above zero."""
    sets = layer_sets(2, 2)
    values = np.array([[0.1, 0.1, 0.4], [0.2, 0.2, 0.1], [0.3, 0.3, 0.9]])
    assert (values[2] - values[0] - values[1])[0] != 0
    row = superadditivity(values, sets)[0]
    assert row.share == pytest.approx(1 / 3)
    assert row.p_wilcoxon == pytest.approx(0.5), "one sample is left once zeros are left out"
