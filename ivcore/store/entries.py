"""What lies in a store's folders, good or bad, as a list that people can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DamagedRunError, StoreError, quote
from .drafts import begun, block_names, damaged_blocks
from .files import size
from .locks import is_held
from .records import open_run, verify

__all__ = ["DAMAGED", "DRAFT", "RUN", "UNREADABLE", "Entry", "inspect_draft", "inspect_run", "summary"]

RUN, DRAFT, DAMAGED, UNREADABLE = "run", "draft", "damaged", "unreadable"
_SUMMARY_LENGTH = 160


@dataclass(frozen=True)
class Entry:
    """One thing in a store."""

    key: str
    """64 hexadecimal digits."""
    kind: str
    """``run``; ``draft``: unfinished; ``damaged``: not what was written; ``unreadable``: no rights, or later format."""
    bundled: bool
    bytes: int
    """On disk."""
    created: str | None
    """ISO 8601, UTC; None where it does not say so."""
    model: str | None
    """The model as it was named; None where it does not say so."""
    summary: str
    """The request on one line; empty where it cannot be read."""
    reason: str | None
    """What is wrong with it, as a sentence; None for nothing."""
    n_blocks: int | None = None
    """Blocks kept so far; None for a finished run."""
    busy: bool = False
    """Whether it is being computed now."""


def inspect_run(folder: Path, *, bundled: bool, thorough: bool) -> Entry:
    """A run's entry, from its description; ``thorough``: from all its bytes."""
    kind, reason = RUN, None
    run = None
    try:
        run = open_run(folder, bundled=bundled)
        if thorough:
            verify(run, unpacked=True)
    except DamagedRunError as err:
        kind, reason = DAMAGED, str(err)
    except StoreError as err:
        kind, reason = UNREADABLE, str(err)
    if run is None:
        return Entry(folder.name, kind, bundled, size(folder), None, None, "", reason)
    created, model = run.meta["created"], _model(run.meta)
    return Entry(folder.name, kind, bundled, size(folder), created, model, summary(run.request), reason)


def inspect_draft(folder: Path, *, thorough: bool) -> Entry:
    """A draft's entry; ``thorough``: its blocks' checksums too."""
    try:
        was = begun(folder)
    except OSError:
        was = None
    reason = None if was else f"What the unfinished run {folder.name[:12]} is of cannot be read; it will be begun anew."
    if was and thorough and (count := damaged_blocks(folder)):
        reason = f"{count} blocks of the unfinished run {folder.name[:12]} are damaged and will be computed again."
    return Entry(
        folder.name,
        DRAFT,
        False,
        size(folder),
        was.created if was else None,
        _model(was.meta) if was else None,
        summary(was.request) if was else "",
        reason,
        n_blocks=len(block_names(folder)),
        busy=is_held(folder.with_name(f"{folder.name}.lock")),
    )


def summary(request: Mapping[str, Any]) -> str:
    """A request on one line: its texts and numbers in the order given, of lists and tables only how much is in them."""
    parts = []
    for name, value in request.items():
        if isinstance(value, str):
            shown = quote(value, 40)
        elif isinstance(value, list | dict):
            shown = f"{len(value)} entries"
        else:
            shown = str(value)[:40]
        parts.append(f"{quote(name, 24)[1:-1]} {shown}")
    line = ", ".join(parts)
    return line if len(line) <= _SUMMARY_LENGTH else line[: _SUMMARY_LENGTH - 1] + "…"


def _model(meta: Mapping[str, Any]) -> str | None:
    model = meta.get("model")
    ref = model.get("ref") if isinstance(model, dict) else None
    return ref if isinstance(ref, str) else None
