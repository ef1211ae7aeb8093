"""From a request to a finished trace: found in the store, else forecast, started and watched.

What is in the store opens without loading the model.  A trace that a small model finishes in a moment is not asked
about: it is computed and shown.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls
from ..behaviour.progress import said, watch
from ..model_form import agreed_to_download, check_badge
from ..text import and_list, count, markdown, operations, visible
from ..under_way import under_way
from ..worker import Job, State
from . import runs as paths_runs
from .runs import Expected, Traced
from .state import PathsInputs

if TYPE_CHECKING:
    from ivcore.models import LoadedModel
    from ivcore.runs import PathsRequest

__all__ = ["Badge", "compute", "loaded_model", "show_badge", "stored_or_started", "tell_damaged"]

_QUICK_WORK, _QUICK_PATHS = 2e10, 20_000
"""Operations and paths of a trace that two cores finish in about half a second."""
_PATIENCE = 4.0
"""Seconds that the page waits for such a trace before it shows its progress instead."""
_KEPT = "What was finished is kept: it goes on from there."
_MOST_NAMED = 6


class Badge:
    """The place of the self-check's verdict, which is shown once however often the model is asked for."""

    def __init__(self, place: DeltaGenerator) -> None:
        self._place, self._shown = place, False

    def show(self, loaded: LoadedModel) -> None:
        """Check the model and show the verdict."""
        if not self._shown:
            self._shown = True
            check_badge(self._place, calls.verdict(loaded, loaded.fingerprint, loaded.device, loaded.dtype))


def stored_or_started(badge: Badge, inputs: PathsInputs, request: PathsRequest, name: str) -> Traced | None:
    """The finished trace of one prompt; None where the page now shows its cost and a button, or its progress.

    Args:
        badge: where the self-check's verdict goes, if the model is loaded.
        inputs: of the page.
        request: about one prompt.
        name: of the button, where the page has several.
    """
    found = paths_runs.stored(inputs.ref, inputs.dtype, request)
    tell_damaged(found.damaged)
    wanted = found.traced is None or (found.traced.n_cut > 0 and _wants_all(found.traced, name))
    if wanted and compute(badge, inputs, request, name):
        return paths_runs.stored(inputs.ref, inputs.dtype, request).traced
    return found.traced


def compute(badge: Badge, inputs: PathsInputs, request: PathsRequest, name: str) -> bool:
    """Whether the trace was computed just now; else its progress, or its cost and the button that starts it.

    Args:
        badge: where the self-check's verdict goes, once the model is loaded.
        inputs: of the page; ``ref`` says on which model.
        request: what is traced.
        name: of the button, where the page has several.

    Raises:
        InputError: it cannot be computed with this model, or there are too many paths.
    """
    job = paths_runs.job(inputs.ref, inputs.dtype, request)
    if going := under_way([job]):
        watch(going, "Following the paths of", "samples" if len(request.items) > 1 else "sources")
        return False
    said([job] if job is not None else [], _KEPT)
    if (loaded := loaded_model(badge, inputs)) is None:
        return False
    with st.spinner("Counting the paths"):
        expected = paths_runs.expected(loaded, request)
    # A job that is done and not in the store was removed there since.
    if (job is None or job.state is State.DONE) and _is_quick(loaded, request, expected):
        return _at_once(paths_runs.start(loaded, request))
    _offer(loaded, request, expected, job, name)
    return False


def loaded_model(badge: Badge, inputs: PathsInputs) -> LoadedModel | None:
    """The model, with its self-check's verdict shown; None while the user has not agreed to fetch it."""
    if calls.is_to_download(inputs.ref) and not agreed_to_download(inputs.ref):
        return None
    with st.spinner("Loading and checking the model", show_time=True):
        loaded = calls.model(inputs.ref, inputs.device, inputs.dtype)
        badge.show(loaded)
    return loaded


def show_badge(badge: Badge, inputs: PathsInputs) -> None:
    """The self-check of the model, where its weights are here; after the result, which need not wait for it."""
    if calls.is_light(inputs.ref):
        loaded_model(badge, inputs)


def tell_damaged(damaged: tuple[str, ...]) -> None:
    """Say which runs are not shown."""
    for told in damaged:
        st.warning(f"{markdown(told)} It is not shown.", icon=":material/broken_image:")


def _wants_all(traced: Traced, name: str) -> bool:
    """Offer to trace a prompt anew of which not all high-ranking paths were kept; whether that was asked for."""
    asked = f"paths: all of {traced.run.key} {traced.sample} {traced.rows}"
    if not st.session_state.get(asked):
        high = int(traced.run.n_high_ranking[list(traced.rows)].sum())
        told = (
            f"For “{markdown(visible(traced.run.request.instruction))}” this run kept {count(high - traced.n_cut)}, of "
            "each source those with the largest logits. The prompt is traced anew, and all are kept."
        )
        if st.button(f"Keep all {count(high)} paths", icon=":material/account_tree:", key=f"whole {name}", help=told):
            st.session_state[asked] = True
            st.rerun()
    return bool(st.session_state.get(asked))


def _is_quick(loaded: LoadedModel, request: PathsRequest, expected: Expected) -> bool:
    faster = 50 if loaded.device == "cuda" else 1
    forecast = expected.forecast
    one = len(request.items) == 1
    return one and forecast.operations < _QUICK_WORK * faster and forecast.total < _QUICK_PATHS * faster


def _at_once(job: Job) -> bool:
    """Wait for a job that takes a moment; where it takes longer, the page runs again and shows its progress."""
    until = time.monotonic() + _PATIENCE
    with st.spinner("Following the paths"):
        while not job.ended and time.monotonic() < until:
            time.sleep(0.01)
    if job.state is State.DONE:
        return True
    st.rerun()


def _offer(loaded: LoadedModel, request: PathsRequest, expected: Expected, last: Job | None, name: str) -> None:
    """What the trace will follow, and the button that starts it."""
    n, forecast = len(request.items), expected.forecast
    with st.container(border=True):
        left, middle, right = st.columns(3)
        about = "" if n == 1 else "about "
        left.metric(
            "Paths to follow",
            f"{about}{count(forecast.total * n)}",
            help="Counted, not estimated." if n == 1 else "Those of the first prompt, times the number of samples.",
        )
        tokens = f"{count(len(expected.sources))} token{'' if len(expected.sources) == 1 else 's'}"
        middle.metric("From", tokens if n == 1 else f"{count(n)} prompts")
        right.metric(
            "Work",
            f"{about}{operations(forecast.operations * n)}",
            help="Multiplications and additions that extend the paths; ranking them comes on top.",
        )
        st.caption(
            f"{_by_source(expected)} The trace runs in the background, can be stopped and resumed, and is kept once "
            "it is done."
        )
        stopped = last is not None and last.state is State.STOPPED
        label = "Resume" if stopped else "Follow the paths"
        if st.button(label, type="primary", icon=":material/play_arrow:", key=f"start {name}"):
            paths_runs.start(loaded, request)
            st.rerun()


def _by_source(expected: Expected) -> str:
    """How many paths the sources have that have most."""
    pairs = sorted(zip(expected.forecast.n_paths, expected.sources, strict=True), key=lambda pair: (-pair[0], pair[1]))
    named = [f"{count(n)} from token {at} “{visible(expected.tokens[at])}”" for n, at in pairs[:_MOST_NAMED]]
    more = "" if len(pairs) <= _MOST_NAMED else f", fewer from each of {count(len(pairs) - _MOST_NAMED)} others"
    return f"{markdown(and_list(named))}{more}."
