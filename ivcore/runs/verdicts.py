"""The self-check's verdict on a model, kept: what was found once holds until anything that it depends on changes.

1. A verdict is kept for a model, by its fingerprint, on a device in a number format.  It holds as long as the
   libraries' versions and the engine's own source are what they were; the next one takes its place.
2. ``checked``: the verdict that was kept, else the check is run and its verdict kept.
3. ``kept_verdicts``: all that still hold, found without loading a model.

What is read may come from anybody: a report that contradicts itself, or is of another form, counts as not there.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_origin, get_type_hints

from ..check import CheckItem, CheckReport, check_model
from ..errors import StoreError
from ..models import LoadedModel, ModelFacts
from ..store import Note, Store, run_key
from .meta import library_versions

__all__ = ["Verdict", "checked", "facts_of", "find_verdict", "kept_verdicts"]

_KIND = "check"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict(CheckReport):
    """The report on one model, and when and of what it was made."""

    made: str
    """ISO 8601, UTC."""
    model: ModelFacts


def facts_of(model: LoadedModel) -> ModelFacts:
    """The facts of a loaded model."""
    return ModelFacts(**{field.name: getattr(model, field.name) for field in fields(ModelFacts)})


def checked(store: Store, model: LoadedModel) -> Verdict:
    """The verdict on a model: kept from before, else from a check that is run now and kept."""
    if (kept := find_verdict(store, model.fingerprint, model.device, model.dtype)) is not None:
        return kept
    report, facts = check_model(model), facts_of(model)
    request = _request(facts.fingerprint, facts.device, facts.dtype)
    content = {"request": request, "model": asdict(facts), "report": _document(report)}
    try:
        made = store.keep_note(_key(facts.fingerprint, facts.device, facts.dtype), content).created
    except StoreError:
        _LOG.warning("The verdict on %s could not be kept; it will be checked again.", facts.ref, exc_info=True)
        made = datetime.now(UTC).isoformat(timespec="seconds")
    told = {field.name: getattr(report, field.name) for field in fields(CheckReport)}
    return Verdict(**told, made=made, model=facts)


def find_verdict(store: Store, fingerprint: str, device: str, dtype: str) -> Verdict | None:
    """The verdict that was kept of this model on this device in this number format; None where none holds."""
    note = store.find_note(_key(fingerprint, device, dtype))
    return None if note is None else _verdict(note)


def kept_verdicts(store: Store) -> tuple[Verdict, ...]:
    """All verdicts that still hold, newest first."""
    return tuple(verdict for note in store.notes() if (verdict := _verdict(note)) is not None)


def _key(fingerprint: str, device: str, dtype: str) -> str:
    return run_key({"kind": _KIND, "device": device, "dtype": dtype}, fingerprint)


def _request(fingerprint: str, device: str, dtype: str) -> dict[str, Any]:
    """What a verdict depends on."""
    of = {"fingerprint": fingerprint, "device": device, "dtype": dtype}
    return {"kind": _KIND, **of, "versions": library_versions(), "engine": _engine()}


@cache
def _engine() -> str:
    """SHA-256 over the engine's source."""
    root, total = Path(__file__).resolve().parents[1], hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        total.update(f"{file.relative_to(root).as_posix()}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _document(report: CheckReport) -> dict[str, Any]:
    """The report as JSON can hold it: deviations as text, since one that is not a number has no place there."""
    items = [asdict(item) | {"value": repr(item.value), "tolerance": repr(item.tolerance)} for item in report.items]
    return asdict(report) | {"items": items}


def _verdict(note: Note) -> Verdict | None:
    """The verdict in a note; None where it does not hold any more, or is none."""
    try:
        model = ModelFacts(**note.content["model"])
        request = _request(model.fingerprint, model.device, model.dtype)
        if note.content["request"] != request or note.key != _key(model.fingerprint, model.device, model.dtype):
            return None
        document = note.content["report"]
        items = tuple(_item(item) for item in document["items"])
        verdict = Verdict(**{**document, "items": items}, made=note.created, model=model)
        sound = _is_typed(model) and _is_typed(verdict) and all(_is_typed(item) for item in items)
        alike = verdict.fingerprint == model.fingerprint and verdict.passed == all(item.passed for item in items)
        return verdict if sound and alike and items else None
    except (KeyError, TypeError, ValueError):
        return None


def _item(document: Mapping[str, Any]) -> CheckItem:
    return CheckItem(**{**document, "value": float(document["value"]), "tolerance": float(document["tolerance"])})


def _is_typed(read: ModelFacts | CheckReport | CheckItem) -> bool:
    """Whether each field has the type that it says."""
    for name, hint in get_type_hints(type(read)).items():
        expected = hint if isinstance(hint, UnionType) else get_origin(hint) or hint
        if not isinstance(getattr(read, name), expected):
            return False
    return True
