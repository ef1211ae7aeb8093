"""What was not computed: commands, cost and a button.

One button starts everything that can start: all stages whose models load in a moment, else one stage at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls
from ..model_form import agreed_to_download, check_badge
from ..text import and_list, count, markdown
from ..under_way import under_way
from . import runs as behaviour_runs
from .files import command_of
from .progress import said, watch
from .runs import Panel
from .state import BehaviourInputs

if TYPE_CHECKING:
    from ivcore.models import LoadedModel

__all__ = ["checked_model", "show_missing"]

_MOST_COMMANDS = 9


def show_missing(
    badge: DeltaGenerator, inputs: BehaviourInputs, panels: Sequence[Panel], own: Mapping[str, str] | None
) -> None:
    """Nothing where all panels are there; else the way to get the others."""
    missing = [panel for panel in panels if panel.run is None]
    if not missing:
        return
    jobs = {panel: job for panel in missing if (job := behaviour_runs.job(panel, inputs.dtype)) is not None}
    if running := under_way(jobs.values()):
        watch(running, "Answering", "prompts")
        return
    said(list(jobs.values()), "Tasks that were finished are kept.")
    with st.container(border=True):
        n = len(missing)
        st.markdown(f"**{count(n)} of {count(len(panels))} not computed**: {markdown(_named(inputs, missing))}.")
        _offer(badge, inputs, missing)
        lines = [line for panel in missing if (line := command_of(inputs, panel, own)) is not None]
        if lines:
            with st.expander("Or on the command line", icon=":material/terminal:"):
                st.code("\n".join(line.removesuffix(" --json") for line in lines[:_MOST_COMMANDS]), language=None)
                if len(lines) > _MOST_COMMANDS:
                    st.caption(f"And {count(len(lines) - _MOST_COMMANDS)} more of the same kind.")


def checked_model(badge: DeltaGenerator, inputs: BehaviourInputs, ref: str) -> LoadedModel:
    """The loaded model, with its self-check's verdict shown."""
    with st.spinner("Loading and checking the model", show_time=True):
        loaded = calls.model(ref, inputs.device, inputs.dtype)
        report = calls.verdict(loaded, loaded.fingerprint, loaded.device, loaded.dtype)
    check_badge(badge, report)
    return loaded


def _offer(badge: DeltaGenerator, inputs: BehaviourInputs, missing: Sequence[Panel]) -> None:
    """The cost of what one press would start, and the button."""
    stages = tuple(dict.fromkeys(panel.stage for panel in missing))
    refs = dict(inputs.stages)
    if all(calls.is_light(refs[stage]) for stage in stages):
        wanted: Sequence[Panel] = missing
    else:
        stage = stages[0]
        if len(stages) > 1:
            chosen = st.segmented_control(
                "Large models answer one at a time", stages, default=stage, required=True, key="stage to answer"
            )
            stage = chosen or stage
        wanted = [panel for panel in missing if panel.stage == stage]
        if calls.is_to_download(refs[stage]) and not agreed_to_download(refs[stage]):
            return
    prompts = sum(len(panel.request.items) for panel in wanted)
    most = sum(len(panel.request.items) * panel.request.max_tokens for panel in wanted)
    place = st.container(horizontal=True, vertical_alignment="center")
    pressed = place.button("Answer the missing prompts", type="primary", icon=":material/play_arrow:")
    place.caption(_cost(inputs, wanted, prompts, most))
    if pressed:
        for ref in dict.fromkeys(panel.ref for panel in wanted):
            loaded = checked_model(badge, inputs, ref)
            for panel in wanted:
                if panel.ref == ref:
                    behaviour_runs.start(loaded, panel)
        st.rerun()


def _cost(inputs: BehaviourInputs, wanted: Sequence[Panel], prompts: int, most: int) -> str:
    """Prompts and tokens; the tokens of the prompts can only be counted by a model that loads in a moment."""
    words = f"{count(prompts)} prompts, and up to {count(most)} tokens of answers"
    if not calls.is_light(wanted[0].ref):
        return f"{words}. They are answered in the background; each task is kept once it is done."
    with st.spinner("Counting tokens"):
        loaded = calls.model(wanted[0].ref, inputs.device, inputs.dtype)
        tokens = behaviour_runs.n_tokens(loaded, [panel.request for panel in wanted])
    return f"{count(prompts)} prompts of {count(tokens)} tokens in all, and up to {count(most)} tokens of answers."


def _named(inputs: BehaviourInputs, missing: Sequence[Panel]) -> str:
    """Which ones, stage by stage."""
    by_stage: dict[str, list[str]] = {stage: [] for stage, _ in inputs.stages}
    for panel in missing:
        by_stage[panel.stage].append(panel.task)
    lists = list(by_stage.values())
    if len(lists) > 1 and all(tasks == lists[0] for tasks in lists):
        by_stage = {"every stage": lists[0]}
    parts = (f"{and_list(t) if len(t) < 6 else f'{len(t)} tasks'} on {stage}" for stage, t in by_stage.items() if t)
    return "; ".join(parts)
