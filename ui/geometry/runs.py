"""Finished comparisons for the Geometry page, the jobs that compute them, and what is drawn on demand.

1. ``find_panels``: for every stage the finished run, found without loading the model.  For a model whose files are
   here, the run must carry their fingerprint.  The order of the classes does not matter, and a run with the released
   code's probe serves where none was asked for.
2. ``start``: one job for each missing run; the workshop never computes one twice.
3. ``draw``: views that a run does not hold, from the states of the loaded model.

Runs are immutable and shared between sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from .. import runs
from ..worker import Job, workshop
from .state import GeometryInputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ivcore.models import LoadedModel
    from ivcore.probes import LayerGeometry, ReleasedLda, View
    from ivcore.runs import GeometryRequest, GeometryRun, GeometrySummary, Progress

__all__ = [
    "Panel",
    "draw",
    "drawn",
    "find_panels",
    "job",
    "opened",
    "row_of",
    "start",
    "stored",
    "summaries",
]

_MOST_DRAWN = 256


@dataclass(frozen=True)
class Panel:
    """One stage of the model."""

    stage: str
    ref: str
    request: GeometryRequest
    run: GeometryRun | None
    """None where it was not computed, or is damaged."""
    damaged: str | None = None
    """What is wrong with the run on disk."""


def find_panels(inputs: GeometryInputs, request: GeometryRequest) -> tuple[Panel, ...]:
    """Every stage, in the order of training."""
    return tuple(_panel(stage, ref, inputs.dtype, request) for stage, ref in inputs.stages)


def summaries() -> tuple[GeometrySummary, ...]:
    """All finished comparisons, newest first."""
    return _summaries(runs.store_stamp())


def stored(ref: str, dtype: str, request: GeometryRequest) -> GeometryRun | None:
    """The finished run of this request on this model, if there is one: rather one with the released code's probe.

    Raises:
        DamagedRunError: it is there and damaged.
        ModelError: the model's own folder cannot be read.
    """
    wanted = _unordered(request)
    named = [found for found in summaries() if (found.ref, found.dtype) == (ref, dtype)]
    alike = [summary for summary in named if _unordered(summary.request) == wanted]
    if alike and (here := runs.fingerprint(ref)) is not None:
        alike = [summary for summary in alike if summary.fingerprint == here]
    return opened(max(alike, key=lambda summary: summary.request.released).key) if alike else None


@st.cache_resource(max_entries=32, show_spinner=False)
def opened(key: str) -> GeometryRun:
    """A finished comparison. Raises DamagedRunError where it is not as it was written."""
    from ivcore.errors import DamagedRunError
    from ivcore.runs import open_geometry
    from ivcore.store import default_store

    if (run := default_store().find(key)) is None:
        raise DamagedRunError(f"The run {key[:12]} is no longer there; compute it again.")
    return open_geometry(run)


def row_of(run: GeometryRun, layer: int | None) -> LayerGeometry:
    """The row of a layer; None is the embedding."""
    return next(row for row in run.rows if row.layer == layer)


def job(panel: Panel, dtype: str, *, released: bool = False) -> Job | None:
    """The job that computes the panel, or that did last; None also for a hub model not loaded so far."""
    here = runs.fingerprint(panel.ref) or _loaded_fingerprints().get(panel.ref)
    return None if here is None else workshop().find(_key(replace(panel.request, released=released), dtype, here))


def start(loaded: LoadedModel, panel: Panel, *, released: bool = False) -> Job:
    """Compute the panel in the background; where that is already under way, return the job that does it."""
    request = replace(panel.request, released=released)

    def work(on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]) -> object:
        from ivcore.runs import run_geometry
        from ivcore.store import default_store

        return run_geometry(default_store(), loaded, request, on_progress=on_progress, should_stop=should_stop)

    _loaded_fingerprints()[panel.ref] = loaded.fingerprint
    lane = f"{loaded.fingerprint} {loaded.device} {loaded.dtype}"
    title = f"{len(request.sets)} sets of paraphrases on {loaded.ref}"
    return workshop().start(_key(request, loaded.dtype, loaded.fingerprint), title, lane, work)


def drawn(method: str, run: GeometryRun, layer: int | None) -> View | ReleasedLda | None:
    """A view that was drawn before by ``draw``, else None."""
    return _drawn().get((method, run.key, layer))


def draw(method: str, loaded: LoadedModel, run: GeometryRun, layer: int | None) -> View | ReleasedLda:
    """A view that the run does not hold, from the states of one layer; kept for the next time.

    Args:
        method: ``tsne``, or ``released`` for LDA drawn on the points that it was fitted on.
        loaded: the model that the run is of.
        run: whose paraphrases are drawn.
        layer: None is the embedding.

    Raises:
        InputError: the states do not vary, so there is nothing to draw.
    """
    from ivcore.probes import released_lda, tsne_view

    states = _states(loaded, run.request.texts, run.request.component, run.key)
    chosen = states[:, [row.layer for row in run.rows].index(layer)]
    found = tsne_view(chosen.astype("float64")) if method == "tsne" else released_lda(run.request.plan(), chosen)
    kept = _drawn()
    while len(kept) >= _MOST_DRAWN:
        kept.pop(next(iter(kept)), None)
    kept[method, run.key, layer] = found
    return found


def _panel(stage: str, ref: str, dtype: str, request: GeometryRequest) -> Panel:
    from ivcore.errors import DamagedRunError

    try:
        return Panel(stage, ref, request, stored(ref, dtype, request))
    except DamagedRunError as err:
        return Panel(stage, ref, request, None, str(err))


def _unordered(request: GeometryRequest) -> GeometryRequest:
    return replace(request, sets=tuple(sorted(request.sets)), released=False)


def _key(request: GeometryRequest, dtype: str, fingerprint: str) -> str:
    """The name under which the run is, or will be, stored."""
    from ivcore.store import run_key

    return run_key(request.document(dtype), fingerprint)


@st.cache_resource(max_entries=4, show_spinner=False)
def _summaries(stamp: runs.Stamp) -> tuple[GeometrySummary, ...]:
    from ivcore.runs import list_geometries
    from ivcore.store import default_store

    return list_geometries(default_store())


@st.cache_resource(show_spinner=False)
def _loaded_fingerprints() -> dict[str, str]:
    """By ref, the fingerprint of models that jobs were started with: a hub model's is known only once it was loaded."""
    return {}


@st.cache_resource(show_spinner=False)
def _drawn() -> dict[tuple[str, str, int | None], View | ReleasedLda]:
    """By method, run and layer."""
    return {}


@st.cache_resource(max_entries=3, ttl=900, show_spinner=False)
def _states(_loaded: LoadedModel, _texts: Sequence[str], component: str, key: str) -> NDArray[np.float32]:
    """All states of a run's paraphrases, shape (n, n_rows, d_model)."""
    from ivcore.activations import component_states

    return component_states(_loaded, _texts, component)
