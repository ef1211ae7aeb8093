"""The form of the Published page: which table, and which part of it; its address and its commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import streamlit as st

from ..text import markdown

__all__ = ["PublishedForm", "PublishedInputs", "commands", "permalink", "published_form"]

STAGES = {"base": "base", "SFT": "sft", "DPO": "dpo"}
"""Stage as the app writes it, and as the tables do."""

OFFSETS = ("-1", "0", "1")
"""Positions relative to T_inst in Tables 22 to 24."""

DEFAULT_STAGE, DEFAULT_OFFSET = "SFT", "0"

_BY_STAGE = ("sets", "tests")
_BY_TASK = (*_BY_STAGE, "spearman", "between_k")


@dataclass(frozen=True)
class PublishedInputs:
    """What is shown; a part that the table does not have is None."""

    table: int
    stage: str | None
    """``base``, ``SFT`` or ``DPO``."""
    task: str | None
    offset: int | None
    """Position relative to T_inst."""

    @property
    def stage_key(self) -> str:
        """The stage as the tables write it; empty where there is none."""
        return STAGES.get(self.stage or "", "")


@dataclass(frozen=True)
class PublishedForm:
    """What the form asks for, and what it offered by URL parameter."""

    inputs: PublishedInputs
    options: dict[str, tuple[str, ...]]


def published_form(link: Mapping[str, Sequence[str]]) -> PublishedForm:
    """Draw the form and read it."""
    from ivcore.published import table

    with st.container(border=True):
        chosen, numbers = _table_chooser(link)
        entry = table(chosen)
        options: dict[str, tuple[str, ...]] = {"table": numbers}
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            stage = task = offset = None
            if entry.kind in _BY_STAGE:
                stage = _choice("Stage of training", "stage", tuple(STAGES), DEFAULT_STAGE, options)
            if entry.kind in _BY_TASK:
                task = _choice("Task", "task", entry.tasks, entry.tasks[0], options)
            if entry.kind == "between_tasks":
                help_text = "0 is T_inst, the last token of the instruction; −1 the token before, 1 the token after."
                offset = _choice("Position relative to T_inst", "offset", OFFSETS, DEFAULT_OFFSET, options, help_text)
        if task:
            st.caption(_task_words(task))
    number = None if offset is None else int(offset)
    return PublishedForm(PublishedInputs(chosen, stage, task, number), options)


def permalink(base_url: str, inputs: PublishedInputs) -> str:
    """The address that opens the page on these inputs."""
    named = {"table": inputs.table, "stage": inputs.stage, "task": inputs.task, "offset": inputs.offset}
    return f"{base_url}?{urlencode({name: value for name, value in named.items() if value is not None})}"


def commands(inputs: PublishedInputs, n_samples: int) -> tuple[str, ...]:
    """The shell commands that compute the chosen part with this app's engine, then the whole table; none for heads."""
    from ivcore.published import MODELS, file_name, table

    entry = table(inputs.table)
    if entry.size is None or entry.depth is None or inputs.task is None:
        return ()
    model = MODELS[entry.size, inputs.stage_key]
    sweep = ["sweep", "--model", model, "--task", inputs.task, "--depth", str(entry.depth), "--samples", str(n_samples)]
    return tuple(
        shlex.join(["python", "-m", "ivcore", *words])
        for words in ([*sweep, "--json"], ["precompute", file_name(entry), "--json"])
    )


def _table_chooser(link: Mapping[str, Sequence[str]]) -> tuple[int, tuple[str, ...]]:
    """The table's number; and all numbers. The address holds the number, not the words of the entry."""
    from ivcore.published import TABLES

    numbers = tuple(entry.number for entry in TABLES)
    titles = {entry.number: f"Table {entry.number}: {entry.title}" for entry in TABLES}
    wanted = next(reversed(link.get("table", ())), "")
    if "table" not in st.session_state and wanted in map(str, numbers):
        st.session_state["table"] = int(wanted)
    chosen: int = st.selectbox("Table", numbers, key="table", format_func=titles.__getitem__)
    if st.query_params.get("table") != str(chosen):
        st.query_params["table"] = str(chosen)
    return chosen, tuple(map(str, numbers))


def _choice(
    label: str,
    name: str,
    offered: tuple[str, ...],
    default: str,
    options: dict[str, tuple[str, ...]],
    help_text: str | None = None,
) -> str:
    """One of ``offered``, which are noted among the options; ``default`` where another table's choice is not there."""
    options[name] = offered
    chosen = st.segmented_control(
        label, offered, default=default, required=True, key=name, bind="query-params", help=help_text
    )
    return chosen if chosen in offered else default


def _task_words(name: str) -> str:
    """The task's instruction, where this app has the task."""
    from ivcore.errors import DataError
    from ivcore.prompts.tasks import load_task

    try:
        return f"{name}: “{markdown(load_task(name).instruction)}”"
    except DataError:
        return markdown(name)
