"""The store: two folders of runs, one that came with the program and one of the user's own, the only one written to."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RunBusyError, StoreError
from .drafts import DRAFTS, Draft, begin
from .entries import DAMAGED, DRAFT, RUN, Entry, inspect_draft, inspect_run
from .files import newest, remove, writing
from .keys import check_key, is_key
from .locks import acquire
from .notes import Note, find_note, keep_note, list_notes
from .records import Run, open_run, verify

__all__ = ["Freed", "Store", "default_store"]

_CACHE = Path(__file__).resolve().parents[2] / "cache"
_WEEK_SECONDS = 7 * 24 * 3600.0
_LOCK = ".lock"


@dataclass(frozen=True)
class Freed:
    """What ``Store.gc`` removed."""

    bytes: int
    removed: tuple[Entry, ...]


@dataclass(frozen=True)
class Store:
    """Finished runs on disk; making one touches nothing."""

    own: Path
    """Read and written; need not exist yet."""
    bundled: Path | None = None
    """Only read; need not exist."""

    def find(self, key: str) -> Run | None:
        """The finished run of this name, every checksum verified; None where there is none.

        Where one's own is damaged and the bundled one sound, it is the bundled one.

        Raises:
            InputError: ``key`` cannot be a run's name.
            DamagedRunError: it is there, and not what was written: compute it again.
            StoreError: it is there and cannot be read.
        """
        check_key(key)
        refusals: list[StoreError] = []
        for root, bundled in self._roots():
            if os.path.lexists(root / key):
                try:
                    return verify(open_run(root / key, bundled=bundled))
                except StoreError as err:
                    refusals.append(err)
        if refusals:
            raise refusals[0]
        return None

    def runs(self) -> tuple[Run, ...]:
        """All runs with a sound description, newest first, each name once; their arrays are not looked at."""
        found: dict[str, Run] = {}
        for root, bundled in self._roots():
            for folder in _named(root):
                try:
                    found.setdefault(folder.name, open_run(folder, bundled=bundled))
                except StoreError:
                    continue
        return tuple(sorted(found.values(), key=lambda run: (run.meta["created"], run.key), reverse=True))

    @contextmanager
    def draft(self, key: str, request: Mapping[str, Any], meta: Mapping[str, Any]) -> Iterator[Draft]:
        """The one draft of ``key``, new or as an earlier call left it; held by this caller until the ``with`` ends.

        Another may have finished the run just before: ask ``find`` again inside.  A draft that holds blocks stays on
        disk when the ``with`` ends by an error or the process dies.

        Args:
            key: as ``run_key`` gives it.
            request: plain JSON; tuples count as lists.
            meta: what is to be said of its making: model, versions, device, dtype, seed.

        Raises:
            InputError: ``key`` cannot be a run's name.
            TypeError, ValueError: request or meta is not plain JSON.
            RunBusyError: another process or thread holds it.
            StoreFullError, StoreError: it cannot be written, or is the draft of another request.
        """
        with self._held(check_key(key)) as held:
            if not held:
                raise RunBusyError(
                    f"The run {key[:12]} is being computed by another process or in another window; wait for its end, "
                    "or stop it there."
                )
            draft = begin(self.own, key, request, meta)
            try:
                yield draft
            finally:
                draft.close()

    def keep_note(self, key: str, content: Mapping[str, Any]) -> Note:
        """Keep a small document under a name. Raises as ``notes.keep_note``."""
        return keep_note(self.own, key, content)

    def find_note(self, key: str) -> Note | None:
        """The small document of this name; None where there is none, or it is not what was written."""
        return find_note(self.own, key)

    def notes(self) -> tuple[Note, ...]:
        """All small documents that can be read, newest first."""
        return list_notes(self.own)

    def entries(self) -> tuple[Entry, ...]:
        """What is there: one's own runs, bundled ones, drafts. A changed array is not noticed; ``verify_all`` does."""
        return self._entries(thorough=False)

    def verify_all(self) -> tuple[Entry, ...]:
        """As ``entries``, with every byte read and every checksum verified."""
        return self._entries(thorough=True)

    def gc(self, *, drafts_older_than: float = _WEEK_SECONDS, keep: Collection[str] = ()) -> Freed:
        """Remove damaged runs of one's own, and drafts that nobody holds and that are old or already finished.

        Sound, bundled and unreadable runs stay, and all that has no run's name.

        Args:
            drafts_older_than: seconds since a draft last changed.
            keep: names to be left alone.

        Raises:
            StoreFullError, StoreError: something cannot be removed.
        """
        removed = []
        for entry in self.verify_all():
            if entry.kind in (DAMAGED, DRAFT) and not entry.bundled and entry.key not in keep:
                with self._held(entry.key) as held:
                    if held and self._is_waste(entry, drafts_older_than):
                        with writing(self.own):
                            remove(self._folder(entry))
                        removed.append(entry)
        self._remove_locks()
        return Freed(sum(entry.bytes for entry in removed), tuple(removed))

    def _is_waste(self, entry: Entry, drafts_older_than: float) -> bool:
        """Whether ``entry`` may go, looked at again now that nobody else can change it."""
        run = inspect_run(self.own / entry.key, bundled=False, thorough=True)
        if entry.kind == DAMAGED:
            return run.kind == DAMAGED
        return run.kind == RUN or time.time() - newest(self._folder(entry)) >= drafts_older_than

    def _folder(self, entry: Entry) -> Path:
        return (self.own / DRAFTS if entry.kind == DRAFT else self.own) / entry.key

    def _remove_locks(self) -> None:
        """Remove the locks that dead processes left without a draft."""
        for path in _listed(self.own / DRAFTS):
            if path.name.endswith(_LOCK) and is_key(path.stem) and not os.path.lexists(path.with_suffix("")):
                with self._held(path.stem):
                    pass

    @contextmanager
    def _held(self, key: str) -> Iterator[bool]:
        """Hold the lock of ``key``, if nobody else does; its file goes with its draft."""
        path = self.own / DRAFTS / f"{key}{_LOCK}"
        with writing(self.own):
            lock = acquire(path)
        if lock is None:
            yield False
            return
        try:
            yield True
        finally:
            lock.release(remove=not os.path.lexists(path.with_suffix("")))

    def _roots(self) -> tuple[tuple[Path, bool], ...]:
        return ((self.own, False), *(((self.bundled, True),) if self.bundled else ()))

    def _entries(self, *, thorough: bool) -> tuple[Entry, ...]:
        runs = [
            inspect_run(folder, bundled=bundled, thorough=thorough)
            for root, bundled in self._roots()
            for folder in _named(root)
        ]
        return (*runs, *(inspect_draft(folder, thorough=thorough) for folder in _named(self.own / DRAFTS)))


def default_store() -> Store:
    """The program's own folders ``cache/runs`` and ``cache/bundled``; IVCORE_CACHE names another than the first."""
    chosen = os.environ.get("IVCORE_CACHE")
    own = Path(chosen).expanduser().absolute() if chosen else _CACHE / "runs"
    return Store(own, _CACHE / "bundled")


def _named(root: Path) -> list[Path]:
    """What has a run's name in ``root``, sorted."""
    return [path for path in _listed(root) if is_key(path.name)]


def _listed(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir()) if root.is_dir() else []
    except OSError:
        return []
