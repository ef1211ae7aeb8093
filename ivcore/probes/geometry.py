"""Geometry: do the paraphrases of different tasks lie apart, layer by layer?  (arXiv 2602.07930, section 5)

1. *Plan*: sets are checked, every paraphrase gets its class and the one fold in which it is held out, and the labels
   are permuted for the control.  All layers share this.
2. *Linear probe*: logistic regression on standardised states, its strength chosen inside the training folds
   (``nested``).
3. *LDA* with shrinkage, of the same training folds, on the same held-out points (``discriminant``).
4. *Controls*: the same probe of shuffled labels; of the words of the paraphrase alone, no model (``lexical_probe``);
   of the embedding of the last token, often the same full stop for all; and the share of the largest class (chance).
5. *Separation* in numbers (``separation``) and *views* for drawing (``views``); in both views fold 0 is held out.

Intervals are Wilson's at 95% over paraphrases, each of which is predicted once. They count what other paraphrases
might have given with these probes, not what other training folds would have: those overlap, so the predictions are
not quite independent.

Layers run side by side on as many threads as there are cores, each with single-threaded products: the products are
small, and threads that share one wait for one another, on a busy machine many times as long as one alone takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ..activations import state_rows
from ..errors import InputError
from ..prompts.paraphrases import ParaphraseSet, check_sets, normal_form
from ..stats import Proportion, proportion
from .discriminant import fit_discriminant
from .folds import assign_folds, shuffle_labels
from .nested import Nested, nested_predictions
from .scaling import fit_scaling, fit_unit_length
from .separation import Separation, effective_dimension, lda_ratio, silhouette
from .views import View, lda_view, pca_view

__all__ = [
    "N_PERMUTATIONS",
    "Geometry",
    "LayerGeometry",
    "Plan",
    "Probe",
    "geometry",
    "layer_geometry",
    "lexical_probe",
    "plan_geometry",
]

FloatArray = NDArray[Any]
IntArray = NDArray[np.int64]
N_PERMUTATIONS = 5
_DRAWN_FOLD = 0
_MAX_WORDS = 4096
_WORD = r"\w+|[^\w\s]"
"""Punctuation counts as words: it is in the text too."""


@dataclass(frozen=True)
class Plan:
    """What all layers share: points, classes, folds, and the labels of the control."""

    names: tuple[str, ...]
    """Of the classes."""
    texts: tuple[str, ...]
    """All paraphrases, class by class."""
    labels: IntArray
    """Class of each text, shape (n,)."""
    folds: IntArray
    """The fold in which each text is held out, shape (n,)."""
    shuffled: IntArray
    """Permuted labels, shape (n_permutations, n)."""
    seed: int

    @property
    def n_per_class(self) -> tuple[int, ...]:
        """Paraphrases of each class."""
        return tuple(np.bincount(self.labels, minlength=len(self.names)).tolist())

    @property
    def chance(self) -> float:
        """Accuracy of always saying the largest class."""
        return max(self.n_per_class) / len(self.labels)


@dataclass(frozen=True)
class Probe:
    """Held-out predictions of the linear probe."""

    accuracy: Proportion
    per_class: tuple[Proportion, ...]
    """Of the paraphrases of each class, the share told right."""
    confusion: IntArray
    """Shape (n_classes, n_classes): true classes are rows, predicted ones columns."""
    strengths: tuple[float, ...]
    """C chosen for each fold, on features of mean squared length 1."""


@dataclass(frozen=True)
class LayerGeometry:
    """One layer."""

    layer: int | None
    """None is the embedding, before any block."""
    probe: Probe
    shuffled_accuracies: tuple[float, ...]
    """Of the same probe for each permutation of the labels."""
    lda_heldout: Proportion
    lda_training_accuracy: float
    """Of LDA on the points it was fitted on, over all folds: how much it flatters."""
    separation: Separation
    lda: View
    pca: View

    @property
    def shuffled_accuracy(self) -> float | None:
        """Mean over the permutations; None without any."""
        return float(np.mean(self.shuffled_accuracies)) if self.shuffled_accuracies else None


@dataclass(frozen=True)
class Geometry:
    """All layers, with the controls."""

    component: str
    names: tuple[str, ...]
    n_per_class: tuple[int, ...]
    chance: float
    """Share of the largest class."""
    lexical: Probe
    """The probe of the words alone."""
    embedding: LayerGeometry | None
    """For ``resid``."""
    layers: tuple[LayerGeometry, ...]
    n_folds: int
    n_permutations: int
    seed: int


def plan_geometry(sets: Sequence[ParaphraseSet], *, n_permutations: int = N_PERMUTATIONS, seed: int = 0) -> Plan:
    """Check sets and say who is held out with whom.

    Raises:
        DataError: the sets cannot be compared; see ``check_sets``.
        InputError: a negative number of permutations.
    """
    if n_permutations < 0:
        raise InputError(f"{n_permutations} permutations were asked for; ask for 0 or more.")
    cleaned = check_sets(sets)
    texts = tuple(text for one in cleaned for text in one.texts)
    labels = np.repeat(np.arange(len(cleaned)), [len(one.texts) for one in cleaned])
    folds = assign_folds(labels, [normal_form(text) for text in texts], seed=seed)
    shuffled = shuffle_labels(labels, folds, n_permutations, seed)
    return Plan(tuple(one.name for one in cleaned), texts, labels, folds, shuffled, seed)


def geometry(
    plan: Plan,
    states: NDArray[np.float32],
    component: str = "resid",
    *,
    on_layer: Callable[[LayerGeometry], None] | None = None,
    n_threads: int | None = None,
) -> Geometry:
    """Everything above for every layer.

    Args:
        plan: of the texts that ``states`` belong to.
        states: as ``component_states`` gives them, shape (n_texts, n_rows, d_model).
        component: what the states are of; for ``resid`` the first row is the embedding.
        on_layer: told of each layer as it is done, in no certain order; may raise to stop.
        n_threads: layers side by side; default: one a core.

    Raises:
        InputError: the states do not fit the plan, or are not finite.
    """
    layers = _rows_of(plan, states, component)
    found: dict[int | None, LayerGeometry] = {}
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(n_threads or _n_cores()) as pool:
        try:
            lexical = pool.submit(_words, plan)
            rows: list[Future[LayerGeometry]] = [
                pool.submit(_layer, plan, states[:, row], layer) for row, layer in enumerate(layers)
            ]
            for done in as_completed(rows):
                found[done.result().layer] = done.result()
                if on_layer is not None:
                    on_layer(done.result())
            words = lexical.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Geometry(
        component,
        plan.names,
        plan.n_per_class,
        plan.chance,
        words,
        found.get(None),
        tuple(found[layer] for layer in layers if layer is not None),
        int(plan.folds.max()) + 1,
        len(plan.shuffled),
        plan.seed,
    )


def layer_geometry(plan: Plan, states: NDArray[np.float32], layer: int | None) -> LayerGeometry:
    """Everything above for one layer.

    Args:
        plan: of the texts that ``states`` belong to.
        states: shape (n, d_model).
        layer: its name in the result.

    Raises:
        InputError: the states do not fit the plan, or are not finite.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return _layer(plan, states, layer)


def _layer(plan: Plan, states: NDArray[np.float32], layer: int | None) -> LayerGeometry:
    _check_states(plan, states)
    labelings = np.concatenate((plan.labels[None], plan.shuffled))
    nested = nested_predictions(states, labelings, plan.folds, len(plan.names))
    hits = (nested.predictions[1:] == plan.shuffled).mean(axis=1)
    wide = states.astype(np.float64)
    discriminant, (lda, pca) = _discriminant(plan, wide)
    return LayerGeometry(
        layer,
        _probe(plan, nested),
        tuple(hits.tolist()),
        proportion(discriminant.hits, len(plan.labels)),
        discriminant.training_accuracy,
        Separation(
            lda_ratio(discriminant.projected),
            silhouette(fit_scaling(wide)(wide), plan.labels, plan.seed),
            effective_dimension(wide),
        ),
        lda,
        pca,
    )


def lexical_probe(plan: Plan) -> Probe:
    """The same probe on how often each word (or punctuation mark) comes in the paraphrase: what can be told without a
    model.

    Words are counted, not weighted or standardised, and the 4,096 most frequent are used; a word that training lacks
    has weight zero there.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return _words(plan)


def _words(plan: Plan) -> Probe:
    counts = CountVectorizer(token_pattern=_WORD, max_features=_MAX_WORDS).fit_transform(plan.texts)
    states = counts.toarray().astype(np.float32)
    nested = nested_predictions(states, plan.labels[None], plan.folds, len(plan.names), scale=fit_unit_length)
    return _probe(plan, nested)


@dataclass(frozen=True)
class _HeldOutLda:
    """LDA over all folds."""

    hits: int
    training_accuracy: float
    projected: tuple[tuple[FloatArray, IntArray], ...]
    """Each fold's held-out points along its axes, and their classes."""


def _discriminant(plan: Plan, states: FloatArray) -> tuple[_HeldOutLda, tuple[View, View]]:
    hits, training, projected, views = 0, list[float](), list[tuple[FloatArray, IntArray]](), list[View]()
    for fold in range(int(plan.folds.max()) + 1):
        held_out = plan.folds == fold
        features = fit_scaling(states[~held_out])(states)
        features *= np.sqrt(max(1, features.shape[1]))
        if not features.shape[1]:
            features = np.zeros((len(features), 1))
        fitted = fit_discriminant(features[~held_out], plan.labels[~held_out])
        right = fitted.predict(features) == plan.labels
        hits += int(right[held_out].sum())
        training.append(float(right[~held_out].mean()))
        projected.append((features[held_out] @ fitted.axes, plan.labels[held_out]))
        if fold == _DRAWN_FOLD:
            views = [lda_view(features, held_out, fitted), pca_view(features, held_out)]
    return _HeldOutLda(hits, float(np.mean(training)), tuple(projected)), (views[0], views[1])


def _probe(plan: Plan, nested: Nested) -> Probe:
    n_classes, said = len(plan.names), nested.predictions[0]
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(confusion, (plan.labels, said), 1)
    right = np.diag(confusion).tolist()
    return Probe(
        proportion(sum(right), len(plan.labels)),
        tuple(proportion(hits, n) for hits, n in zip(right, plan.n_per_class, strict=True)),
        confusion,
        tuple(nested.strengths[0].tolist()),
    )


def _rows_of(plan: Plan, states: NDArray[np.float32], component: str) -> tuple[int | None, ...]:
    if states.ndim != 3 or len(states) != len(plan.texts):
        raise InputError(
            f"States of shape {states.shape} do not fit {len(plan.texts)} texts; give one (rows, d) a text."
        )
    return state_rows(component, states.shape[1] - (1 if component == "resid" else 0))


def _check_states(plan: Plan, states: NDArray[np.float32]) -> None:
    if states.ndim != 2 or len(states) != len(plan.texts):
        raise InputError(f"States of shape {states.shape} do not fit {len(plan.texts)} texts; give one row a text.")
    if not np.isfinite(states).all():
        raise InputError("Some states are infinite or not a number, so nothing can be fitted; use --dtype float32.")


def _n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
