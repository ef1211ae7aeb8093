"""The geometry of paraphrases as a run: states, probes and views of all layers, computed once, stored, found again.

Stored are confusion matrices, drawn points and figures, not the states: for these a model needs a second.  What follows
from them (accuracies, intervals) is worked out on opening.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import COMPONENTS, component_states, state_rows
from ..errors import InputError, quote
from ..models import LoadedModel
from ..probes import (
    N_PERMUTATIONS,
    Geometry,
    LayerGeometry,
    Plan,
    Probe,
    ReleasedProbe,
    Separation,
    View,
    geometry,
    plan_geometry,
    released_probe,
)
from ..prompts.paraphrases import ParaphraseSet, check_sets
from ..stats import Proportion, proportion
from ..store import Run, Store, run_key
from .meta import model_meta
from .progress import Progress, Watch
from .stored import Summary, find_run, list_runs, own_fields, reading, sound

__all__ = [
    "GeometryRequest",
    "GeometryRun",
    "GeometrySummary",
    "find_geometry",
    "geometry_request",
    "list_geometries",
    "open_geometry",
    "run_geometry",
]

_ANALYSIS = "geometry"
_VERSION = 1
"""Raised when the same request would give other numbers than before."""
_STATES_SHARE = 0.3
"""Of the progress shown; the rest are the probes."""
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class GeometryRequest:
    """What is compared, apart from the model."""

    sets: tuple[tuple[str, tuple[str, ...]], ...]
    """(name of the class, its paraphrases), in order."""
    component: str = "resid"
    n_permutations: int = N_PERMUTATIONS
    released: bool = False
    """Whether the released code's pooled probe is computed too."""
    seed: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return tuple(name for name, _ in self.sets)

    @property
    def texts(self) -> tuple[str, ...]:
        """All paraphrases, class by class."""
        return tuple(text for _, texts in self.sets for text in texts)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each of ``texts``."""
        return np.repeat(np.arange(len(self.sets)), [len(texts) for _, texts in self.sets])

    def plan(self) -> Plan:
        """Folds and permuted labels. Raises DataError where the sets cannot be compared."""
        sets = [ParaphraseSet(name, texts) for name, texts in self.sets]
        return plan_geometry(sets, n_permutations=self.n_permutations, seed=self.seed)

    def document(self, dtype: str) -> dict[str, Any]:
        """The canonical request."""
        return {"analysis": _ANALYSIS, "version": _VERSION, "dtype": dtype, **asdict(self)}


@dataclass(frozen=True)
class GeometryRun:
    """A finished comparison."""

    key: str
    request: GeometryRequest
    model: Mapping[str, Any]
    """ref, family, n_layers, revision, fingerprint, device, dtype."""
    created: str
    """ISO 8601, UTC."""
    seconds: float
    """Wall time of the computation."""
    seconds_states: float
    """Of these, the model's passes."""
    bundled: bool
    result: Geometry
    released: ReleasedProbe | None
    """Where the request asks for it."""

    @property
    def n_samples(self) -> int:
        """Number of paraphrases."""
        return len(self.request.labels)

    @property
    def rows(self) -> tuple[LayerGeometry, ...]:
        """The embedding, where there is one, then all layers."""
        first = self.result.embedding
        return (*(() if first is None else (first,)), *self.result.layers)


GeometrySummary = Summary[GeometryRequest]


def geometry_request(
    sets: Sequence[ParaphraseSet],
    component: str = "resid",
    *,
    n_permutations: int = N_PERMUTATIONS,
    released: bool = False,
    seed: int = 0,
) -> GeometryRequest:
    """Compare these sets of paraphrases.

    Raises:
        DataError: they cannot be compared (``check_sets``).
        InputError: no such component, or a negative number of permutations.
    """
    if component not in COMPONENTS:
        raise InputError(f"Unknown component {quote(component)}; choose one of {', '.join(COMPONENTS)}.")
    if n_permutations < 0:
        raise InputError(f"{n_permutations} permutations were asked for; ask for 0 or more.")
    cleaned = tuple((one.name, one.texts) for one in check_sets(sets))
    return GeometryRequest(cleaned, component, n_permutations, released, seed)


def find_geometry(store: Store, fingerprint: str, dtype: str, request: GeometryRequest) -> GeometryRun | None:
    """The finished run of this request on this model, if there is one. Raises DamagedRunError."""
    return find_run(store, fingerprint, dtype, request, open_geometry)


def list_geometries(store: Store) -> tuple[GeometrySummary, ...]:
    """All finished runs, newest first, from their descriptions alone; damaged ones are left out."""
    return list_runs(store, _ANALYSIS, _request)


def open_geometry(run: Run) -> GeometryRun:
    """The numbers of a finished run. Raises DamagedRunError where they do not fit together."""
    request = _request(run)
    with reading(run):
        arrays = run.arrays()
        document = json.loads(arrays.pop("document").tobytes())
        model = dict(run.meta["model"])
        result = _read(request, arrays, document, state_rows(request.component, int(model["n_layers"])))
        released = document["released"]
        pooled = released and ReleasedProbe(
            _share(released["random_split"]), _share(released["by_paraphrase"]), int(released["n_layers"])
        )
        times = float(run.meta["seconds"]), float(document["seconds_states"])
        return GeometryRun(run.key, request, model, str(run.meta["created"]), *times, run.bundled, result, pooled)


def run_geometry(
    store: Store,
    model: LoadedModel,
    request: GeometryRequest,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> GeometryRun:
    """The finished run of this request on this model: found, or computed. A damaged one is computed again.

    Args:
        store: where runs are kept.
        model: locked batch by batch.
        request: what is compared.
        on_progress: told how far it is, in paraphrases, after every batch and layer.
        should_stop: asked as often; True ends the call.

    Raises:
        Stopped: ``should_stop`` said so.
        DataError, InputError: the request cannot be computed with this model.
        RunBusyError: another thread or process computes the same run.
        StoreError: the store cannot be written.
    """
    find = partial(find_geometry, store, model.fingerprint, model.dtype, request)
    if (found := sound(find)) is not None:
        return found
    plan, document = request.plan(), request.document(model.dtype)
    n = len(plan.texts)
    watch = Watch(n, 1, on_progress, should_stop)
    with store.draft(run_key(document, model.fingerprint), document, model_meta(model)) as draft:
        if (found := sound(find)) is not None:  # another finished it just before
            return found
        watch.finished(0)
        started = time.perf_counter()
        states = component_states(
            model, plan.texts, request.component, on_batch=lambda done: watch.reached(int(_STATES_SHARE * done))
        )
        seconds = time.perf_counter() - started
        layers_done = iter(range(1, states.shape[1] + 1))
        probing = (1 - _STATES_SHARE) * n / states.shape[1]
        result = geometry(
            plan,
            states,
            request.component,
            on_layer=lambda _: watch.reached(int(_STATES_SHARE * n + probing * next(layers_done))),
        )
        released = released_probe(plan, states, request.component) if request.released else None
        watch.reached(n)
        return open_geometry(draft.finish(_written(result, released, seconds)))


def _written(result: Geometry, released: ReleasedProbe | None, seconds_states: float) -> Arrays:
    """What ``_read`` reads back."""
    rows = [*([result.embedding] if result.embedding else []), *result.layers]
    probes = [result.lexical, *(row.probe for row in rows)]
    document = {
        "n_folds": result.n_folds,
        "seconds_states": seconds_states,
        "released": None if released is None else asdict(released),
        "rows": [
            {
                "shuffled_accuracies": row.shuffled_accuracies,
                "lda_heldout": asdict(row.lda_heldout),
                "lda_training_accuracy": row.lda_training_accuracy,
                "separation": asdict(row.separation),
                "explained": row.pca.explained,
            }
            for row in rows
        ],
    }
    return {
        "document": np.frombuffer(json.dumps(document, allow_nan=False).encode(), dtype=np.uint8),
        "confusion": np.stack([probe.confusion for probe in probes]),
        "strengths": np.array([probe.strengths for probe in probes]),
        "lda": np.stack([row.lda.points for row in rows]),
        "pca": np.stack([row.pca.points for row in rows]),
        "held_out": rows[0].lda.held_out,
    }


def _read(
    request: GeometryRequest, arrays: Arrays, document: dict[str, Any], layers: tuple[int | None, ...]
) -> Geometry:
    labels, held_out = request.labels, arrays["held_out"]
    n, n_classes, n_rows = len(labels), len(request.sets), len(layers)
    counts = np.bincount(labels, minlength=n_classes)
    shapes = {"confusion": (n_rows + 1, n_classes, n_classes), "strengths": (n_rows + 1, int(document["n_folds"]))}
    shapes |= {"lda": (n_rows, n, 2), "pca": (n_rows, n, 2), "held_out": (n,)}
    if {name: array.shape for name, array in arrays.items()} != shapes or len(document["rows"]) != n_rows:
        raise ValueError("its arrays have other shapes than its request")
    if held_out.dtype != np.bool_ or not all(np.isfinite(arrays[name]).all() for name in ("lda", "pca", "strengths")):
        raise ValueError("its points are not finite")
    confusion = arrays["confusion"]
    if confusion.min() < 0 or (confusion.sum(axis=2) != counts).any():
        raise ValueError("its confusion matrices do not count its paraphrases")
    probes = [_probe(*pair) for pair in zip(confusion, arrays["strengths"], strict=True)]
    rows = tuple(
        LayerGeometry(
            layer,
            probes[i + 1],
            tuple(map(float, row["shuffled_accuracies"])),
            _share(row["lda_heldout"]),
            float(row["lda_training_accuracy"]),
            Separation(**row["separation"]),
            View("lda", arrays["lda"][i], held_out),
            View("pca", arrays["pca"][i], held_out, _pair(row["explained"])),
        )
        for i, (layer, row) in enumerate(zip(layers, document["rows"], strict=True))
    )
    return Geometry(
        request.component,
        request.names,
        tuple(counts.tolist()),
        float(counts.max() / n),
        probes[0],
        rows[0] if layers[0] is None else None,
        tuple(row for row in rows if row.layer is not None),
        int(document["n_folds"]),
        request.n_permutations,
        request.seed,
    )


def _probe(confusion: NDArray[np.int64], strengths: NDArray[np.float64]) -> Probe:
    right, counts = np.diag(confusion).tolist(), confusion.sum(axis=1).tolist()
    return Probe(
        proportion(sum(right), sum(counts)),
        tuple(proportion(hits, n) for hits, n in zip(right, counts, strict=True)),
        confusion,
        tuple(strengths.tolist()),
    )


def _share(row: Mapping[str, Any]) -> Proportion:
    return proportion(int(row["hits"]), int(row["n"]))


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))


def _request(run: Run) -> GeometryRequest:
    with reading(run, "one for geometry"):
        fields = own_fields(run)
        sets = tuple((str(name), tuple(map(str, texts))) for name, texts in fields["sets"])
        return replace(GeometryRequest(**fields), sets=sets)
