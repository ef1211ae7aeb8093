"""What the Geometry page has not computed: cost in words, commands and a button; and the loaded, checked model.

One button starts everything that can start: all stages whose models load in a moment, else one stage at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls
from ..behaviour.progress import said, watch
from ..model_form import agreed_to_download, check_badge
from ..text import and_list, count, markdown
from ..under_way import under_way
from . import runs as geometry_runs
from .runs import Panel
from .state import GeometryInputs

if TYPE_CHECKING:
    from ivcore.models import LoadedModel

__all__ = ["checked_model", "cost_words", "offer_released", "show_missing"]

_KEPT = "Stages that were finished are kept."


def show_missing(
    badge: DeltaGenerator, inputs: GeometryInputs, panels: Sequence[Panel], commands: Sequence[str]
) -> None:
    """Nothing where all stages are there; else the way to get the others.

    Args:
        badge: where the self-check's verdict goes.
        inputs: of the page.
        panels: all stages.
        commands: what computes the missing ones in a shell.
    """
    missing = [panel for panel in panels if panel.run is None]
    for damaged in (panel.damaged for panel in missing if panel.damaged):
        st.warning(f"{markdown(damaged)} It is not shown.", icon=":material/broken_image:")
    if not missing or _watched(inputs, missing, released=False):
        return
    with st.container(border=True):
        names = and_list([panel.stage for panel in missing])
        st.markdown(f"**{count(len(missing))} of {count(len(panels))} not computed**: {markdown(names)}.")
        _offer(badge, inputs, missing, "Compute what is missing", released=False)
        if commands:
            with st.expander("Or on the command line", icon=":material/terminal:"):
                st.code("\n".join(line.removesuffix(" --json") for line in commands), language=None, wrap_lines=True)


def offer_released(badge: DeltaGenerator, inputs: GeometryInputs, panels: Sequence[Panel]) -> None:
    """The way to the released code's probe where runs lack it."""
    lacking = [panel for panel in panels if panel.run is not None and panel.run.released is None]
    if not lacking or _watched(inputs, lacking, released=True):
        return
    with st.container(border=True):
        st.markdown(f"Not computed for {markdown(and_list([panel.stage for panel in lacking]))}.")
        _offer(badge, inputs, lacking, "Compute the released probe too", released=True)


def checked_model(badge: DeltaGenerator, inputs: GeometryInputs, ref: str) -> LoadedModel:
    """The loaded model, with its self-check's verdict shown."""
    with st.spinner("Loading and checking the model", show_time=True):
        loaded = calls.model(ref, inputs.device, inputs.dtype)
        report = calls.verdict(loaded, loaded.fingerprint, loaded.device, loaded.dtype)
    check_badge(badge, report)
    return loaded


def cost_words(panels: Sequence[Panel]) -> str:
    """What one press would compute."""
    request = panels[0].request
    n, stages = len(request.texts), len(panels)
    size = f"{count(n)} paraphrases" + (f" × {stages} stages" if stages > 1 else "")
    passes = f"{count(n * stages)} passes through the model" if stages > 1 else "one pass through the model for each"
    return (
        f"{size}: {passes}, then {1 + request.n_permutations} probes a layer (one of them real, "
        f"{request.n_permutations} with shuffled labels). A small model takes about a minute for a thousand "
        "paraphrases."
    )


def _watched(inputs: GeometryInputs, panels: Sequence[Panel], *, released: bool) -> bool:
    """Show the progress of jobs that run, or how the last ones ended; whether any runs."""
    found = [geometry_runs.job(panel, inputs.dtype, released=released) for panel in panels]
    jobs = [job for job in found if job is not None]
    if running := under_way(jobs):
        watch(running, "Comparing", "paraphrases")
        return True
    said(jobs, _KEPT)
    return False


def _offer(
    badge: DeltaGenerator, inputs: GeometryInputs, missing: Sequence[Panel], label: str, *, released: bool
) -> None:
    """The cost of what one press would start, and the button."""
    wanted: Sequence[Panel] = missing
    if not all(calls.is_light(panel.ref) for panel in missing):
        stages = [panel.stage for panel in missing]
        stage = stages[0]
        if len(stages) > 1:
            chosen = st.segmented_control(
                "Large models are computed one at a time", stages, default=stage, required=True, key=f"{label}: stage"
            )
            stage = chosen or stage
        wanted = [panel for panel in missing if panel.stage == stage]
        if calls.is_to_download(wanted[0].ref) and not agreed_to_download(wanted[0].ref):
            return
    place = st.container(horizontal=True, vertical_alignment="center")
    pressed = place.button(label, type="primary", icon=":material/play_arrow:")
    place.caption(cost_words(wanted))
    if pressed:
        for panel in wanted:
            geometry_runs.start(checked_model(badge, inputs, panel.ref), panel, released=released)
        st.rerun()
