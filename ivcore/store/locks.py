"""One holder of a name at a time, among all processes and threads of this machine: ``flock`` on a file.

The system lets go of the lock when its holder dies, however it dies.  A holder may remove the lock's file before it
lets go; so whoever gets a lock looks whether the file is still the one under that name, and tries again where not.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

__all__ = ["Lock", "acquire", "is_held"]

_TRIES = 10
_PAUSE_SECONDS = 0.02


class Lock:
    """A lock that is held until ``release``."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def release(self, *, remove: bool) -> None:
        """Let go; ``remove``: nothing is left to be guarded, so the file goes too."""
        try:
            if remove:
                self._path.unlink(missing_ok=True)
        finally:
            # Explicitly, since a child made by fork shares the open file and would hold on.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)


def acquire(path: Path) -> Lock | None:
    """The lock ``path``, or None where another holds it. Raises OSError where the file cannot be made.

    It tries for a fifth of a second, since ``is_held`` takes the lock for an instant.
    """
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        if _flock(descriptor, fcntl.LOCK_EX) and _is_at(descriptor, path):
            return Lock(path, descriptor)
        os.close(descriptor)
    return None


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock now; False where its file cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return not _flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False
