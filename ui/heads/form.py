"""The form of the Heads page: which two sides are compared, and from where their paths begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls
from ..model_form import ModelChoice, model_chooser, number_settings
from ..paths.state import SURROGATES
from ..state import DEVICES, DTYPES, OTHER
from ..text import count, markdown
from .state import BY, KS, MOST_K, OFFSETS, POSITIONS, STAGES, TASKS, HeadsInputs

__all__ = ["DEFAULT_TASK", "HeadsForm", "heads_form", "other_task"]

DEFAULT_TASK = "adj_comp"


@dataclass(frozen=True)
class HeadsForm:
    """What the form asks for, and the place where the self-check's verdict goes."""

    inputs: HeadsInputs
    badge: DeltaGenerator
    options: dict[str, Sequence[object]]
    """What the form's choosers offer, by URL parameter."""
    missing: str | None = None
    """What has to be chosen first."""


def heads_form() -> HeadsForm:
    """Draw the form and read it."""
    with st.container(border=True):
        by = _by_chooser()
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            chosen = model_chooser()
            badge = st.container(width="content")
        stages = _stages(chosen)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            other_stage = _other_stage(stages) if by == STAGES and chosen.family != OTHER else ""
            task, names = _task_chooser()
            top_k = _k_chooser("k", "k", 1)
            other_k = _k_chooser("against k", "k2", 2) if by == KS else 2
            offset = _offset_chooser("Position relative to T_inst", "offset", "0")
            other_offset = _offset_chooser("against", "offset2", "1") if by == POSITIONS else 1
        other = other_task(task)
        _task_line(task, other if by == TASKS else "")
        with st.expander("More settings: as defined or as released, device, number format", icon=":material/tune:"):
            left, right = st.columns([1, 2])
            with left:
                surrogate = _surrogate_chooser()
            with right:
                device, dtype = number_settings()
    inputs = HeadsInputs(
        chosen.family,
        stages,
        chosen.stage,
        by,
        task,
        other,
        top_k,
        offset,
        other_stage,
        other_k,
        other_offset,
        surrogate,
        device=device,
        dtype=dtype,
    )
    ks = range(1, MOST_K + 1)
    options: dict[str, Sequence[object]] = {**chosen.options, "by": BY, "task": names, "k": ks, "offset": OFFSETS}
    options |= {"k2": ks} if by == KS else {}
    options |= {"offset2": OFFSETS} if by == POSITIONS else {}
    options |= {"stage2": [name for name, _ in stages]} if by == STAGES and chosen.family != OTHER else {}
    options |= {"surrogate": tuple(SURROGATES), "device": DEVICES, "dtype": DTYPES}
    return HeadsForm(inputs, badge, options, _missing(inputs))


def other_task(task: str) -> str:
    """The contrastive task, else the next that shares its queries; empty where there is none."""
    from ivcore.prompts.tasks import kind_tasks, load_task

    found = load_task(task)
    if found.pair is not None:
        return found.pair
    return next((name for name in kind_tasks(found.kind) if name != task), "")


def _missing(inputs: HeadsInputs) -> str | None:
    """What has to be chosen before anything can be compared."""
    if not inputs.ref:
        return "Type the folder or the Hugging Face id of a model above."
    if inputs.by == STAGES and inputs.family == OTHER:
        return "A model of your own has one stage only; compare tasks, positions or values of k."
    if inputs.by == STAGES and inputs.stage == inputs.other_stage:
        return "Choose two different stages of training."
    if inputs.by == POSITIONS and inputs.offset == inputs.other_offset:
        return "Choose two different positions."
    if inputs.by == KS and inputs.top_k == inputs.other_k:
        return "Choose two different values of k."
    if inputs.by == TASKS and not inputs.other_task:
        return "No other task shares this one’s queries; choose another task, or compare something else."
    return None


def _by_chooser() -> str:
    by = st.segmented_control(
        "Compare",
        BY,
        default=TASKS,
        required=True,
        key="by",
        bind="query-params",
        help="tasks: the same queries under two instructions. stages: one model before and after training. positions: "
        "paths that begin at T_inst, the instruction’s last token, or beside it. values of k: how many tokens of each "
        "head the paths follow.",
    )
    return by or TASKS


def _stages(chosen: ModelChoice) -> tuple[tuple[str, str], ...]:
    """(stage, what the engine loads) of the chosen model."""
    if chosen.family == OTHER:
        return ((chosen.stage, chosen.ref),)
    return tuple((entry.stage, entry.name) for entry in calls.entries() if entry.group == chosen.family)


def _other_stage(stages: Sequence[tuple[str, str]]) -> str:
    names = tuple(name for name, _ in stages)
    stage = st.segmented_control("against", names, default=names[0], required=True, key="stage2", bind="query-params")
    return stage if stage in names else names[0]


def _task_chooser() -> tuple[str, tuple[str, ...]]:
    """The chosen bundled task, and all of them."""
    from ivcore.prompts.tasks import all_task_names

    names = tuple(all_task_names())
    if st.session_state.get("task", DEFAULT_TASK) not in names:
        del st.session_state["task"]
    task = st.selectbox("Task", names, index=names.index(DEFAULT_TASK), key="task", bind="query-params", width=220)
    return (task if task in names else DEFAULT_TASK), names


def _task_line(task: str, other: str) -> None:
    """What is asked of the model."""
    from ivcore.prompts.tasks import load_task

    found = load_task(task)
    if other:
        said = f"**{markdown(task)}**: {markdown(found.instruction)} Against **{markdown(other)}**: "
        st.caption(said + markdown(load_task(other).instruction))
    else:
        st.caption(f"{markdown(found.instruction)} {count(len(set(found.queries)))} queries.")


def _k_chooser(label: str, key: str, default: int) -> int:
    return int(
        st.number_input(
            label,
            1,
            MOST_K,
            default,
            key=key,
            bind="query-params",
            width=110,
            help="How many tokens each head follows: those that it attends to most.",
        )
    )


def _offset_chooser(label: str, key: str, default: str) -> int:
    found = st.segmented_control(
        label,
        OFFSETS,
        default=default,
        required=True,
        key=key,
        bind="query-params",
        help="Where the paths begin. 0 is T_inst, the last token of the instruction; −1 the token before, 1 the token "
        "after.",
    )
    return int(found) if found in OFFSETS else int(default)


def _surrogate_chooser() -> str:
    found = st.segmented_control(
        "An edge’s map",
        tuple(SURROGATES),
        default="as defined",
        required=True,
        key="surrogate",
        bind="query-params",
        help="as defined: by the edge’s heads, as strongly as they attend. as released: as the code published with the "
        "paper computes it, with all heads at full strength whatever they attend to; k = 1 only.",
    )
    return SURROGATES.get(found or "as defined", "exact")
