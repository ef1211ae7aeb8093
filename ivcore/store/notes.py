"""Small documents kept by name: whole and as they were written, or not there.

A note is one sealed JSON file, ``<own>/notes/<key>.json``.  It may be lost without harm, so one that is damaged, of
another name or unreadable counts as not there, and is written anew by whoever knows its content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

from .files import Damage, read_file, replace_file, writing
from .keys import check_key, is_key
from .records import seal, unseal

__all__ = ["NOTES", "Note", "find_note", "keep_note", "list_notes"]

NOTES = "notes"
_FORMAT = 1
_MAX_BYTES = 2**20
_SUFFIX = ".json"


@dataclass(frozen=True)
class Note:
    """A document, as it was kept."""

    key: str
    """64 hexadecimal digits."""
    content: dict[str, Any]
    """As JSON gives it back: lists for tuples."""
    created: str
    """ISO 8601, UTC."""


def keep_note(root: Path, key: str, content: Mapping[str, Any]) -> Note:
    """Write a note below ``root``, in place of one of that name.

    Raises:
        InputError: ``key`` cannot be a name.
        TypeError, ValueError: the content is not plain JSON.
        StoreFullError, StoreError: it cannot be written.
    """
    folder, created = root / NOTES, datetime.now(UTC).isoformat(timespec="seconds")
    document = {"format": _FORMAT, "key": check_key(key), "created": created, "content": content}
    data = seal(document)
    with writing(root):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / f"{key}{_SUFFIX}", data, folder)
    return Note(key, unseal(data, key)["content"], created)


def find_note(root: Path, key: str) -> Note | None:
    """The note of this name; None where there is none that can be read. Raises InputError: ``key`` is no name."""
    path = root / NOTES / f"{check_key(key)}{_SUFFIX}"
    try:
        document = unseal(read_file(path, _MAX_BYTES), path.name)
    except (Damage, OSError):
        return None
    content, created = document.get("content"), document.get("created")
    if (document.get("format"), document.get("key")) != (_FORMAT, key):
        return None
    return Note(key, content, created) if isinstance(content, dict) and _is_time(created) else None


def list_notes(root: Path) -> tuple[Note, ...]:
    """All notes that can be read, newest first."""
    try:
        names = [path.stem for path in (root / NOTES).iterdir() if path.suffix == _SUFFIX and is_key(path.stem)]
    except OSError:
        return ()
    found = [note for name in names if (note := find_note(root, name)) is not None]
    return tuple(sorted(found, key=lambda note: (note.created, note.key), reverse=True))


def _is_time(created: object) -> TypeGuard[str]:
    try:
        datetime.fromisoformat(created if isinstance(created, str) else "")
    except ValueError:
        return False
    return True
