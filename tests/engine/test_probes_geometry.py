"""The whole of a geometry on planted states, its controls, and what the released procedure makes of the same data."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from ivcore.activations import component_states
from ivcore.errors import DataError, InputError
from ivcore.models import LoadedModel
from ivcore.probes import (
    Geometry,
    LayerGeometry,
    Plan,
    geometry,
    layer_geometry,
    lexical_probe,
    plan_geometry,
    released_lda,
    released_probe,
    tsne_view,
)
from ivcore.prompts.paraphrases import ParaphraseSet, make_set, normal_form

D = 24


def sets_of(*sizes: int) -> list[ParaphraseSet]:
    """Classes whose words are all different in every text, so that words tell nothing."""
    rng = np.random.default_rng(7)
    letters = np.array(list("abcdefghij"))
    return [
        make_set(f"task{c}", ["".join(rng.choice(letters, 12)) for _ in range(size)]) for c, size in enumerate(sizes)
    ]


def planted(plan: Plan, *apart: float, d: int = D, seed: int = 0) -> np.ndarray:
    """States (n, n_rows, d): a row for each of ``apart``, the distance of its class means; 0 is pure noise."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(len(plan.names), d)) / np.sqrt(d)
    rows = [means[plan.labels] * far + rng.normal(size=(len(plan.labels), d)) for far in apart]
    return np.stack(rows, axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def four() -> tuple[Plan, np.ndarray, Geometry]:
    """Four classes of unequal size; the embedding is constant, layer 0 noise, layer 1 half and layer 2 fully apart."""
    plan = plan_geometry(sets_of(30, 40, 50, 60), seed=1)
    states = planted(plan, 0, 0, 3, 40)
    states[:, 0] = 0.25
    return plan, states, geometry(plan, states)


def test_planted_clusters_are_found_and_noise_is_not(four: tuple[Plan, np.ndarray, Geometry]) -> None:
    plan, _, found = four
    noise, half, apart = found.layers
    assert [one.layer for one in found.layers] == [0, 1, 2] and found.embedding.layer is None
    assert apart.probe.accuracy.share == apart.lda_heldout.share == 1
    assert 0.45 < half.probe.accuracy.share < 0.95
    assert noise.probe.accuracy.low < found.chance == pytest.approx(1 / 3)
    assert noise.probe.accuracy.share < 0.45 and noise.lda_heldout.share < 0.45
    assert found.n_per_class == (30, 40, 50, 60) == plan.n_per_class


def test_confusion_and_shares_of_classes_agree(four: tuple[Plan, np.ndarray, Geometry]) -> None:
    for one in four[2].layers:
        confusion, probe = one.probe.confusion, one.probe
        assert confusion.sum(axis=1).tolist() == [30, 40, 50, 60]
        assert [share.hits for share in probe.per_class] == np.diag(confusion).tolist()
        assert [share.n for share in probe.per_class] == [30, 40, 50, 60]
        assert probe.accuracy.hits == np.trace(confusion) and probe.accuracy.n == 180
        assert len(probe.strengths) == 5


def test_controls_are_at_chance(four: tuple[Plan, np.ndarray, Geometry]) -> None:
    _, _, found = four
    for one in found.layers:
        assert len(one.shuffled_accuracies) == found.n_permutations == 5
        assert one.shuffled_accuracy == pytest.approx(np.mean(one.shuffled_accuracies))
        assert one.shuffled_accuracy < found.chance + 0.05
    assert found.lexical.accuracy.low < found.chance, "words of no use"


def test_states_that_do_not_vary_are_at_chance_and_have_no_numbers(four: tuple[Plan, np.ndarray, Geometry]) -> None:
    embedding = four[2].embedding
    assert embedding.probe.accuracy.share == embedding.lda_heldout.share == pytest.approx(1 / 3)
    assert embedding.separation.lda_ratio is embedding.separation.silhouette is None
    assert embedding.separation.effective_dimension is None
    assert not embedding.lda.points.any() and not embedding.pca.points.any()


def test_separation_grows_with_distance(four: tuple[Plan, np.ndarray, Geometry]) -> None:
    noise, half, apart = (one.separation for one in four[2].layers)
    assert abs(noise.lda_ratio) < 0.1 < half.lda_ratio < 0.1 * apart.lda_ratio
    assert noise.silhouette < half.silhouette < apart.silhouette
    assert noise.effective_dimension > 0.8 * D > apart.effective_dimension


def test_views_show_which_points_are_held_out(four: tuple[Plan, np.ndarray, Geometry]) -> None:
    plan, _, found = four
    for view in (found.layers[2].lda, found.layers[2].pca):
        assert view.points.shape == (180, 2)
        assert np.array_equal(view.held_out, plan.folds == 0)
    centres = [found.layers[2].lda.points[plan.labels == c].mean(axis=0) for c in range(4)]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(centres) for b in centres[:i]) > 1


def test_no_paraphrase_is_on_both_sides() -> None:
    plan = plan_geometry(sets_of(20, 30))
    forms = [normal_form(text) for text in plan.texts]
    assert len(set(forms)) == len(forms) == 50
    repeated = make_set("b", [f"Way {i}." for i in range(12)] + [f"way {i}" for i in range(12)])
    assert plan_geometry([sets_of(20)[0], repeated]).n_per_class == (20, 12)


@pytest.mark.parametrize("sizes", [(10, 10), (10, 200), (10,) * 8])
def test_the_fewest_points_and_the_most_classes(sizes: tuple[int, ...]) -> None:
    plan = plan_geometry(sets_of(*sizes), n_permutations=1)
    one = layer_geometry(plan, planted(plan, 60, d=100)[:, 0], 3)
    assert one.probe.accuracy.share == 1 and one.lda_heldout.share == 1
    noise = layer_geometry(plan, planted(plan, 0, d=100)[:, 0], 3)
    assert noise.probe.accuracy.low < plan.chance
    assert noise.lda_training_accuracy > 0.95 and noise.lda_training_accuracy > noise.lda_heldout.share + 0.02


def test_shuffled_labels_are_at_chance_on_average_even_where_states_lie_in_clusters() -> None:
    plan = plan_geometry(sets_of(25, 25, 25, 25), n_permutations=60)
    one = layer_geometry(plan, planted(plan, 20)[:, 0], 0)
    spread = np.std(one.shuffled_accuracies) / np.sqrt(60)
    assert abs(one.shuffled_accuracy - 0.25) < 3 * spread < 0.05
    assert one.probe.accuracy.share == 1


def test_words_that_tell_are_found_without_a_model() -> None:
    kinds = ("plural", "opposite")
    sets = [make_set(kind, [f"{a} the {kind} {b}" for a in "abcdef" for b in "uvw"]) for kind in kinds]
    assert lexical_probe(plan_geometry(sets)).accuracy.share == 1
    marks = [make_set(name, [f"{i} ways{mark}{i}" for i in range(10)]) for name, mark in (("a", "?"), ("b", ";"))]
    assert lexical_probe(plan_geometry(marks)).accuracy.share == 1, "punctuation is in the text too"


def test_results_depend_on_the_seed_alone(four: tuple[Plan, np.ndarray, Geometry]) -> None:
    plan, states, found = four
    again = geometry(plan_geometry(sets_of(30, 40, 50, 60), seed=1), states, n_threads=1)
    for a, b in zip(found.layers, again.layers, strict=True):
        assert np.array_equal(a.probe.confusion, b.probe.confusion)
        assert a.shuffled_accuracies == b.shuffled_accuracies and a.separation == b.separation
        assert np.array_equal(a.lda.points, b.lda.points) and np.array_equal(a.pca.points, b.pca.points)
    assert not np.array_equal(plan_geometry(sets_of(30, 40, 50, 60), seed=2).folds, plan.folds)
    assert np.array_equal(tsne_view(states[:, 3]).points, tsne_view(states[:, 3]).points)


def test_layers_are_told_one_by_one_and_the_work_may_be_stopped() -> None:
    plan = plan_geometry(sets_of(10, 10), n_permutations=0)
    states = planted(plan, *[1.0] * 12)
    told: list[LayerGeometry] = []
    found = geometry(plan, states, "attn", on_layer=told.append)
    assert sorted(one.layer for one in told) == list(range(12)) and found.embedding is None
    assert found.layers[0].shuffled_accuracy is None
    before = [pool["num_threads"] for pool in threadpool_info()]
    stopped: list[LayerGeometry] = []

    def stop(one: LayerGeometry) -> None:
        stopped.append(one)
        raise TimeoutError("enough")

    with pytest.raises(TimeoutError, match="enough"):
        geometry(plan, states, "attn", on_layer=stop, n_threads=2)
    assert len(stopped) == 1
    assert [pool["num_threads"] for pool in threadpool_info()] == before, "products may use all cores again"
    assert threading.active_count() < 8


def test_states_that_do_not_fit() -> None:
    plan = plan_geometry(sets_of(10, 10), n_permutations=0)
    states = planted(plan, 1.0, 1.0)
    with pytest.raises(InputError, match="do not fit 20 texts"):
        geometry(plan, states[:19])
    with pytest.raises(InputError, match="do not fit 20 texts"):
        layer_geometry(plan, states, 0)
    with pytest.raises(InputError, match="choose one of resid, attn, mlp"):
        geometry(plan, states, "keys")
    states[3, 1, 2] = np.inf
    with pytest.raises(InputError, match="infinite or not a number"):
        geometry(plan, states)
    with pytest.raises(DataError, match="1 set"):
        plan_geometry(sets_of(10))
    with pytest.raises(InputError, match="-1 permutations"):
        plan_geometry(sets_of(10, 10), n_permutations=-1)


# As released


def test_pooling_layers_at_random_inflates_where_layers_repeat_the_paraphrase() -> None:
    """No class anywhere: every layer is the paraphrase's own noise with a little added."""
    plan = plan_geometry(sets_of(30, 30, 30))
    rng = np.random.default_rng(0)
    own = rng.normal(size=(90, 1, 200))
    states = (own + 0.3 * rng.normal(size=(90, 7, 200))).astype(np.float32)
    found = released_probe(plan, states)
    assert found.n_layers == 6 and found.random_split.n == found.by_paraphrase.n == 18 * 6
    assert found.random_split.share > 0.9
    assert found.by_paraphrase.share < 0.6
    fresh = released_probe(plan, rng.normal(size=(90, 6, 200)).astype(np.float32), "mlp")
    assert fresh.random_split.share < 0.5, "layers that do not repeat the paraphrase inflate nothing"


@pytest.mark.parametrize(("d", "flattered"), [(60, 0.8), (300, 0.6)])
def test_lda_drawn_on_its_training_points_separates_noise(d: int, flattered: float) -> None:
    plan = plan_geometry(sets_of(30, 30, 30))
    found = released_lda(plan, planted(plan, 0, d=d)[:, 0])
    assert found.training_accuracy.share > flattered > found.heldout_accuracy.share + 0.1
    assert found.heldout_accuracy.low < plan.chance
    assert found.view.points.shape == (90, 2) and not found.view.held_out.any()


def test_what_lda_as_released_cannot_draw() -> None:
    plan = plan_geometry(sets_of(20, 20))
    with pytest.raises(InputError, match="are equal"):
        released_lda(plan, np.ones((40, 5), dtype=np.float32))
    assert released_lda(plan, planted(plan, 5)[:, 0]).view.points.shape == (40, 2)


def test_a_model_from_texts_to_geometry(olmo2: LoadedModel) -> None:
    """Where the last token differs between the classes even the embedding tells them apart."""
    ways = [f"{a} {b}" for a in ("State", "Given", "Print", "yes") for b in ("an adjective", "its color", "a cat")]
    for ends, apart in (((".", ":"), True), ((".", "."), False)):
        sets = [make_set(name, [f"{way} {name}{end}" for way in ways]) for name, end in zip("xy", ends, strict=True)]
        plan = plan_geometry(sets, n_permutations=2)
        found = geometry(plan, component_states(olmo2, plan.texts))
        assert len(found.layers) == olmo2.n_layers
        assert (found.embedding.probe.accuracy.share == 1) is apart
        assert found.embedding.probe.accuracy.n == 24
