"""A task from the user's own file: a task CSV, or a BIG-bench ``task.json``; kept for the session once dropped.

A file cannot stand in an address, so nothing here is bound to the URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

import streamlit as st

from .text import count, markdown

if TYPE_CHECKING:
    from ivcore.prompts.tasks import Task

__all__ = ["OwnTask", "own_task"]

_KEPT, _FETCHED = "own task file", "fetched task"
_FORMATS = (
    "A task CSV has a header with **query** and one column for each kind of answer, in UTF-8. A **task.json** in "
    "BIG-bench's format works for object_counting, metaphor_boolean, implicatures and snarks."
)


@dataclass(frozen=True)
class _File:
    name: str
    content: bytes


@dataclass(frozen=True)
class OwnTask:
    """A task read from a file."""

    task: Task
    flags: Mapping[str, str] | None = field(default=None)
    """What the command line needs to read the same; None where it has no flag for that."""
    content: bytes = field(default=b"", repr=False)
    """The CSV file; empty for a task that is not of one."""

    def siblings(self) -> dict[str, Task]:
        """The tasks of the file's other columns of answers."""
        from ivcore.prompts.tasks import load_task_csv, subtasks_of

        if self.flags is None or not self.content:
            return {}
        columns = (name for name in subtasks_of(self.content) if name != self.flags["subtask"])
        said = (self.flags["instruction"], self.flags["field"])
        return {name: load_task_csv(self.content, name, *said) for name in columns}


def own_task() -> OwnTask | None:
    """Let the user drop a file and say what is in it; None while something is missing.

    Raises:
        DataError: the file cannot be read as a task.
    """
    dropped = st.file_uploader("Task file", type=["csv", "json"], key="task file", help=_FORMATS)
    if dropped is not None:
        st.session_state[_KEPT] = _File(PurePath(dropped.name).name, dropped.getvalue())
        st.session_state.pop(_FETCHED, None)
    _hub()
    if fetched := st.session_state.get(_FETCHED):
        return OwnTask(fetched)
    file: _File | None = st.session_state.get(_KEPT)
    if file is None:
        st.caption(_FORMATS)
        return None
    if dropped is None:
        st.caption(f"Still in use: {markdown(file.name)}, {count(len(file.content))} bytes.")
    return _from_json(file) if file.name.lower().endswith(".json") else _from_csv(file)


def _hub() -> None:
    """The paper's four BIG-bench tasks from the hub, on demand. Raises OfflineError."""
    from ivcore.prompts.tasks import BIGBENCH_TASKS, load_bigbench_hub

    with st.popover("Or fetch a BIG-bench task", icon=":material/cloud_download:"):
        name = st.selectbox("BIG-bench task", tuple(BIGBENCH_TASKS), key="hub task")
        st.caption("From the data set tasksource/bigbench on Hugging Face, once; it is kept in the local cache.")
        if st.button("Fetch it", key="fetch task"):
            with st.spinner("Fetching"):
                st.session_state[_FETCHED] = load_bigbench_hub(name)


def _from_json(file: _File) -> OwnTask:
    from ivcore.prompts.tasks import BIGBENCH_TASKS, load_bigbench

    names = tuple(BIGBENCH_TASKS)
    stem = PurePath(file.name).stem
    name = st.selectbox(
        "Which BIG-bench task is it?",
        names,
        index=names.index(stem) if stem in names else 0,
        key="own bigbench task",
        width=260,
    )
    return OwnTask(load_bigbench(file.content, name), {"task-json": file.name, "subtask": name})


def _from_csv(file: _File) -> OwnTask | None:
    from ivcore.prompts.tasks import load_task_csv, subtasks_of

    columns = subtasks_of(file.content)
    narrow, wide, middle = st.columns([3, 6, 3])
    column = narrow.selectbox("Column of answers", columns, key="own column")
    instruction = wide.text_input(
        "Instruction of the task",
        key="own instruction",
        placeholder="Given an adjective, state its antonym.",
        help="What the model is told to do with every query. Its vector is read at the last token of this text.",
    )
    word = middle.text_input(
        "Word before the query",
        key="own field",
        placeholder="Adjective",
        help="The prompt reads 'Adjective: big. Answer:'. Leave it empty where your queries name their own fields.",
    )
    if not instruction.strip():
        st.info("Type the instruction that asks for this column’s answers.", icon=":material/keyboard:")
        return None
    name = f"{PurePath(file.name).stem}:{column}"
    task = load_task_csv(file.content, subtask=column, instruction=instruction, field=word, name=name)
    flags = {"task-csv": file.name, "subtask": column, "instruction": instruction, "field": word}
    return OwnTask(task, flags, file.content)
