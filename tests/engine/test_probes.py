"""The parts of the probes against scikit-learn called plainly, and against what is known of planted data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import linalg
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ivcore.probes.discriminant import fit_discriminant, shrinkage
from ivcore.probes.folds import assign_folds, shuffle_labels
from ivcore.probes.logistic import fit_path
from ivcore.probes.nested import STRENGTHS, nested_predictions
from ivcore.probes.scaling import fit_scaling, fit_unit_length
from ivcore.probes.separation import effective_dimension, lda_ratio, silhouette
from ivcore.probes.views import lda_view, pca_view, tsne_view


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small products on many threads wait for one another, the longer the busier the machine."""
    with threadpool_limits(limits=1):
        yield


def planted(sizes: tuple[int, ...], d: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) in classes of ``sizes``, features of unequal scale, and their labels; float64."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    means = rng.normal(size=(len(sizes), d)) * apart
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    points = (means[labels] + rng.normal(size=(len(labels), d))) @ mixing
    return points * rng.uniform(0.1, 10, d) + rng.normal(size=d), labels


def folds_of(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    return assign_folds(labels, range(len(labels)), seed=seed)


# Folds


def test_folds_are_stratified_and_even() -> None:
    labels = np.repeat([0, 1, 2], [11, 23, 50])
    folds = folds_of(labels)
    for label in range(3):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    totals = np.bincount(folds)
    assert totals.max() - totals.min() <= 1
    assert not np.array_equal(folds, folds_of(labels, seed=1))
    assert np.array_equal(folds, folds_of(labels))


def test_a_group_is_never_split() -> None:
    labels = np.repeat([0, 1], 60)
    groups = [f"{label}-{i // 3}" for i, label in enumerate(labels)]
    folds = assign_folds(labels, groups)
    assert max(len({f for f, g in zip(folds, groups, strict=True) if g == group}) for group in groups) == 1
    assert set(np.bincount(folds[labels == 0])) == {12}
    alone = assign_folds(labels, range(120))
    assert any(len({f for f, g in zip(alone, groups, strict=True) if g == group}) > 1 for group in groups)


def test_shuffled_labels_keep_each_fold_as_it_was() -> None:
    labels = np.repeat([0, 1, 2], [10, 20, 40])
    folds = folds_of(labels)
    shuffled = shuffle_labels(labels, folds, 4)
    assert shuffled.shape == (4, 70) and not np.array_equal(shuffled[0], shuffled[1])
    for row in shuffled:
        assert not np.array_equal(row, labels)
        for fold in range(5):
            assert Counter(row[folds == fold]) == Counter(labels[folds == fold])


# Scaling


def test_features_are_those_of_the_standard_scaler_over_the_root_of_their_number() -> None:
    states, _ = planted((30, 30), 7, 1.0)
    states[:, 2] = 5.0
    found = fit_scaling(states[:40])
    expected = StandardScaler().fit(states[:40]).transform(states)[:, found.kept] / np.sqrt(6)
    assert not found.kept[2] and found.kept.sum() == 6
    assert np.allclose(found(states), expected)
    assert np.square(found(states[:40])).sum(axis=1).mean() == pytest.approx(1)


def test_states_that_do_not_vary_have_no_features() -> None:
    states = np.full((12, 5), 0.1, dtype=np.float32)
    assert fit_scaling(states)(states).shape == (12, 0)


def test_counts_are_only_made_shorter() -> None:
    counts = np.array([[2.0, 0, 1], [0, 0, 3]])
    found = fit_unit_length(counts)(counts)
    assert np.allclose(found, counts[:, [0, 2]] / np.sqrt(7))
    assert fit_unit_length(np.zeros((3, 2)))(np.zeros((3, 2))).shape == (3, 0)


# Logistic regression


@pytest.mark.parametrize("sizes", [(20, 35), (25, 10, 15), (9, 8, 7, 6, 9, 8, 7, 6)])
@pytest.mark.parametrize("d", [12, 200], ids=["more points", "more dimensions"])
def test_weights_are_scikit_learns(sizes: tuple[int, ...], d: int) -> None:
    points, labels = planted(sizes, d, 0.3)
    features = fit_scaling(points)(points)
    labelings = np.stack([labels, np.random.default_rng(1).permutation(labels)])
    path = list(fit_path(features, labelings, len(sizes), STRENGTHS))
    for strength, found in zip(STRENGTHS, path, strict=True):
        for row, own in enumerate(labelings):
            plain = LogisticRegression(C=strength, tol=1e-9, max_iter=10_000).fit(features, own)
            coef, scores = found.coef[row], found.scores(features)[row]
            if len(sizes) == 2:
                coef, scores = coef[1:] - coef[:1], scores[1] - scores[0]
                assert np.allclose(scores, plain.decision_function(features), atol=1e-3)
            else:
                expected = plain.decision_function(features).T
                assert np.allclose(scores - scores.mean(axis=0), expected - expected.mean(axis=0), atol=1e-3)
            assert np.allclose(coef, plain.coef_, rtol=0, atol=2e-4 * np.abs(plain.coef_).max())
            assert np.array_equal(found.predict(features)[row], plain.predict(features))
    assert np.abs(path[0].coef - path[1].coef).max() > 1e-2, "another strength must show"


def test_a_strength_does_not_depend_on_the_path_to_it() -> None:
    points, labels = planted((30, 30, 30), 40, 0.3)
    features = fit_scaling(points)(points)
    *_, warm = fit_path(features, labels[None], 3, STRENGTHS)
    (cold,) = fit_path(features, labels[None], 3, STRENGTHS[-1:])
    assert np.allclose(warm.coef, cold.coef, atol=2e-4 * np.abs(cold.coef).max())


def test_separable_points_and_features_of_no_use_still_converge() -> None:
    labels = np.repeat([0, 1, 2], 10)
    features = np.eye(3)[labels]
    *_, found = fit_path(features, labels[None], 3, (30.0, 3e4))
    assert np.isfinite(found.coef).all() and np.array_equal(found.predict(features)[0], labels)
    *_, nothing = fit_path(np.zeros((30, 0)), np.repeat([0, 1, 1], 10)[None], 3, STRENGTHS)
    assert set(nothing.predict(np.zeros((5, 0)))[0]) == {1}, "the largest class"


# Nested cross-validation


def plain_predictions(states: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """The same by scikit-learn, fold by fold; its C is ours over the number of features."""
    said, chosen, d = np.empty_like(labels), list[float](), states.shape[1]
    for fold in range(folds.max() + 1):
        training = folds != fold
        search = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=10_000)),
            {"logisticregression__C": [strength / d for strength in STRENGTHS]},
            cv=PredefinedSplit(folds[training]),
        ).fit(states[training], labels[training])
        said[~training] = search.predict(states[~training])
        chosen.append(search.best_params_["logisticregression__C"] * d)
    return said, chosen


@pytest.mark.parametrize(
    ("sizes", "d", "apart"),
    [((20, 20), 8, 0.4), ((15, 30, 22), 90, 0.12), ((12,) * 8, 10, 0.6)],
    ids=["two classes", "more dimensions, unequal sizes", "eight classes"],
)
def test_held_out_predictions_are_scikit_learns_fold_by_fold(sizes: tuple[int, ...], d: int, apart: float) -> None:
    states, labels = planted(sizes, d, apart, seed=5)
    folds = folds_of(labels)
    labelings = np.concatenate((labels[None], shuffle_labels(labels, folds, 1)))
    exact = nested_predictions(states, labelings, folds, len(sizes))
    for row, own in enumerate(labelings):
        said, chosen = plain_predictions(states, own, folds)
        assert np.array_equal(exact.predictions[row], said)
        assert exact.strengths[row] == pytest.approx(chosen)
    fast = nested_predictions(states.astype(np.float32), labelings, folds, len(sizes))
    assert (fast.predictions == exact.predictions).mean() > 0.98
    assert 1 / len(sizes) < (exact.predictions[0] == labels).mean() < 1, "errors are needed to compare them"
    assert len(np.unique(exact.strengths)) > 1, "so are choices"


def test_a_probe_never_sees_what_it_is_tested_on() -> None:
    """Labels of one fold turned around change that fold's accuracy and none of its predictions."""
    states, labels = planted((40, 40), 10, 1.0)
    folds = folds_of(labels)
    turned = np.where(folds == 2, 1 - labels, labels)
    found = nested_predictions(states, np.stack([labels, turned]), folds, 2)
    assert np.array_equal(found.predictions[0][folds == 2], found.predictions[1][folds == 2])
    assert not np.array_equal(found.predictions[0][folds != 2], found.predictions[1][folds != 2])


# LDA


@pytest.mark.parametrize("d", [1, 6, 150])
@pytest.mark.parametrize("sizes", [(20, 31), (12, 25, 40)])
def test_lda_is_scikit_learns_with_automatic_shrinkage(sizes: tuple[int, ...], d: int) -> None:
    points, labels = planted(sizes, d, 0.2)
    features = StandardScaler().fit_transform(points)
    plain = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", store_covariance=True).fit(features, labels)
    found = fit_discriminant(features, labels)
    scale = np.abs(plain.means_ @ plain.means_.T).max()
    expected = linalg.solve(plain.covariance_ + 1e-6 * np.eye(d), plain.means_.T).T
    assert np.allclose(found.coef, expected, atol=1e-8 * np.abs(expected).max())
    others = planted(sizes, d, 0.2, seed=9)[0]
    others = (others - others.mean(axis=0)) / others.std(axis=0)
    assert np.array_equal(found.predict(others), plain.predict(others))
    # The axes: the leading generalised eigenvectors of the scatter between classes, of variance 1 within them.
    shares = np.bincount(labels) / len(labels)
    centred = plain.means_ - shares @ plain.means_
    _, vectors = linalg.eigh((shares * centred.T) @ centred, plain.covariance_ + 1e-6 * np.eye(d))
    assert found.axes.shape == (d, min(d, len(sizes) - 1)) and scale > 0
    for i in range(found.axes.shape[1]):
        cosine = found.axes[:, i] @ (plain.covariance_ + 1e-6 * np.eye(d)) @ vectors[:, -1 - i]
        assert abs(cosine) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("n", "d"), [(10, 3), (10, 60), (40, 40), (5, 1)])
def test_shrinkage_is_ledoit_and_wolfs(n: int, d: int) -> None:
    points = np.random.default_rng(3).normal(size=(n, d)) @ np.random.default_rng(4).normal(size=(d, d))
    standard = StandardScaler().fit_transform(points)
    assert shrinkage(standard) == pytest.approx(ledoit_wolf_shrinkage(standard))


def test_classes_without_spread_have_an_lda() -> None:
    labels = np.repeat([0, 1, 2], 4)
    found = fit_discriminant(np.eye(3)[labels], labels)
    assert np.array_equal(found.predict(np.eye(3)), [0, 1, 2]) and np.isfinite(found.axes).all()
    nothing = fit_discriminant(np.zeros((12, 1)), labels)
    assert nothing.axes.shape == (1, 0)


def test_lda_on_its_own_training_points_flatters_and_held_out_does_not() -> None:
    noise, labels = np.random.default_rng(0).normal(size=(120, 400)), np.repeat([0, 1, 2], 40)
    fitted = fit_discriminant(noise[::2], labels[::2])
    assert (fitted.predict(noise[::2]) == labels[::2]).mean() > 0.95
    assert (fitted.predict(noise[1::2]) == labels[1::2]).mean() < 0.55
    few = fit_discriminant(noise[::2, :3], labels[::2])
    assert (few.predict(noise[::2, :3]) == labels[::2]).mean() < 0.7, "with few dimensions it cannot flatter so"


# Separation


def test_the_lda_ratio_is_the_ratio_of_variances() -> None:
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(8), 5)
    ratios = []
    for _ in range(300):
        means = rng.normal(size=(8, 1)) * 3
        folds = [(means[labels] + rng.normal(size=(40, 1)), labels) for _ in range(5)]
        ratios.append(lda_ratio(folds))
    assert np.mean(ratios) == pytest.approx(9, rel=0.1)
    nothing = [lda_ratio([(rng.normal(size=(40, 7)), labels)]) for _ in range(300)]
    assert abs(np.mean(nothing)) < 0.01 < np.std(nothing)
    assert lda_ratio([(np.zeros((40, 1)), labels)]) is None


def test_the_effective_dimension_of_known_spectra() -> None:
    rng = np.random.default_rng(0)
    for n, d in ((4000, 6), (30, 4000)):
        assert effective_dimension(rng.normal(size=(n, d))) == pytest.approx(min(n, d), rel=0.05)
    line = np.outer(rng.normal(size=50), rng.normal(size=9))
    assert effective_dimension(line) == pytest.approx(1)
    spectrum = np.array([9.0, 3, 1, 0.5])
    states = rng.normal(size=(20_000, 4)) * np.sqrt(spectrum)
    assert effective_dimension(states) == pytest.approx(spectrum.sum() ** 2 / np.square(spectrum).sum(), rel=0.05)
    assert effective_dimension(np.ones((5, 3))) is None


def test_the_silhouette_is_of_all_points_or_of_some() -> None:
    points, labels = planted((15, 15), 5, 4.0)
    assert silhouette(points, labels) > 0.25 > 0.1 > abs(silhouette(points, np.tile([0, 1], 15)))
    assert silhouette(points[:, :0], labels) is None
    many, own = planted((1500, 1500), 2, 1.0)
    assert silhouette(many, own) == pytest.approx(silhouette(many, own, seed=1), abs=0.03)


# Views


def test_the_lda_view_shows_training_points_and_others() -> None:
    points, labels = planted((40, 40, 40), 60, 2.0)
    held_out = folds_of(labels) == 0
    fitted = fit_discriminant(points[~held_out], labels[~held_out])
    view = lda_view(points, held_out, fitted)
    assert view.points.shape == (120, 2) and np.array_equal(view.held_out, held_out)
    assert np.allclose(view.points, points @ fitted.axes, rtol=1e-4)
    moved = points.copy()
    moved[held_out] += 100
    again = lda_view(moved, held_out, fit_discriminant(moved[~held_out], labels[~held_out]))
    assert np.array_equal(again.points[~held_out], view.points[~held_out]), "held-out points do not turn the view"


def test_two_classes_have_a_second_axis_without_separation() -> None:
    points, labels = planted((60, 60), 30, 1.0)
    held_out = folds_of(labels) == 0
    fitted = fit_discriminant(points[~held_out], labels[~held_out])
    view = lda_view(points, held_out, fitted).points
    training = points[~held_out]
    unit = fitted.axes[:, 0] / np.linalg.norm(fitted.axes[:, 0])
    deflated = (training - training.mean(0)) @ (np.eye(30) - np.outer(unit, unit))
    expected = np.linalg.svd(deflated, full_matrices=False)[2][0]
    second = points @ expected
    assert abs(np.corrcoef(view[:, 1], second)[0, 1]) == pytest.approx(1, abs=1e-4)
    assert view[~held_out, 1].std() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("d", [1, 2, 30, 300])
def test_the_pca_view_is_the_leading_part_of_the_decomposition(d: int) -> None:
    points, labels = planted((70, 70), d, 1.0)
    held_out = folds_of(labels) == 0
    view = pca_view(points, held_out)
    training = points[~held_out] - points[~held_out].mean(axis=0)
    lengths = np.linalg.svd(training, compute_uv=False)
    shares = np.pad(np.square(lengths) / np.square(lengths).sum(), (0, 1))[:2]
    assert view.explained == pytest.approx(tuple(shares), abs=1e-9)
    assert np.square(view.points[~held_out]).sum(axis=0) == pytest.approx(np.pad(np.square(lengths), (0, 1))[:2])
    assert np.array_equal(view.points, pca_view(points, held_out).points)


@pytest.mark.parametrize("n", [5, 20, 90])
def test_tsne_takes_few_points_and_a_seed(n: int) -> None:
    points, _ = planted((n,), 40, 0.0)
    points[n // 2 :] += 60
    view = tsne_view(points.astype(np.float32), seed=3)
    assert view.points.shape == (n, 2) and np.isfinite(view.points).all() and not view.held_out.any()
    assert np.array_equal(view.points, tsne_view(points.astype(np.float32), seed=3).points)
    assert tsne_view(np.ones((n, 4), dtype=np.float32)).points.tolist() == [[0, 0]] * n
