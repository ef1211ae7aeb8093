"""The form of the Geometry page: a model in all its stages, what is compared, and where in the layer it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ..model_form import DEFAULT_STAGE, number_settings, stages_chooser
from ..state import DEVICES, DTYPES, OTHER
from .own import LEAST, MOST, dropped_files, pasted_sets
from .state import BUNDLED, COMPONENTS, PASTED, SOURCES, GeometryInputs

if TYPE_CHECKING:
    from ivcore.prompts.paraphrases import ParaphraseSet
    from ivcore.runs import GeometryRequest

__all__ = ["PLANNED", "GeometryForm", "detail_stage", "geometry_form"]

PLANNED = (
    "adj_comp",
    "adj_ant",
    "anim_color",
    "can_fly",
    "object_counting",
    "country_capital",
    "verb_past",
    "num_next",
)
"""The tasks of the runs that come with the app."""
_ENOUGH = 10


@dataclass(frozen=True)
class GeometryForm:
    """What the form asks for, and the place where the self-check's verdict goes."""

    inputs: GeometryInputs
    request: GeometryRequest | None
    """None while something is missing."""
    badge: DeltaGenerator
    options: dict[str, Sequence[object]]
    """What the form's choosers offer, by URL parameter."""
    files: tuple[str, ...] = ()
    """Names of the CSV files that are compared."""


def geometry_form() -> GeometryForm:
    """Draw the form and read it. Raises DataError where the paraphrases cannot be compared."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            family, stages, families = stages_chooser()
            source = st.segmented_control(
                "Compare paraphrases of", SOURCES, default=BUNDLED, required=True, key="source", bind="query-params"
            )
            component = st.segmented_control(
                "Read",
                tuple(COMPONENTS),
                default="residual stream",
                required=True,
                key="component",
                bind="query-params",
                help="At the last token of each paraphrase: the residual stream after each layer, or only what the "
                "layer’s attention, or its MLP, adds to it.",
            )
            badge = st.empty()
        chosen, sets, files = _compared(source or BUNDLED)
        with st.expander("More settings: device, number format", icon=":material/tune:"):
            device, dtype = number_settings()
    component = COMPONENTS[component or "residual stream"]
    inputs = GeometryInputs(family, stages, source or BUNDLED, tuple(chosen), component, device=device, dtype=dtype)
    options: dict[str, Sequence[object]] = {"model": families, "source": SOURCES, "component": tuple(COMPONENTS)}
    options |= {"compare": task_names(), "device": DEVICES, "dtype": DTYPES}
    if family != OTHER:
        options |= {"stage": [stage for stage, _ in stages]}
    return GeometryForm(inputs, _request(sets, component), badge, options, files)


def detail_stage(inputs: GeometryInputs) -> str:
    """Which stage to look at closely; no question where there is only one."""
    stages = tuple(stage for stage, _ in inputs.stages)
    if inputs.family == OTHER:
        return stages[0]
    default = DEFAULT_STAGE if DEFAULT_STAGE in stages else stages[0]
    stage = st.segmented_control(
        "Stage of training", stages, default=default, required=True, key="stage", bind="query-params"
    )
    return stage if stage in stages else default


@st.cache_data(show_spinner=False)
def task_names() -> tuple[str, ...]:
    """The bundled tasks that have enough paraphrases."""
    from ivcore.prompts.tasks import all_task_names, load_task

    return tuple(name for name in all_task_names() if len(load_task(name).paraphrases) >= _ENOUGH)


def _compared(source: str) -> tuple[Sequence[str], tuple[ParaphraseSet, ...], tuple[str, ...]]:
    """Names of bundled tasks, the sets, and the names of files."""
    if source == PASTED:
        return (), pasted_sets(), ()
    if source != BUNDLED:
        return (), *dropped_files()
    chosen = st.multiselect(
        "Tasks",
        task_names(),
        default=PLANNED,
        max_selections=MOST,
        key="compare",
        bind="query-params",
        select_all=False,
        help=f"{LEAST} to {MOST}. Each task is a class: the paraphrases are many ways to ask for it.",
    )
    if len(chosen) < LEAST:
        st.info("Choose at least two tasks to tell apart.", icon=":material/checklist:")
        return chosen, (), ()
    return chosen, tuple(_bundled(name) for name in chosen), ()


@st.cache_resource(max_entries=64, show_spinner=False)
def _bundled(name: str) -> ParaphraseSet:
    from ivcore.prompts.paraphrases import task_paraphrases

    return task_paraphrases(name)


def _request(sets: tuple[ParaphraseSet, ...], component: str) -> GeometryRequest | None:
    from ivcore.runs import geometry_request

    return geometry_request(sets, component) if sets else None
