"""Verdicts of language models on disk, so that no question is put to the same model twice.

One SQLite file, opened anew for each verdict, so that threads and processes may share it.  It holds digests and
verdicts, neither texts nor keys.

1. Reading a file that is not there touches nothing; the first verdict makes it.
2. A damaged file is renamed to ``<name>.damaged`` (``.damaged-2``, ...) and begun anew.
3. A sound database of another program is left alone.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ..errors import StoreError, StoreFullError, quote
from ..store import default_store
from ..store.files import writing
from ..store.locks import acquire

__all__ = ["JudgementCache", "default_cache"]

_APPLICATION = 0x49564A31
"""Tells our files from those of other programs; stands in the file's header."""
_TABLE = (
    "CREATE TABLE judgements "
    "(key TEXT PRIMARY KEY, valid INTEGER NOT NULL CHECK (valid IN (0, 1)), time REAL NOT NULL) WITHOUT ROWID"
)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
_CURE = "set IVCORE_CACHE to another folder"

_Row = tuple[Any, ...] | None


@dataclass(frozen=True)
class JudgementCache:
    """Verdicts by the digest of what was asked; making one touches nothing."""

    path: Path
    """Need not exist yet, nor its folder."""
    busy_seconds: float = 10.0
    """How long to wait while another process writes."""

    def find(self, key: str) -> bool | None:
        """The verdict under ``key``; None where there is none.

        Raises:
            StoreError: the file is there and cannot be read, or is not of this program.
        """
        if not os.path.lexists(self.path):
            return None
        row = self._mended(lambda db: _find(db, key), "rw")
        return bool(row[0]) if row is not None and row[0] in (0, 1) else None

    def keep(self, key: str, valid: bool) -> None:
        """Put a verdict under ``key``, in place of an older one.

        Raises:
            StoreFullError: the disk is full or read-only.
            StoreError: the file cannot be used otherwise, or is not of this program.
        """
        with writing(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._mended(lambda db: _insert(db, (key, int(valid), time.time())), "rwc")

    def _mended(self, action: Callable[[sqlite3.Connection], _Row], mode: str) -> _Row:
        """What ``action`` gives; a damaged file is put aside, once, and the action done again."""
        try:
            try:
                return self._use(action, mode)
            except sqlite3.Error as err:
                if _code(err) not in _DAMAGED:
                    raise
                self._put_aside()
                return self._use(action, "rwc")
        except sqlite3.Error as err:
            raise self._told(err) from err

    def _use(self, action: Callable[[sqlite3.Connection], _Row], mode: str) -> _Row:
        where = f"{self.path.absolute().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(where, uri=True, timeout=self.busy_seconds, isolation_level=None)) as db:
            if not _is_new(db) and db.execute("PRAGMA application_id").fetchone() != (_APPLICATION,):
                raise StoreError(f"{self._name} is a database of another program, which is left alone; {_CURE}.")
            return action(db)

    def _put_aside(self) -> None:
        """Rename a damaged file to a name that is free, unless another process has just done so."""
        with writing(self.path.parent):
            lock = acquire(self.path.with_name(f"{self.path.name}.lock"))
            if lock is None:
                return
            try:
                if self._is_damaged():
                    os.rename(self.path, next(name for name in self._asides() if not os.path.lexists(name)))
            finally:
                lock.release(remove=True)

    def _asides(self) -> Iterator[str]:
        yield f"{self.path}.damaged"
        yield from (f"{self.path}.damaged-{number}" for number in count(2))

    def _is_damaged(self) -> bool:
        try:
            return self._use(lambda db: db.execute("PRAGMA quick_check(1)").fetchone(), "rw") != ("ok",)
        except sqlite3.Error as err:
            return _code(err) in _DAMAGED

    def _told(self, err: sqlite3.Error) -> StoreError:
        code = _code(err)
        if code in _BUSY:
            return StoreError(f"{self._name} is in use by another process; try again when that has ended, or {_CURE}.")
        if code in _DAMAGED:
            return StoreError(f"{self._name} is damaged ({err}); rename or remove it.")
        kind = StoreFullError if code in _FULL else StoreError
        return kind(f"{self._name} cannot be used ({err}); {_CURE}.")

    @property
    def _name(self) -> str:
        return f"The file of judgements {quote(str(self.path), 200)}"


def default_cache() -> JudgementCache:
    """The one in the store's own folder, among the runs, which the store leaves alone as it has no run's name."""
    return JudgementCache(default_store().own / "judgements.sqlite")


def _find(db: sqlite3.Connection, key: str) -> _Row:
    if _is_new(db):
        return None
    row: _Row = db.execute("SELECT valid FROM judgements WHERE key = ?", (key,)).fetchone()
    return row


def _insert(db: sqlite3.Connection, values: tuple[str, int, float]) -> _Row:
    db.execute("BEGIN IMMEDIATE")
    if _is_new(db):
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(_TABLE)
    db.execute("INSERT OR REPLACE INTO judgements VALUES (?, ?, ?)", values)
    db.execute("COMMIT")
    return None


def _is_new(db: sqlite3.Connection) -> bool:
    """Whether nobody has written to it yet."""
    return db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def _code(err: sqlite3.Error) -> int | None:
    """SQLite's primary result code; None where the error is Python's own."""
    code: int | None = getattr(err, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
