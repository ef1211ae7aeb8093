"""Ask it yourself: any prompt, answered token by token, with what else the model might have said at each step.

It is a fragment: typing and choosing a step redraw nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls, frame
from ..guard import guarded
from ..model_form import agreed_to_download
from ..text import html, markdown, percent, visible
from . import runs as behaviour_runs
from .charts import tops_chart
from .missing import checked_model
from .runs import Panel
from .state import BehaviourInputs

if TYPE_CHECKING:
    from ivcore.behaviour import Step

__all__ = ["asked_prompt", "first_prompt", "show_ask"]

PROMPT = "prompt"
"""URL parameter of a prompt that was typed."""
_LONGEST_IN_ADDRESS = 1500
_LOADED = "model asked for"


def first_prompt(panel: Panel) -> str:
    """The task's instruction with the first of its queries."""
    return f"{panel.request.instruction} {panel.request.items[0][0]}"


def asked_prompt() -> str:
    """The typed prompt as the address has it; empty where none was typed."""
    return st.query_params.get(PROMPT, "")


def show_ask(
    badge: DeltaGenerator, inputs: BehaviourInputs, panels: Sequence[Panel], link: Mapping[str, Sequence[str]]
) -> None:
    """The section; a model that takes its time to load waits for a button."""
    panel = next(one for one in panels if (one.task, one.stage) == (inputs.task, inputs.stage))
    st.subheader("Ask it yourself", anchor=False)
    st.markdown("Type any prompt and see the answer grow: at each step the most likely token is taken.")
    if not calls.is_light(panel.ref) and st.session_state.get(_LOADED) != panel.ref:
        if calls.is_to_download(panel.ref):
            if any(one.run is None for one in panels):
                st.caption(f"{markdown(panel.stage)} is not on this machine yet; it can be fetched above.")
                return
            if not agreed_to_download(panel.ref):
                return
        if not st.button(f"Load {markdown(panel.stage)}", icon=":material/memory:", help="It stays in memory."):
            return
        st.session_state[_LOADED] = panel.ref
    loaded = checked_model(badge, inputs, panel.ref)
    opened = next(reversed(link.get("task", ())), inputs.tasks[0])
    _ask(inputs, panel, next(reversed(link.get(PROMPT, ())), "") if inputs.task == opened else "")
    frame.model_caption(loaded, "greedy answer")


@st.fragment
def _ask(inputs: BehaviourInputs, panel: Panel, linked: str) -> None:
    first = first_prompt(panel)
    text = st.text_area(
        "Prompt",
        linked or first,
        key=f"prompt of {panel.task}",
        height=90,
        help="The model goes on from its end, so end it as a question to be answered, such as “Answer:”.",
    )
    _keep(text or "", first)
    with guarded():
        loaded = calls.model(panel.ref, inputs.device, inputs.dtype)
        with st.spinner("Answering", show_time=True):
            steps = behaviour_runs.steps(loaded, loaded.fingerprint, loaded.device, loaded.dtype, text or "")
        st.html(_answer_html(steps))
        chosen = st.segmented_control(
            "Step",
            range(len(steps)),
            default=0,
            required=True,
            format_func=lambda i: _chip(i, steps[i]),
            key=f"step of {len(steps)}",
            wrap=True,
            help="Choose a step to see its ten most likely tokens.",
        )
        at = min(chosen or 0, len(steps) - 1)
        st.altair_chart(tops_chart(steps[at].top, _heading(at, steps[at])), width="stretch", alt="Most likely tokens")


def _keep(text: str, first: str) -> None:
    """Put a typed prompt in the address, where it can stand there."""
    if text == first or not text or len(text) > _LONGEST_IN_ADDRESS:
        st.query_params.pop(PROMPT, None)
    elif st.query_params.get(PROMPT) != text:
        st.query_params[PROMPT] = text


def _answer_html(steps: Sequence[Step]) -> str:
    said = "".join(visible(step.token) for step in steps if not step.ends)
    words = f'<span class="mono answer">{html(said)}</span>' if said else "nothing at all"
    last = "" if steps[-1].ends else f" … (cut after {len(steps)} tokens)"
    return f'<div class="iv"><p class="iv-said">It answers {words}{last}</p></div>'


def _chip(i: int, step: Step) -> str:
    token = "end" if step.ends else visible(step.token)[:24]
    return f"{i + 1}. {markdown(token)} {percent(step.top[0].prob)}"


def _heading(i: int, step: Step) -> str:
    taken = f"{visible(step.token)[:24]}{', which ends it' if step.ends else ''}"
    return f"Step {i + 1}: {percent(step.top[0].prob)} for {taken}"
