"""Head activity and its likeness: planted cases, scikit-learn and scipy as oracles, simulation for the intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import jaccard_score

from ivcore.errors import InputError
from ivcore.heads import HeadUse, agreement_by_layer, head_activity, jaccard, split_halves
from ivcore.stats import resample_weights

N, LAYERS, HEADS = 40, 3, 6


def drawn(rates: NDArray[np.float64], seed: int = 0, n: int = N, chance: float = 0.2) -> HeadUse:
    """Prompts of 30 high-ranking paths that use head (l, h) with probability ``rates[l, h]``."""
    use = np.random.default_rng(seed).binomial(30, rates, size=(n, *rates.shape))
    return HeadUse.counted(use, np.full(n, 30), np.full((n, *rates.shape), chance))


def some_rates(seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).choice([0.02, 0.3, 0.7], size=(LAYERS, HEADS))


# ---- activity


def test_planted_activity_is_found() -> None:
    rates = np.full((LAYERS, HEADS), 0.2)
    rates[1, 4], rates[2, 0] = 0.8, 0.02
    found = head_activity(drawn(rates))
    assert np.abs(found.mean - rates).max() < 0.06
    assert found.p_adjusted[1, 4] < 1e-6 and found.excess[1, 4] == pytest.approx(0.6, abs=0.05)
    assert np.delete(found.p_adjusted.ravel(), HEADS + 4).min() > 0.01, "the others are at chance or below"
    assert found.not_active[1, 4] == 0 and found.not_active[2, 0] == 1
    assert (found.low <= found.mean).all() and (found.mean <= found.high).all() and found.n == N


def test_the_test_is_a_paired_t_test() -> None:
    use = drawn(some_rates(), n=9)
    found = head_activity(use)
    plain = stats.ttest_rel(use.shares[:, 1, 2], use.chance[:, 1, 2] + 0, alternative="greater")
    assert found.p[1, 2] == pytest.approx(plain.pvalue, rel=1e-9)


def test_intervals_cover_at_the_stated_rate() -> None:
    rates = np.full((1, 50), 0.3)
    inside = [
        (found.low <= 0.3) & (found.high >= 0.3)
        for found in (head_activity(drawn(rates, seed), n_resamples=500) for seed in range(40))
    ]
    assert 0.91 < np.mean(inside) < 0.97


def test_prompts_without_a_path_are_left_out() -> None:
    use = HeadUse.counted(np.array([[[2]], [[0]]]), np.array([4, 0]), np.full((2, 1, 1), 0.5))
    assert use.shares.tolist() == [[[0.5]]] and use.n_left_out == 1
    assert np.isnan(head_activity(use).low[0, 0]), "one prompt has no interval"
    with pytest.raises(InputError, match="None of the 2 prompts"):
        HeadUse.counted(np.zeros((2, 1, 1), dtype=int), np.zeros(2, dtype=int), np.zeros((2, 1, 1)))


# ---- similarity


def test_spearman_is_scipys_and_constant_layers_have_none() -> None:
    a, b = drawn(some_rates(1)), drawn(some_rates(2), seed=5)
    found = agreement_by_layer(a, b)
    for layer in range(LAYERS):
        assert found[layer].rho == pytest.approx(stats.spearmanr(a.activity[layer], b.activity[layer]).statistic)
    same = HeadUse(np.full((4, 1, HEADS), 0.5), np.zeros((4, 1, HEADS)), 0)
    assert agreement_by_layer(same, same)[0].rho is None
    assert "same value" in str(agreement_by_layer(same, same)[0].reason)


def test_spearmans_interval_is_that_of_resampled_prompts() -> None:
    """Oracle: scipy's r, one resample after another."""
    a, b = drawn(some_rates(1), n=12), drawn(some_rates(2), seed=5, n=9)
    found = agreement_by_layer(a, b, n_resamples=300, seed=4)
    first, second = resample_weights(12, 300, 4), resample_weights(9, 300, 5)
    looped = [
        stats.spearmanr(np.round(x @ a.shares[:, 2], 12), np.round(y @ b.shares[:, 2], 12)).statistic
        for x, y in zip(first, second, strict=True)
    ]
    assert (found[2].low, found[2].high) == pytest.approx(tuple(np.quantile(looped, [0.025, 0.975])))
    one = drawn(some_rates(1), n=1)
    assert agreement_by_layer(one, b)[0].rho is not None and agreement_by_layer(one, b)[0].low is None


def test_sides_that_share_queries_are_drawn_together() -> None:
    queries = tuple(f"query {i}" for i in range(N))
    a = replace(drawn(some_rates()), queries=queries)
    b = replace(a, shares=0.9 * a.shares, queries=queries)  # the same ranking in every resample
    paired = agreement_by_layer(a, b, n_resamples=500)
    assert all(row.low == pytest.approx(1) for row in paired)
    apart = agreement_by_layer(a, replace(b, queries=tuple(f"other {query}" for query in queries)), n_resamples=500)
    assert all(row.low is not None and row.low < 0.95 for row in apart), "control"
    order = np.random.default_rng(0).permutation(N)
    mixed = replace(b, shares=b.shares[order], chance=b.chance[order], queries=tuple(queries[i] for i in order))
    assert [row.low for row in agreement_by_layer(a, mixed, n_resamples=500)] == pytest.approx([1] * LAYERS)
    fewer = replace(b, shares=b.shares[:30], chance=b.chance[:30], queries=queries[:30])
    assert all(row.low is not None and 0.3 < row.low < 1 for row in agreement_by_layer(a, fewer, n_resamples=500))
    same = jaccard(a, replace(a, shares=a.shares.copy()), [(0, LAYERS - 1)])[0]
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)


def test_jaccard_is_scikit_learns() -> None:
    a, b = drawn(some_rates(1)), drawn(some_rates(2), seed=5)
    for threshold in (0.1, 0.5):
        found = jaccard(a, b, [(0, 0), (1, 2)], threshold=threshold)
        for one, layers in zip(found, (slice(0, 1), slice(1, 3)), strict=True):
            x, y = (use.activity[layers].ravel() > threshold for use in (a, b))
            assert one.value == pytest.approx(jaccard_score(x, y))
            assert one.n_active == (x.sum(), y.sum())
            assert one.low is not None and one.high is not None and one.low <= one.value <= one.high
    assert jaccard(a, b, [(0, 2)])[0].value != jaccard(a, b, [(0, 2)], threshold=0.5)[0].value


def test_the_same_heads_are_alike() -> None:
    use = drawn(some_rates())
    (found,) = jaccard(use, use, [(0, LAYERS - 1)])
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_nothing_active_is_said() -> None:
    none = drawn(np.zeros((LAYERS, HEADS)))
    (found,) = jaccard(none, none, [(0, 1)])
    assert found.value is None and found.undefined == "no head of these layers is active in either"


def test_other_tasks_differ_by_more_than_their_prompts() -> None:
    rates = some_rates()
    other = rates.copy()
    other[2] = rates[2, ::-1]
    found = split_halves(drawn(rates), drawn(other, seed=7), n_splits=200)
    assert found[2].low is not None and found[2].low > 0.1, "the planted layer"
    for row in found[:2]:
        assert row.low is not None and row.high is not None and row.low < 0 < row.high


def test_shuffled_tasks_fall_inside_the_control() -> None:
    """Negative control: prompts of two tasks dealt out anew."""
    rates = some_rates()
    both = np.concatenate([drawn(rates).shares, drawn(rates[:, ::-1], seed=7).shares])
    np.random.default_rng(3).shuffle(both)
    halves = [HeadUse(part, np.zeros_like(part), 0) for part in np.split(both, 2)]
    for row in split_halves(*halves, n_splits=200):
        assert row.low is not None and row.high is not None and row.low < 0 < row.high


def test_what_cannot_be_compared_is_said() -> None:
    use = drawn(some_rates())
    with pytest.raises(InputError, match="3 x 6 and of 1 x 6"):
        agreement_by_layer(use, drawn(some_rates()[:1]))
    with pytest.raises(InputError, match=r"Layers 1 to 3 .* 0 to 2"):
        jaccard(use, use, [(1, 3)])
    with pytest.raises(InputError, match="threshold 1 "):
        jaccard(use, use, [(0, 1)], threshold=1.0)
    with pytest.raises(InputError, match="at least four prompts"):
        split_halves(use, drawn(some_rates(), n=3))
    unused = split_halves(drawn(np.zeros((1, 2))), drawn(np.zeros((1, 2))), n_splits=5)[0]
    assert unused.difference is None and unused.undefined == "no head of this layer is ever used"
