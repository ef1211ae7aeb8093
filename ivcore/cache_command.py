"""The verb ``cache``: what is on disk, whether it is what was written, and what of it can go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from .errors import InputError, quote
from .store import Entry, Store

__all__ = ["ACTIONS", "CacheOutcome", "cache", "gc", "ls", "verify"]

ACTIONS = ("ls", "verify", "gc")
DAYS = 7.0
"""Drafts untouched for so long are removed by ``gc`` unless told otherwise."""

_DAY_SECONDS = 24 * 3600.0
_SHORTEST_NAME = 6
_UNITS = ("B", "kB", "MB", "GB", "TB")


class CacheOutcome(NamedTuple):
    """What a verb gives."""

    document: dict[str, Any]
    """For ``--json``."""
    lines: list[str]
    """For people."""
    code: int
    """Exit code."""


def cache(store: Store, action: str, *, days: float = DAYS, keep: Sequence[str] = ()) -> CacheOutcome:
    """Do ``action``; ``days`` and ``keep`` are for ``gc``. Raises InputError, StoreError."""
    if action == "ls":
        return ls(store)
    if action == "verify":
        return verify(store)
    if action == "gc":
        return gc(store, days=days, keep=keep)
    raise InputError(f"{quote(action)} is nothing that 'cache' does; choose one of {', '.join(ACTIONS)}.")


def ls(store: Store) -> CacheOutcome:
    """List runs and drafts, without reading their arrays. Exit code 0."""
    entries = store.entries()
    return CacheOutcome(_document(store, entries), [*_rows(entries), _total(store, entries)], 0)


def verify(store: Store) -> CacheOutcome:
    """Read every byte and verify every checksum. Exit code 1 where a run or a block is damaged or unreadable."""
    entries = store.verify_all()
    wrong = [entry for entry in entries if entry.reason]
    document = _document(store, entries) | {"passed": not wrong}
    runs = sum(entry.kind == "run" for entry in entries)
    lines = [*(_one_line(entry.reason or "") for entry in wrong), f"{runs} runs sound, {len(wrong)} things wrong"]
    return CacheOutcome(document, lines, 1 if wrong else 0)


def gc(store: Store, *, days: float = DAYS, keep: Sequence[str] = ()) -> CacheOutcome:
    """Remove damaged runs, and drafts that nobody has touched for ``days``; never what is bundled. Exit code 0.

    Args:
        store: whose own folder is tidied.
        days: 0 or more.
        keep: names of runs to be left alone, whole or their first 6 digits and more.

    Raises:
        InputError: ``days`` is negative or no number, or nothing has a name in ``keep``.
        StoreError: something cannot be removed.
    """
    if math.isnan(days) or days < 0:
        raise InputError(f"Drafts cannot be {days:g} days old; give 0 or more.")
    kept = {key for name in keep for key in _keys(store, name)}
    freed = store.gc(drafts_older_than=days * _DAY_SECONDS, keep=kept)
    document = {"bytes_freed": freed.bytes, "removed": [asdict(entry) for entry in freed.removed]}
    return CacheOutcome(document, [*_rows(freed.removed), f"{_bytes(freed.bytes)} freed"], 0)


def _keys(store: Store, name: str) -> set[str]:
    found = {entry.key for entry in store.entries() if len(name) >= _SHORTEST_NAME and entry.key.startswith(name)}
    if not found:
        raise InputError(f"Nothing to keep has the name {quote(name)}; 'cache ls' lists what is there.")
    return found


def _document(store: Store, entries: Sequence[Entry]) -> dict[str, Any]:
    return {
        "own": str(store.own),
        "bundled": None if store.bundled is None else str(store.bundled),
        "bytes": sum(entry.bytes for entry in entries),
        "entries": [asdict(entry) for entry in entries],
    }


def _rows(entries: Sequence[Entry]) -> list[str]:
    return [_row(entry) for entry in entries]


def _row(entry: Entry) -> str:
    state = "bundled" if entry.bundled and entry.kind == "run" else entry.kind
    if entry.n_blocks is not None:
        state = f"{'busy' if entry.busy else 'draft'}, {entry.n_blocks} blocks"
    told = entry.summary if entry.reason is None else entry.reason
    model = quote(entry.model)[1:-1] if entry.model else "-"
    created = (entry.created or "-")[:16]
    return _one_line(f"{entry.key[:12]}  {state:17} {_bytes(entry.bytes):>8}  {created:16}  {model}  {told}")


def _total(store: Store, entries: Sequence[Entry]) -> str:
    return _one_line(f"{len(entries)} entries, {_bytes(sum(e.bytes for e in entries))}; own runs are in {store.own}")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _bytes(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} {_UNITS[-1]}"
