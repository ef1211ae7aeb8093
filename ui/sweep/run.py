"""From the form to a finished sweep: found in the store, else offered, started and watched.

What is in the store opens without loading the model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls, runs
from ..frame import run_facts
from ..model_form import agreed_to_download, check_badge
from ..text import count, duration, markdown
from ..under_way import under_way
from .help import CONVENTION_LINE
from .panels import show_both_conventions, show_released_test
from .progress import offer, watch
from .result import SweepResult
from .state import SweepInputs, convention_name

if TYPE_CHECKING:
    from ivcore.models import LoadedModel
    from ivcore.runs import SweepRequest, SweepRun

__all__ = ["caption", "other_convention", "show_badge", "stored_or_started"]


def stored_or_started(badge: DeltaGenerator, inputs: SweepInputs, request: SweepRequest) -> SweepRun:
    """The finished run; where there is none yet, the page ends with its cost and a button, or with its progress."""
    if (run := _stored(inputs, request)) is not None:
        return run
    loaded = _load(inputs)
    if loaded is None:
        st.stop()
    _verdict(badge, loaded)
    _compute(loaded, request)
    st.stop()


def other_convention(inputs: SweepInputs, result: SweepResult) -> None:
    """What the released code would have said, or what the definitions say of a run made as the code makes it."""
    st.markdown(CONVENTION_LINE[result.run.request.convention])
    name = "released" if inputs.convention == "exact" else "exact"
    request = replace(result.run.request, convention=name)
    run = _stored(inputs, request)
    if run is not None:
        show_both_conventions(result, run)
    else:
        st.markdown(
            f"**The effects.** The same sweep {convention_name(name)} was not computed. {CONVENTION_LINE[name]}"
        )
        _offer_other(inputs, request)
    show_released_test(result)


def caption(run: SweepRun) -> None:
    """What the result was measured on, and when."""
    facts = [
        f"n = {count(run.n_samples)} samples",
        "95% intervals: bootstrap over samples, 10,000 resamples, seed 0",
        *run_facts(run.model),
        convention_name(run.request.convention),
        f"computed {run.created[:16].replace('T', ' ')} UTC in {duration(run.seconds)}",
        "bundled with the app" if run.bundled else f"run {run.key[:12]}",
    ]
    st.caption(markdown(" · ".join(facts)))


def show_badge(place: DeltaGenerator, inputs: SweepInputs) -> None:
    """The self-check of the model, where its weights are here; after the result, which need not wait for it."""
    if calls.is_light(inputs.ref):
        loaded = calls.model(inputs.ref, inputs.device, inputs.dtype)
        _verdict(place, loaded)


def _stored(inputs: SweepInputs, request: SweepRequest) -> SweepRun | None:
    """The finished run; a damaged one is told of, and counts as none."""
    from ivcore.errors import DamagedRunError

    try:
        return runs.stored(inputs.ref, inputs.dtype, request)
    except DamagedRunError as err:
        st.warning(f"{markdown(err)} It is not shown.", icon=":material/broken_image:")
        return None


def _load(inputs: SweepInputs) -> LoadedModel | None:
    """The model, once it is here; None while the user has not agreed to fetch it."""
    if calls.is_to_download(inputs.ref) and not agreed_to_download(inputs.ref):
        return None
    with st.spinner("Loading and checking the model", show_time=True):
        return calls.model(inputs.ref, inputs.device, inputs.dtype)


def _verdict(place: DeltaGenerator, loaded: LoadedModel) -> None:
    check_badge(place, calls.verdict(loaded, loaded.fingerprint, loaded.device, loaded.dtype))


def _compute(loaded: LoadedModel, request: SweepRequest, *, label: str = "Start the sweep") -> None:
    """Progress of the job that computes the request, else the button that starts it."""
    job = runs.job(loaded, request)
    if going := under_way([job]):
        watch(going[0])
    else:
        offer(loaded, request, job, label=label)


def _offer_other(inputs: SweepInputs, request: SweepRequest) -> None:
    """The other convention, where the model loads in a moment."""
    if not calls.is_light(inputs.ref):
        st.caption("To compute it, choose that convention in the form above.")
        return
    with st.spinner("Loading the model"):
        loaded = calls.model(inputs.ref, inputs.device, inputs.dtype)
    _compute(loaded, request, label=f"Compute it {convention_name(request.convention)}")
