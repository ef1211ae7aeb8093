"""All models at a glance: where each is, what it takes, whether it is in memory and what its self-check found."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from .. import calls
from ..alive import alive
from ..model_form import typed_models
from ..state import OTHER
from ..text import markdown, short_name
from ..verdicts import known_verdict
from .state import ModelsInputs

if TYPE_CHECKING:
    from ivcore.models import ModelEntry
    from ivcore.models.registry import Place
    from ivcore.runs import Verdict

__all__ = ["Row", "free_memory", "list_csv", "list_rows", "show_list", "size_words"]

_TALLEST = 600
"""Pixels of the table; longer ones scroll."""
BUNDLED, HERE, TO_FETCH, UNUSABLE = "bundled", "on this machine", "to be fetched", "cannot be used"


@dataclass(frozen=True)
class Row:
    """One model."""

    group: str
    """``OTHER`` for one that the registry does not list."""
    stage: str
    ref: str
    where: str
    disk: int | None
    """Bytes of the weights on the disk; None where they are not here."""
    memory: int | None
    """Bytes of the weights in the chosen number format; None where the files are not here."""
    revision: str | None
    """The hub commit that is here."""
    loaded: tuple[str, ...]
    """Device and number format of what is in memory of it."""
    verdict: Verdict | None
    """On the chosen device in the chosen number format."""
    trouble: str | None = None
    """Why it cannot be used."""


@dataclass(frozen=True)
class _Sizes:
    disk: int
    memory: int


def list_rows(inputs: ModelsInputs) -> tuple[Row, ...]:
    """The registry's models, then those that were typed in this session."""
    listed = {entry.name: entry for entry in calls.entries()}
    typed = [ref for ref in typed_models() if ref not in listed] if calls.others_allowed() else []
    return tuple(_row(ref, listed.get(ref), inputs) for ref in (*listed, *typed))


def free_memory(device: str) -> int | None:
    """Bytes that are free on a device; None where the system does not say, or has no such device."""
    import torch

    from ivcore.models.memory import free_bytes

    name = calls.which("", device, "").device
    return None if name == "cuda" and not torch.cuda.is_available() else free_bytes(torch.device(name))


def size_words(n: int | None) -> str:
    """A number of bytes for people; a dash where there is none."""
    from ivcore.models.memory import size_text

    if n is None:
        return "–"
    return size_text(n) if n >= 2**20 else "under 1 MiB"


def show_list(inputs: ModelsInputs, rows: Sequence[Row]) -> None:
    """The table; a click on a row chooses its model."""
    free = free_memory(inputs.device)
    name = calls.which("", inputs.device, "").device
    told = "not known" if free is None else size_words(free)
    st.caption(markdown(f"Free memory now: {told} ({name}). A click on a row chooses the model."))
    chosen = [i for i, row in enumerate(rows) if row.ref == inputs.ref]
    # Another key for another choice: the table then begins with that row marked, however it was chosen.
    key = f"models {inputs.ref} {len(rows)}"

    def choose() -> None:
        if at := st.session_state[key].selection.rows:
            _choose(rows[at[0]])

    st.dataframe(
        _frame(rows, free),
        key=key,
        hide_index=True,
        height=min(38 + 35 * len(rows), _TALLEST),
        on_select=choose,
        selection_mode="single-row",
        selection_default={"selection": {"rows": chosen}},
        column_config={
            "in memory": st.column_config.TextColumn(f"takes in {inputs.dtype}"),
            "loaded": st.column_config.TextColumn("in memory now"),
        },
        alt="The models, where they are and what they take",
    )


def list_csv(rows: Sequence[Row]) -> str:
    """The table with exact sizes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["ref", "group", "stage", "where", "disk_bytes", "memory_bytes", "revision", "loaded", "check"])
    for row in rows:
        sizes = ["" if size is None else size for size in (row.disk, row.memory)]
        loaded, group = "; ".join(row.loaded), "" if row.group == OTHER else row.group
        writer.writerow(
            [row.ref, group, row.stage, row.where, *sizes, row.revision or "", loaded, _check_words(row.verdict)]
        )
    return text.getvalue()


def _row(ref: str, entry: ModelEntry | None, inputs: ModelsInputs) -> Row:
    from ivcore.errors import ModelError
    from ivcore.models.registry import find_place

    group, stage = (entry.group, entry.stage) if entry else (OTHER, "")
    loaded = tuple(f"{which.device}, {which.dtype}" for which in alive().present() if which.ref == ref)
    disk = revision = None
    memory = entry.n_parameters * _itemsize(inputs.dtype) if entry and entry.n_parameters else None
    try:
        place = find_place(ref)
        folder = _folder(place)
        where = TO_FETCH if folder is None else BUNDLED if entry and entry.bundled else HERE
        if folder is not None:
            sizes = _sizes(folder, _stamp(folder), inputs.dtype)
            disk, memory, revision = sizes.disk, sizes.memory, folder.name if place.hub else None
    except ModelError as err:
        return Row(group, stage, ref, UNUSABLE, None, None, None, loaded, None, str(err))
    verdict = known_verdict(ref, inputs.device, inputs.dtype)
    return Row(group, stage, ref, where, disk, memory, revision, loaded, verdict)


def _folder(place: Place) -> Path | None:
    return place.folder or calls.snapshot(str(place.hub))


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    stats = ((file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file())
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


@st.cache_data(max_entries=256, show_spinner=False)
def _sizes(folder: Path, stamp: tuple[tuple[str, int, int], ...], dtype: str) -> _Sizes:
    from ivcore.models import DTYPES
    from ivcore.models.folder import inspect_folder
    from ivcore.models.memory import weight_bytes

    inspected = inspect_folder(folder)
    return _Sizes(inspected.n_bytes, weight_bytes(inspected, DTYPES[dtype]))


def _itemsize(dtype: str) -> int:
    from ivcore.models import DTYPES

    return DTYPES[dtype].itemsize


def _choose(row: Row) -> None:
    """Make it the choice of the form's widgets."""
    st.session_state["model"] = row.group
    if row.group == OTHER:
        st.session_state["ref"] = row.ref
    else:
        st.session_state["stage"] = row.stage


def _frame(rows: Sequence[Row], free: int | None) -> pd.DataFrame:
    names = [short_name(row.ref) for row in rows]
    return pd.DataFrame(
        {
            "model": names,
            "family": ["–" if row.group == OTHER else row.group for row in rows],
            "stage": [row.stage or "–" for row in rows],
            "where": [row.where for row in rows],
            "self-check": [_check_words(row.verdict) for row in rows],
            "loaded": [" and ".join(row.loaded) or "no" for row in rows],
            "in memory": [_memory_words(row, free) for row in rows],
            "on disk": [size_words(row.disk) for row in rows],
            "revision": [(row.revision or "–")[:12] for row in rows],
        }
    )


def _memory_words(row: Row, free: int | None) -> str:
    too_large = row.memory is not None and free is not None and row.memory > free and not row.loaded
    return f"{size_words(row.memory)}{', more than is free' if too_large else ''}"


def _check_words(verdict: Verdict | None) -> str:
    return "not made yet" if verdict is None else "passed" if verdict.passed else "failed"
