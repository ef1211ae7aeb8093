"""The probe and the picture of the code released with arXiv 2602.07930, beside the same held out honestly.

1. ``released_probe``: all layers' states pooled into one data set and split at random, 80 to 20, so that one
   paraphrase's layers fall on both sides. Beside it the same pool with whole paraphrases held out; nothing else
   differs.
2. ``released_lda``: LDA without shrinkage, fitted and drawn on the same points. Beside it its accuracy on points
   held out.

Source: REFERENCE, departure 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ..errors import InputError
from ..stats import Proportion, proportion
from .geometry import Plan
from .logistic import fit_path
from .scaling import fit_scaling
from .views import View

__all__ = ["ReleasedLda", "ReleasedProbe", "released_lda", "released_probe"]

IntArray = NDArray[np.int64]
_STRENGTHS = (0.3, 30.0)
"""The last is used; the first is on the way there."""
_HELD_OUT_FOLD = 0


@dataclass(frozen=True)
class ReleasedProbe:
    """One probe for all layers pooled, split in two ways."""

    random_split: Proportion
    """As released: a paraphrase that is held out at one layer was trained on at another. The interval takes the
    points as independent, as one would there; they are not."""
    by_paraphrase: Proportion
    """Whole paraphrases held out, of all layers; ``n`` are paraphrases times layers, so this interval is too narrow
    too."""
    n_layers: int


@dataclass(frozen=True)
class ReleasedLda:
    """LDA drawn on its own training points."""

    view: View
    training_accuracy: Proportion
    """On the points drawn: those it was fitted on."""
    heldout_accuracy: Proportion
    """Of the same LDA fitted without one fold, on that fold."""


def released_probe(plan: Plan, states: NDArray[np.float32], component: str = "resid") -> ReleasedProbe:
    """Pool all layers (not the embedding) and split them in both ways.

    Args:
        plan: of the texts that ``states`` belong to.
        states: shape (n_texts, n_rows, d_model).
        component: what the states are of; for ``resid`` the first row is the embedding.
    """
    blocks = states[:, 1:] if component == "resid" else states
    n_layers = blocks.shape[1]
    pooled = blocks.reshape(-1, blocks.shape[-1])
    labels = np.repeat(plan.labels, n_layers)
    whole = np.repeat(plan.folds == _HELD_OUT_FOLD, n_layers)
    at_random = np.random.default_rng(plan.seed).permutation(whole)
    with threadpool_limits(limits=1, user_api="blas"):
        shares = [_held_out_accuracy(pooled, labels, held_out, len(plan.names)) for held_out in (at_random, whole)]
    return ReleasedProbe(shares[0], shares[1], n_layers)


def released_lda(plan: Plan, states: NDArray[np.float32]) -> ReleasedLda:
    """One layer's states (n, d_model).

    Raises:
        InputError: the states do not vary, so there is nothing to draw.
    """
    features = fit_scaling(states)(states.astype(np.float64))
    if not features.shape[1]:
        raise InputError("All states of this layer are equal, so LDA is not defined; choose another layer.")
    model = LinearDiscriminantAnalysis(solver="svd").fit(features, plan.labels)
    points = model.transform(features)[:, :2].astype(np.float32)
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    drawn = View("lda", points, np.zeros(len(points), dtype=np.bool_))
    right = int((model.predict(features) == plan.labels).sum())
    held_out = plan.folds == _HELD_OUT_FOLD
    again = LinearDiscriminantAnalysis(solver="svd").fit(features[~held_out], plan.labels[~held_out])
    hits = int((again.predict(features[held_out]) == plan.labels[held_out]).sum())
    return ReleasedLda(drawn, proportion(right, len(points)), proportion(hits, int(held_out.sum())))


def _held_out_accuracy(
    states: NDArray[np.float32], labels: IntArray, held_out: NDArray[np.bool_], n_classes: int
) -> Proportion:
    training = states[~held_out]
    scaling = fit_scaling(training)
    *_, weights = fit_path(scaling(training), labels[None, ~held_out], n_classes, _STRENGTHS)
    said = weights.predict(scaling(states[held_out]))[0]
    return proportion(int((said == labels[held_out]).sum()), len(said))
