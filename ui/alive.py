"""Models in memory: at most two, and of those the one that was used least recently goes first.

1. ``Alive.get``: the model of a name, device and number format.  Room is made before another is loaded, so that there
   are never more than so many at once, not even while one is read.
2. A model at work (its lock is held, or a background job uses it) is not pushed out: where all are at work one more is
   loaded, and the next call makes up for it.
3. ``Alive.release``: one goes, and its memory is given back to the system.  Whoever still holds it can use it to the
   end.
4. ``holds_models``: marks a cache whose values keep a model alive; it is emptied whenever one goes.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

from .worker import workshop

if TYPE_CHECKING:
    from ivcore.models import LoadedModel

__all__ = ["MOST", "Alive", "Which", "alive", "holds_models", "is_at_work"]

MOST = 2
"""Models in memory at once."""

Stamp = tuple[tuple[str, int, int], ...]
Cached = TypeVar("Cached", bound=Any)

_HOLDING: list[Any] = []


@dataclass(frozen=True)
class Which:
    """What tells models in memory apart."""

    ref: str
    device: str
    """``cpu`` or ``cuda``."""
    dtype: str


class Alive:
    """The models in memory.  Safe to use from several threads."""

    def __init__(self, most: int, is_at_work: Callable[[LoadedModel], bool]) -> None:
        self._most, self._is_at_work = most, is_at_work
        self._changed = threading.Condition()
        self._models: dict[Which, tuple[Stamp, LoadedModel]] = {}
        """From the least to the most recently used."""
        self._coming: set[Which] = set()

    def get(self, which: Which, stamp: Stamp, load: Callable[[], LoadedModel]) -> LoadedModel:
        """The model in memory, else the one that ``load`` returns; others who ask for it meanwhile wait for that.

        Args:
            which: the model.
            stamp: changes with its files; one that was loaded from other files is let go.
            load: may raise, and then comes out of this call.
        """
        with self._changed:
            while (found := self._use(which, stamp)) is None and self._must_wait(which):
                self._changed.wait()
            if found is not None:
                return found
            self._coming.add(which)
            made_room = self._make_room(which)
        try:
            if made_room:
                give_back()
            loaded = load()
            with self._changed:
                self._models[which] = stamp, loaded
        finally:
            with self._changed:
                self._coming.discard(which)
                self._changed.notify_all()
        return loaded

    def find(self, which: Which) -> LoadedModel | None:
        """The model in memory, if it is there; this does not count as a use."""
        with self._changed:
            return self._models[which][1] if which in self._models else None

    def present(self) -> tuple[Which, ...]:
        """What is in memory, the least recently used first."""
        with self._changed:
            return tuple(self._models)

    def release(self, which: Which) -> bool:
        """Let a model go; False where it is not there, or at work."""
        with self._changed:
            if which not in self._models or self._is_at_work(self._models[which][1]):
                return False
            del self._models[which]
        give_back()
        return True

    def clear(self) -> None:
        """Let all go."""
        with self._changed:
            self._models.clear()
        give_back()

    def _use(self, which: Which, stamp: Stamp) -> LoadedModel | None:
        """The model if it is there and of these files; it is now the most recently used."""
        if which not in self._models or self._models[which][0] != stamp:
            return None
        self._models[which] = self._models.pop(which)
        return self._models[which][1]

    def _must_wait(self, which: Which) -> bool:
        return which in self._coming or len(self._coming) >= self._most

    def _make_room(self, which: Which) -> bool:
        """Let models go until those that are here and those that come are no more than allowed; whether any went."""
        gone = self._models.pop(which, None) is not None
        while len(self._models) + len(self._coming) > self._most:
            idle = next((one for one, (_, loaded) in self._models.items() if not self._is_at_work(loaded)), None)
            if idle is None:
                break
            del self._models[idle]
            gone = True
        return gone


def is_at_work(loaded: LoadedModel) -> bool:
    """Whether somebody runs the model now, or a background job will."""
    if workshop().is_busy(f"{loaded.fingerprint} {loaded.device} {loaded.dtype}"):
        return True
    if not loaded.lock.acquire(blocking=False):
        return True
    loaded.lock.release()
    return False


def holds_models(cached: Cached) -> Cached:
    """Have a cache (of ``st.cache_resource``) emptied whenever a model goes; for a decorator above it."""
    _HOLDING.append(cached)
    return cached


def give_back() -> None:
    """Return the memory of models that nobody holds any more to the system."""
    for cached in _HOLDING:
        cached.clear()
    gc.collect()  # a network's modules and hooks refer to one another
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    # glibc keeps freed memory for later unless it is told; other C libraries have no such call.
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@st.cache_resource(show_spinner=False)
def alive() -> Alive:
    """The server's models."""
    return Alive(MOST, is_at_work)
