"""What is known of a model's self-check before the model is loaded: from this server's memory, else from the disk.

A verdict counts for a name only while the name means what was checked: the same files of a folder, the same commit of
the hub.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from . import calls, runs

if TYPE_CHECKING:
    from ivcore.runs import Verdict

__all__ = ["failures", "known_verdict"]


def known_verdict(ref: str, device: str, dtype: str) -> Verdict | None:
    """The verdict on a model, found without loading it; None where there is none yet."""
    from ivcore.errors import ModelError

    wanted = calls.which(ref, device, dtype)
    kept = [*calls.verdicts().values(), *_kept(*_stamp())]
    alike = [one for one in kept if (one.model.device, one.model.dtype) == (wanted.device, wanted.dtype)]
    try:
        found = next((one for one in alike if _is_about(one, ref)), None)
    except ModelError:  # told of where the model is opened
        return None
    return None if found is None else replace(found, model=replace(found.model, ref=ref))


def failures(refs: Sequence[str], device: str, dtype: str) -> tuple[Verdict, ...]:
    """The verdicts of these models that are failures, each once."""
    found = (known_verdict(ref, device, dtype) for ref in dict.fromkeys(refs))
    return tuple(verdict for verdict in found if verdict is not None and not verdict.passed)


def _is_about(verdict: Verdict, ref: str) -> bool:
    """Whether the verdict is on what ``ref`` names now.

    The fingerprint of a large folder takes its time, so it is computed only where a verdict bears that name.
    """
    from ivcore.models.registry import find_place

    is_named = verdict.model.ref == ref
    if (hub := find_place(ref).hub) is not None:
        folder = calls.snapshot(hub)
        return is_named and folder is not None and folder.name == verdict.model.revision
    return (is_named or calls.is_light(ref)) and verdict.model.fingerprint == runs.fingerprint(ref)


def _stamp() -> tuple[str, int, tuple[str, ...]]:
    """Changes whenever a verdict was kept; the names tell apart what happens within one tick of the clock."""
    from ivcore.store import default_store

    folder = default_store().own
    notes = folder / "notes"
    return (str(folder), notes.stat().st_mtime_ns, tuple(os.listdir(notes))) if notes.is_dir() else (str(folder), 0, ())


@st.cache_resource(max_entries=2, show_spinner=False)
def _kept(own: str, changed: int, names: tuple[str, ...]) -> tuple[Verdict, ...]:
    from ivcore.runs import kept_verdicts
    from ivcore.store import default_store

    return kept_verdicts(default_store())
