"""What all runs have in common when they are found, listed and read back from the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ..errors import DamagedRunError, InputError
from ..store import Run, Store, run_key

__all__ = ["Summary", "find_run", "list_runs", "own_fields", "reading", "sound"]

_COMMON = ("analysis", "version", "dtype")
_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, InputError)


class Request(Protocol):
    """What was asked for, apart from the model."""

    def document(self, dtype: str) -> dict[str, Any]:
        """The canonical request."""


_Request = TypeVar("_Request", bound=Request)
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Summary(Generic[_Request]):
    """A finished run as a list shows it; its numbers are not read."""

    key: str
    ref: str
    fingerprint: str
    dtype: str
    created: str
    """ISO 8601, UTC."""
    bundled: bool
    request: _Request


@contextmanager
def reading(run: Run, what: str = "") -> Iterator[None]:
    """Whatever fails inside is damage to the run: DamagedRunError. ``what``: what its request would have to be."""
    try:
        yield
    except DamagedRunError:
        raise
    except _UNREADABLE as err:
        fault = f"has a request that is not {what}" if what else f"is damaged ({err})"
        raise DamagedRunError(f"The run {run.key[:12]} {fault}; remove it with 'cache gc'.") from err


def own_fields(run: Run) -> dict[str, Any]:
    """What a run's request says beside its analysis, version and dtype."""
    return {name: value for name, value in run.request.items() if name not in _COMMON}


def find_run(
    store: Store, fingerprint: str, dtype: str, request: Request, open_run: Callable[[Run], _Found]
) -> _Found | None:
    """The finished run of this request on this model, if there is one. Raises DamagedRunError."""
    run = store.find(run_key(request.document(dtype), fingerprint))
    return None if run is None else open_run(run)


def list_runs(store: Store, analysis: str, read_request: Callable[[Run], _Request]) -> tuple[Summary[_Request], ...]:
    """All finished runs of an analysis, newest first, from their descriptions alone; damaged ones are left out."""
    found = []
    for run in store.runs():
        if run.request.get("analysis") == analysis:
            try:
                found.append(_summary(run, read_request(run)))
            except DamagedRunError:
                continue
    return tuple(sorted(found, key=lambda row: row.created, reverse=True))


def _summary(run: Run, request: _Request) -> Summary[_Request]:
    with reading(run):
        model, created = run.meta["model"], str(run.meta["created"])
        ref, fingerprint, dtype = (str(model[name]) for name in ("ref", "fingerprint", "dtype"))
        return Summary(run.key, ref, fingerprint, dtype, created, run.bundled, request)


def sound(find: Callable[[], _Found | None]) -> _Found | None:
    """The finished run, None also where it is damaged: it is computed again then."""
    try:
        return find()
    except DamagedRunError:
        return None
