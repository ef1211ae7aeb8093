"""The form of the Task sweep page: model, task, samples, depth and convention; from it the request for the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ..model_form import metric_chooser, model_chooser, number_settings
from ..state import DEVICES, DTYPES, METRICS
from ..task_file import own_task
from ..text import count, markdown
from .state import CONVENTIONS, DEPTHS, OWN_FILE, SweepInputs

if TYPE_CHECKING:
    from ivcore.prompts.tasks import Task
    from ivcore.runs import SweepRequest

__all__ = ["SweepForm", "convention_chooser", "metric_chooser", "sweep_form"]

DEFAULT_TASK = "can_fly"
DEFAULT_SAMPLES = 100

CONVENTION_HELP = (
    "as defined: the instruction is replaced by a filler token, the answer token has its leading space, and a rank of "
    "r counts 1/r. as released: as the code published with the paper does it: the target is the bare query, the answer "
    "token has no leading space, and a rank beyond 1000 counts −1."
)


@dataclass(frozen=True)
class SweepForm:
    """What the form asks for, and the place where the self-check's verdict goes."""

    inputs: SweepInputs
    request: SweepRequest | None
    """None while the form is not complete."""
    badge: DeltaGenerator
    options: dict[str, Sequence[object]]
    """What the form's choosers offer, by URL parameter."""
    flags: Mapping[str, str] | None = None
    """How the command line names the task, where that is not ``--task``."""


def sweep_form() -> SweepForm:
    """Draw the form and read it. Raises DataError where the task's file cannot be used."""
    from ivcore.prompts.tasks import all_task_names
    from ivcore.runs import sweep_request

    names = (*all_task_names(), OWN_FILE)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            chosen = model_chooser()
            badge = st.container(width="content")
            name = st.selectbox(
                "Task", names, index=names.index(DEFAULT_TASK), key="task", bind="query-params", width=220
            )
        place = st.container()
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            samples_place = st.container(width=150)
            depth = _depth_chooser()
            convention = convention_chooser()
        with st.expander("More settings: device, number format", icon=":material/tune:"):
            device, dtype = number_settings()
        with place:
            task, flags = _task(name)
        samples = _samples_chooser(samples_place, task)
    inputs = SweepInputs(
        chosen.family, chosen.stage, chosen.ref, name, samples, depth, convention, device=device, dtype=dtype
    )
    request = None if task is None else sweep_request(task, samples, depth, convention)
    options: dict[str, Sequence[object]] = {**chosen.options, "task": names, "depth": DEPTHS}
    options |= {"convention": tuple(CONVENTIONS), "metric": tuple(METRICS), "device": DEVICES, "dtype": DTYPES}
    options |= {"samples": range(1, len(task.queries) + 1)} if task else {}
    return SweepForm(inputs, request, badge, options, flags)


def convention_chooser() -> str:
    """As defined, or as the released code does it."""
    name = st.segmented_control(
        "Convention",
        tuple(CONVENTIONS),
        default="as defined",
        required=True,
        key="convention",
        bind="query-params",
        help=CONVENTION_HELP,
    )
    return CONVENTIONS[name or "as defined"]


def _task(name: str) -> tuple[Task | None, Mapping[str, str] | None]:
    """The chosen task, with a line that says what it asks."""
    from ivcore.prompts.tasks import load_task

    if name == OWN_FILE:
        own = own_task()
        task, flags = (None, None) if own is None else (own.task, own.flags)
    else:
        task, flags = load_task(name), None
    if task is not None:
        example = f"{task.instruction} {task.prompt_text(task.queries[0])} {task.answers[0]}"
        st.caption(f"{count(len(task.queries))} queries, such as: {markdown(example)}")
    return task, flags


def _samples_chooser(place: DeltaGenerator, task: Task | None) -> int:
    """How many queries; at most as many as the task has."""
    most = len(task.queries) if task else DEFAULT_SAMPLES
    if isinstance(asked := st.session_state.get("samples"), int) and asked > most:
        st.session_state["samples"] = most
    return int(
        place.number_input(
            f"Samples (up to {count(most)})",
            1,
            most,
            min(DEFAULT_SAMPLES, most),
            key="samples",
            bind="query-params",
            help="Queries drawn from the task without repetition, always the same for the same number.",
        )
    )


def _depth_chooser() -> int:
    depth = st.segmented_control(
        "Layers patched at once, up to",
        DEPTHS,
        default="2",
        required=True,
        key="depth",
        bind="query-params",
        help="1: every single layer. 2: every pair too. 3: every triple too, which takes several times as long.",
    )
    return int(depth or 2)
