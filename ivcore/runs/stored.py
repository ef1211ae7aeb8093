"""What all runs have in common when they are read back from the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..errors import DamagedRunError
from ..store import Run, Store

__all__ = ["Made", "list_runs", "made", "own_fields", "sound"]

_COMMON = ("analysis", "version", "dtype")


@dataclass(frozen=True)
class Made:
    """How a run was made, as its description says."""

    ref: str
    fingerprint: str
    dtype: str
    created: str
    """ISO 8601, UTC."""


class _Dated(Protocol):
    @property
    def created(self) -> str: ...


_Row = TypeVar("_Row", bound=_Dated)
_Found = TypeVar("_Found")


def made(run: Run) -> Made:
    """Raises DamagedRunError where the description does not say it."""
    try:
        model = run.meta["model"]
        return Made(str(model["ref"]), str(model["fingerprint"]), str(model["dtype"]), str(run.meta["created"]))
    except (KeyError, TypeError) as err:
        raise DamagedRunError(f"The run {run.key[:12]} does not say its model; remove it with 'cache gc'.") from err


def own_fields(run: Run) -> dict[str, Any]:
    """What a run's request says beside its analysis, version and dtype."""
    return {name: value for name, value in run.request.items() if name not in _COMMON}


def list_runs(store: Store, analysis: str, summary: Callable[[Run], _Row]) -> tuple[_Row, ...]:
    """All finished runs of an analysis, newest first, from their descriptions alone; damaged ones are left out."""
    found = []
    for run in store.runs():
        if run.request.get("analysis") == analysis:
            try:
                found.append(summary(run))
            except DamagedRunError:
                continue
    return tuple(sorted(found, key=lambda row: row.created, reverse=True))


def sound(find: Callable[[], _Found | None]) -> _Found | None:
    """The finished run, None also where it is damaged: it is computed again then."""
    try:
        return find()
    except DamagedRunError:
        return None
