"""The form of the Behaviour page: a model in all its stages, tasks and samples; from it the requests for the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ..model_form import DEFAULT_STAGE, number_settings, stages_chooser
from ..stages.form import PAPER_TASKS
from ..state import DEVICES, DTYPES, OTHER
from ..sweep.state import OWN_FILE
from ..task_file import OwnTask, own_task
from ..text import count, markdown
from .state import BehaviourInputs

if TYPE_CHECKING:
    from ivcore.runs import BehaviourRequest

__all__ = ["BehaviourForm", "behaviour_form", "detail_chooser"]

DEFAULT_SAMPLES = 100
MOST_SAMPLES = 10_000
_TASKS = "tasks"


@dataclass(frozen=True)
class BehaviourForm:
    """What the form asks for, and the place where the self-check's verdict goes."""

    inputs: BehaviourInputs
    requests: Mapping[str, BehaviourRequest]
    """By the form's name of a task; a task that is not complete yet has none."""
    badge: DeltaGenerator
    options: dict[str, Sequence[object]]
    """What the form's choosers offer, by URL parameter."""
    flags: Mapping[str, str] | None = field(default=None)
    """How the command line names one's own task; None where it cannot."""


def behaviour_form() -> BehaviourForm:
    """Draw the form and read it. Raises DataError where the user's own file cannot be used."""
    from ivcore.prompts.tasks import all_task_names

    names = (*all_task_names(), OWN_FILE)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            family, stages, families = stages_chooser()
            badge = st.container(width="content")
            samples = st.number_input(
                "Prompts a task, at most",
                1,
                MOST_SAMPLES,
                DEFAULT_SAMPLES,
                key="samples",
                bind="query-params",
                width=170,
                help="Drawn from the task's queries, always the same for the same number. A task with fewer takes all.",
            )
            st.button(
                "All bundled tasks", on_click=_choose_tasks, args=(all_task_names(),), icon=":material/select_all:"
            )
        chosen = st.multiselect("Tasks", names, default=PAPER_TASKS, key=_TASKS, bind="query-params", select_all=False)
        own = own_task() if OWN_FILE in chosen else None
        with st.expander("More settings: device, number format", icon=":material/tune:"):
            device, dtype = number_settings()
    inputs = BehaviourInputs(family, stages, tuple(chosen), int(samples), device=device, dtype=dtype)
    options: dict[str, Sequence[object]] = {"model": families, _TASKS: names, "device": DEVICES, "dtype": DTYPES}
    options |= {"samples": range(1, MOST_SAMPLES + 1)}
    if family != OTHER:
        options |= {"stage": [stage for stage, _ in stages]}
    return BehaviourForm(inputs, _requests(inputs, own), badge, options, None if own is None else own.flags)


def detail_chooser(place: DeltaGenerator, inputs: BehaviourInputs) -> BehaviourInputs:
    """Which task and stage to look at closely."""
    stages = tuple(stage for stage, _ in inputs.stages)
    with place.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        task = st.selectbox(
            "Look closely at",
            inputs.tasks,
            key="task",
            bind="query-params",
            width=220,
            help="A click on a bar above chooses as well.",
        )
        task = task if task in inputs.tasks else inputs.tasks[0]
        if inputs.family == OTHER:
            return replace(inputs, task=task, stage=stages[0])
        default = DEFAULT_STAGE if DEFAULT_STAGE in stages else stages[0]
        stage = st.segmented_control(
            "Stage of training", stages, default=default, required=True, key="stage", bind="query-params"
        )
    return replace(inputs, task=task, stage=stage if stage in stages else default)


def _choose_tasks(names: Sequence[str]) -> None:
    st.session_state[_TASKS] = list(names)


def _requests(inputs: BehaviourInputs, own: OwnTask | None) -> dict[str, BehaviourRequest]:
    found = {name: _bundled(name, inputs.samples) for name in inputs.tasks if name != OWN_FILE}
    if own is not None:
        found[OWN_FILE] = _own(own, inputs.samples)
    return {name: found[name] for name in inputs.tasks if name in found}


@st.cache_resource(max_entries=128, show_spinner=False)
def _bundled(name: str, samples: int) -> BehaviourRequest:
    from ivcore.prompts.tasks import load_task
    from ivcore.runs import behaviour_request

    task = load_task(name)
    return behaviour_request(task, min(samples, len(set(task.queries))))


def _own(own: OwnTask, samples: int) -> BehaviourRequest:
    """One's own task, with a line that says what it asks; its file's other columns are what may be confused with it."""
    from ivcore.runs import behaviour_request

    task = own.task
    example = f"{task.instruction} {task.prompt_text(task.queries[0])} {task.answers[0]}"
    n = len(set(task.queries))
    st.caption(f"{count(n)} queries, such as: {markdown(example)}")
    return behaviour_request(task, min(samples, n), siblings=own.siblings())
