"""The form of the Stages page: which model, which tasks, which view; its address and the commands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import streamlit as st

from .. import calls, runs
from ..model_form import family_chooser, metric_chooser
from ..state import METRIC_NAMES, METRICS
from ..sweep.form import convention_chooser
from ..sweep.state import CONVENTIONS, SweepInputs, convention_name, sweep_command

__all__ = ["StagesForm", "StagesInputs", "panel_inputs", "stages_commands", "stages_form", "stages_link"]

PAPER_TASKS = ("adj_comp", "adj_ant", "anim_color", "can_fly", "object_counting")
ONE_SCALE, OWN_SCALE = "one for all", "one for each"
EFFECTS, DIFFERENCES = "effects", "differences between stages"


@dataclass(frozen=True)
class StagesInputs:
    """Everything that defines what the Stages page shows."""

    family: str
    stages: tuple[tuple[str, str], ...]
    """(stage, what the engine loads), in the order of training."""
    tasks: tuple[str, ...]
    metric: str = "rr"
    convention: str = "exact"
    differences: bool = False
    one_scale: bool = True


@dataclass(frozen=True)
class StagesForm:
    """What the form asks for, and what its choosers offered by URL parameter."""

    inputs: StagesInputs
    options: dict[str, Sequence[object]]


def stages_form() -> StagesForm:
    """Draw the form and read it."""
    entries = calls.entries()
    groups = dict.fromkeys(entry.group for entry in entries)
    families = tuple(group for group in groups if sum(entry.group == group for entry in entries) > 1)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            family = family_chooser(families)
            stages = tuple((entry.stage, entry.name) for entry in entries if entry.group == family)
            names = _task_names(stages)
            tasks = st.multiselect(
                "Tasks", names, default=_default_tasks(stages), key="tasks", bind="query-params", width=520
            )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            metric = metric_chooser()
            show = _either("Show", (EFFECTS, DIFFERENCES), "show")
            scale = _either("Color scale", (ONE_SCALE, OWN_SCALE), "scale")
            convention = convention_chooser()
    inputs = StagesInputs(family, stages, tuple(tasks), metric, convention, show == DIFFERENCES, scale == ONE_SCALE)
    options: dict[str, Sequence[object]] = {"model": families, "tasks": names, "metric": tuple(METRICS)}
    options |= {"show": (EFFECTS, DIFFERENCES), "scale": (ONE_SCALE, OWN_SCALE), "convention": tuple(CONVENTIONS)}
    return StagesForm(inputs, options)


def panel_inputs(inputs: StagesInputs, stage: str, task: str, samples: int, depth: int, dtype: str) -> SweepInputs:
    """What the Task sweep page needs to show, or compute, one panel."""
    ref = dict(inputs.stages)[stage]
    return SweepInputs(inputs.family, stage, ref, task, samples, depth, inputs.convention, inputs.metric, dtype=dtype)


def stages_link(base_url: str, inputs: StagesInputs) -> str:
    """The address that opens the page on these inputs."""
    named: dict[str, object] = {"model": inputs.family, "tasks": list(inputs.tasks) or ""}
    named |= {"metric": METRIC_NAMES[inputs.metric], "convention": convention_name(inputs.convention)}
    named |= {"show": DIFFERENCES if inputs.differences else EFFECTS}
    named |= {"scale": ONE_SCALE if inputs.one_scale else OWN_SCALE}
    return f"{base_url}?{urlencode(named, doseq=True)}"


def stages_commands(inputs: StagesInputs, panels: Sequence[SweepInputs]) -> tuple[str, ...]:
    """One command for each panel."""
    return tuple(sweep_command(panel) for panel in panels)


def _either(label: str, options: tuple[str, str], key: str) -> str:
    chosen = st.segmented_control(label, options, default=options[0], required=True, key=key, bind="query-params")
    return chosen or options[0]


def _task_names(stages: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The bundled tasks, and those of the user's own files that were swept on one of the stages."""
    from ivcore.prompts.tasks import all_task_names

    refs = {ref for _, ref in stages}
    swept = sorted({found.request.task for found in runs.summaries() if found.ref in refs})
    return tuple(dict.fromkeys([*all_task_names(), *swept]))


def _default_tasks(stages: Sequence[tuple[str, str]]) -> list[str]:
    """The paper's tasks that were swept on one of the stages; all of them where none was."""
    refs = {ref for _, ref in stages}
    swept = {found.request.task for found in runs.summaries() if found.ref in refs and found.request.depth > 1}
    return [task for task in PAPER_TASKS if task in swept] or list(PAPER_TASKS)
