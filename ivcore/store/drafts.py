"""A run while it is computed: finished blocks on disk, then all at once a run.

1. ``begin``: a new draft, or the one that an earlier process left; what cannot be proved to be this request's is
   thrown away.
2. ``Draft.write_block``, ``read_block``: each block is one file that carries its own checksum, renamed into place.
3. ``Draft.finish``: arrays and run.json in the scratch folder, flushed, renamed to the run's name, then read back.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import DamagedRunError, StoreError
from .arrays import MAX_BYTES, pack, unpack
from .files import Damage, is_folder, read_file, remove, replace_file, sync, write_file, writing
from .keys import canonical, plain
from .records import ARRAYS, MAX_JSON, Run, checksum, describe, open_run, reading, seal, unseal, verify

__all__ = ["DRAFTS", "Begun", "Draft", "begin", "begun", "block_names", "damaged_blocks"]

DRAFTS = "drafts"
_DRAFT, _BLOCKS, _SCRATCH = "draft.json", "blocks", "scratch"
_SUFFIX = ".block"
_BLOCK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_DIGEST_BYTES = hashlib.sha256().digest_size
_SECONDS = struct.Struct("<d")


@dataclass(frozen=True)
class Begun:
    """What a draft says of itself."""

    request: dict[str, Any]
    meta: dict[str, Any]
    created: str
    """ISO 8601, UTC."""


class Draft:
    """A run that is being computed by its holder alone. Made by ``Store.draft``; usable inside its ``with`` only."""

    def __init__(self, root: Path, key: str, meta: Mapping[str, Any], was: Begun, *, resumed: bool) -> None:
        self.key = key
        self.request = was.request
        self.resumed = resumed
        """Whether an earlier call began it."""
        self._root, self._folder, self._was = root, root / DRAFTS / key, was
        self._meta: dict[str, Any] = plain(meta)
        self._open = True
        self._mark = time.monotonic()

    def blocks(self) -> tuple[str, ...]:
        """Names of the finished blocks, sorted; damaged ones are dropped. Raises StoreError."""
        return tuple(name for name in self._names() if self._block(name) is not None)

    def read_block(self, name: str) -> dict[str, NDArray[Any]] | None:
        """A finished block's arrays; None where there is none, or it was damaged and is now dropped.

        Raises:
            StoreError: it is there and the system does not let it be read.
        """
        block = self._block(name)
        return None if block is None else block[1]

    def write_block(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a finished block: whole on disk once this returns. Another of that name is replaced.

        Args:
            name: letters, digits, ``_`` and ``-``, at most 100.
            arrays: by name, of numbers, booleans or text.

        Raises:
            TypeError, ValueError: a name or an array cannot be stored.
            StoreFullError, StoreError: it cannot be written; blocks kept before are untouched.
        """
        path = self._path(name)
        now = time.monotonic()
        content = _SECONDS.pack(now - self._mark) + pack(arrays, compress=False)
        with writing(self._root):
            replace_file(path, hashlib.sha256(content).digest() + content, self._folder / _SCRATCH)
        self._mark = now

    def finish(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any] | None = None) -> Run:
        """Make it a run, read back from the disk and verified; the draft is gone and closed then.

        A sound run that is there already under this name is returned as it is; a damaged one is replaced.

        Args:
            arrays: as in ``write_block``.
            meta: more of what is said of its making; goes before what was given at the start.

        Raises:
            TypeError, ValueError: something cannot be stored, or ``meta`` names what the store itself gives.
            StoreFullError, StoreError: it cannot be written; nothing stands under the run's name, the blocks stay.
        """
        self._check_open()
        packed = pack(arrays, compress=True)
        description = describe(self.key, self.request, self._told(meta or {}), _now(), files={ARRAYS: checksum(packed)})
        made = self._folder / _SCRATCH / "result"
        with writing(self._root):
            try:
                _write_run(made, packed, description)
                self._settle(made)
            except BaseException:
                with suppress(OSError):
                    remove(made)
                raise
        self._open = False
        with suppress(OSError):
            remove(self._folder)  # the run is there; 'gc' takes what stays
        return verify(open_run(self._root / self.key, bundled=False))

    def close(self) -> None:
        """End its use; a draft without a block leaves nothing behind."""
        self._open = False
        if not self._names():
            with suppress(OSError):
                remove(self._folder)

    def _told(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """meta of the finished run; where it was begun under other circumstances, those too, as ``begun``."""
        now = self._meta | plain(more)
        other = {name: value for name, value in self._was.meta.items() if name in now and value != now[name]}
        now.setdefault("seconds", round(self._seconds(), 3))
        return now | ({"begun": other} if other else {})

    def _seconds(self) -> float:
        """Wall time of all blocks, and since the last."""
        blocks = (self._block(name) for name in self._names())
        return sum(block[0] for block in blocks if block is not None) + time.monotonic() - self._mark

    def _settle(self, made: Path) -> None:
        """Rename ``made`` to the run's name, unless a sound run has it."""
        target = self._root / self.key
        if os.path.lexists(target):
            try:
                verify(open_run(target, bundled=False))
                return
            except DamagedRunError:
                os.rename(target, made.with_name(secrets.token_hex(8)))
        os.rename(made, target)
        sync(self._root)

    def _names(self) -> tuple[str, ...]:
        return block_names(self._folder)

    def _block(self, name: str) -> tuple[float, dict[str, NDArray[Any]]] | None:
        """(seconds, arrays) of a sound block; a damaged one is removed."""
        path = self._path(name)
        if not os.path.lexists(path):
            return None
        with reading(self.key, bundled=False):
            try:
                return _read_block(path)
            except Damage:
                with writing(self._root):
                    remove(path)
                return None

    def _path(self, name: str) -> Path:
        self._check_open()
        if _BLOCK.fullmatch(name) is None:
            raise ValueError(f"{name!r} cannot name a block; use letters, digits, _ and -.")
        return self._folder / _BLOCKS / f"{name}{_SUFFIX}"

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError("This draft is closed; use it inside the 'with' of Store.draft, and not after finish.")


def begin(root: Path, key: str, request: Mapping[str, Any], meta: Mapping[str, Any]) -> Draft:
    """The draft of ``key`` below ``root``, for one who holds its lock.

    Raises:
        TypeError, ValueError: request or meta is not plain JSON.
        StoreFullError, StoreError: it cannot be written, or there is one of another request under this key.
    """
    fresh = Begun(plain(request), plain(meta), _now())
    sealed = seal({"request": fresh.request, "meta": fresh.meta, "created": fresh.created})
    folder = root / DRAFTS / key
    with writing(root):
        was = begun(folder)
        if was is not None and canonical(was.request) != canonical(fresh.request):
            raise StoreError(
                f"An unfinished run of another request has the name {key[:12]}; take the name from the request, or "
                "remove that draft by 'cache gc'."
            )
        if was is None:
            _make(folder, sealed)
        else:
            _tidy(folder)
    return Draft(root, key, meta, was or fresh, resumed=was is not None)


def _make(folder: Path, sealed: bytes) -> None:
    """Begin a draft in place of whatever is there; where that fails nothing is left."""
    remove(folder)
    try:
        for part in (_BLOCKS, _SCRATCH):
            (folder / part).mkdir(parents=True)
        replace_file(folder / _DRAFT, sealed, folder / _SCRATCH)
        sync(folder.parent)
    except BaseException:
        with suppress(OSError):
            remove(folder)
        raise


def _tidy(folder: Path) -> None:
    """Throw away what a dead process was writing."""
    remove(folder / _SCRATCH)
    (folder / _SCRATCH).mkdir()
    if not is_folder(folder / _BLOCKS):
        remove(folder / _BLOCKS)
        (folder / _BLOCKS).mkdir()


def begun(folder: Path) -> Begun | None:
    """What the draft in ``folder`` says of itself; None where nothing can be trusted. Raises OSError."""
    if not is_folder(folder):
        return None
    try:
        document = unseal(read_file(folder / _DRAFT, MAX_JSON), _DRAFT)
    except Damage:
        return None
    request, meta, created = (document.get(name) for name in ("request", "meta", "created"))
    if isinstance(request, dict) and isinstance(meta, dict) and isinstance(created, str):
        return Begun(request, meta, created)
    return None


def block_names(folder: Path) -> tuple[str, ...]:
    """Names of the blocks in a draft's folder, sorted, sound or not."""
    try:
        names = sorted(os.listdir(folder / _BLOCKS)) if is_folder(folder / _BLOCKS) else []
    except OSError:
        return ()
    stems = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
    return tuple(stem for stem in stems if _BLOCK.fullmatch(stem))


def damaged_blocks(folder: Path) -> int:
    """How many blocks in a draft's folder are not what was written."""
    count = 0
    for name in block_names(folder):
        try:
            _read_block(folder / _BLOCKS / f"{name}{_SUFFIX}")
        except (Damage, OSError):
            count += 1
    return count


def _read_block(path: Path) -> tuple[float, dict[str, NDArray[Any]]]:
    data = read_file(path, MAX_BYTES)
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if len(content) < _SECONDS.size or hashlib.sha256(content).digest() != digest:
        raise Damage(f"{path.name} is not as it was written")
    return _SECONDS.unpack_from(content)[0], unpack(content[_SECONDS.size :])


def _write_run(folder: Path, packed: bytes, description: bytes) -> None:
    remove(folder)
    folder.mkdir()
    write_file(folder / ARRAYS, packed)
    write_file(folder / "run.json", description)
    sync(folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
