"""Files that are whole or not there, and reading files that anybody may have put there.

1. Writing: to a scratch file, flushed to the disk, renamed into place.  ``writing`` turns what the system says when
   the disk is full or read-only into one sentence.
2. Reading: regular files only, no link followed, no more bytes than a limit; all else is ``Damage``.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError, StoreFullError

__all__ = [
    "Damage",
    "is_folder",
    "newest",
    "read_file",
    "remove",
    "replace_file",
    "size",
    "sync",
    "write_file",
    "writing",
]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_NOT_A_FILE = (errno.ELOOP, errno.ENXIO, errno.ENODEV)


class Damage(Exception):
    """Why something on disk is not what was written, as the rest of a sentence that begins with its name."""


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turn an error of the system while writing below ``root`` into StoreFullError or StoreError."""
    try:
        yield
    except OSError as err:
        reason = err.strerror or str(err)
        cure = "set IVCORE_CACHE to another folder"
        if err.errno in _FULL:
            raise StoreFullError(
                f"No room is left for runs in {root} ({reason}); free some space, perhaps by 'cache gc', or {cure}."
            ) from err
        if err.errno in _READ_ONLY:
            raise StoreFullError(f"The folder of runs {root} cannot be written to ({reason}); {cure}.") from err
        raise StoreError(f"The folder of runs {root} cannot be used ({reason}); {cure}.") from err


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and flush it to the disk. Raises OSError, leaving what was written so far."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def replace_file(path: Path, data: bytes, scratch: Path) -> None:
    """Put ``data`` at ``path`` at once, by way of ``scratch``, a folder. Raises OSError, leaving ``path`` as it was."""
    made = scratch / secrets.token_hex(8)
    try:
        write_file(made, data)
        os.replace(made, path)
    except OSError:
        made.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Flush a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes.

    Raises:
        Damage: it is missing, a link, no regular file, or longer.
        OSError: the system does not let it be read, which says nothing of its content.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise Damage(f"{path.name} is missing") from None
    except OSError as err:
        if err.errno in _NOT_A_FILE:
            raise Damage(f"{path.name} is a link or no regular file") from err
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Damage(f"{path.name} is no regular file")
        if status.st_size > limit:
            raise Damage(f"{path.name} has {status.st_size} bytes, more than the {limit} allowed")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(descriptor)


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def remove(path: Path) -> None:
    """Remove a file, a link (not what it points to) or a folder with all it holds, if it is there. Raises OSError."""
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _statuses(path: Path) -> Iterator[os.stat_result]:
    """Of ``path`` and all below it, no link followed; what vanishes meanwhile is left out."""
    names = [path]
    if is_folder(path):
        names += [Path(at, name) for at, folders, files in os.walk(path) for name in (*folders, *files)]
    for name in names:
        try:
            yield name.lstat()
        except OSError:
            continue


def size(path: Path) -> int:
    """Bytes of all regular files at and below ``path``."""
    return sum(status.st_size for status in _statuses(path) if stat.S_ISREG(status.st_mode))


def newest(path: Path) -> float:
    """The latest change at or below ``path``, in seconds since 1970."""
    return max((status.st_mtime for status in _statuses(path)), default=0.0)
