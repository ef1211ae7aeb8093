"""Finished traces for the Heads page, and what follows from them.

1. ``find_side``: the finished trace of a task from which one side's heads can be read, found without loading the model:
   one over most samples, rather one that kept paths.  For a model whose files are here, the run must carry their
   fingerprint.
2. ``activity``, ``agreements``, ``similarities``, ``halves``: statistics, computed once for each run and position.
3. ``start``: the trace of a missing side, in the background.

Runs and statistics are immutable and shared between sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from .. import runs
from ..paths import runs as paths_runs
from ..worker import Job, workshop
from .state import HeadsInputs, Wanted

if TYPE_CHECKING:
    from ivcore.heads import Agreement, HeadActivity, HeadUse, Similarity, SplitHalves
    from ivcore.models import LoadedModel
    from ivcore.runs import PathsRequest, PathsRun, PathsSummary

__all__ = ["Side", "activity", "agreements", "find_side", "halves", "job", "similarities", "start"]

SAMPLES = 100


@dataclass(frozen=True)
class Side:
    """One side of the comparison."""

    wanted: Wanted
    request: PathsRequest
    """What would compute it."""
    run: PathsRun | None
    """None where it was not computed, or is damaged."""
    use: HeadUse | None
    """None too where no prompt has a high-ranking path from there."""
    trouble: tuple[str, ...] = ()
    """What is wrong, one sentence each."""

    @property
    def name(self) -> str:
        """What tells it from the other side."""
        return self.wanted.name

    @property
    def key(self) -> tuple[str, int]:
        """What its numbers depend on."""
        return ("" if self.run is None else self.run.key), self.wanted.offset


def find_side(wanted: Wanted, inputs: HeadsInputs) -> Side:
    """One side, as far as it was computed.

    Raises:
        InputError: it cannot be traced with these settings.
        ModelError: the model's own folder cannot be read.
    """
    from ivcore.errors import DamagedRunError, InputError

    request = _request(wanted, inputs.surrogate)
    told: list[str] = []
    for summary in _alike(wanted, inputs.dtype, request):
        try:
            run = paths_runs.opened(summary.key)
        except DamagedRunError as err:
            told.append(f"{err} It is not shown.")
            continue
        try:
            return Side(wanted, request, run, _use(run, run.key, wanted.offset), tuple(told))
        except InputError as err:
            return Side(wanted, request, run, None, (*told, f"{wanted.name}: {err}"))
    return Side(wanted, request, None, None, tuple(told))


def activity(side: Side) -> HeadActivity:
    """All heads of a side that is there."""
    assert side.run is not None
    return _activity(_there(side), side.key, side.run.request.seed)


def agreements(a: Side, b: Side) -> tuple[Agreement, ...]:
    """Spearman's r of the heads' activities, layer by layer."""
    return _agreements(_there(a), _there(b), a.key, b.key)


def similarities(a: Side, b: Side, groups: Sequence[tuple[int, int]], threshold: float) -> tuple[Similarity, ...]:
    """How alike the active heads are, in each group of layers."""
    return _similarities(_there(a), _there(b), a.key, b.key, tuple(groups), threshold)


def halves(a: Side, b: Side) -> tuple[SplitHalves, ...]:
    """Whether the sides differ by more than two halves of one side's prompts. Raises InputError below four prompts."""
    return _halves(_there(a), _there(b), a.key, b.key)


def job(side: Side, dtype: str) -> Job | None:
    """The job that computes the side, or that did last."""
    key = _started().get((side.wanted.ref, dtype, side.request))
    return None if key is None else workshop().find(key)


def start(loaded: LoadedModel, side: Side) -> Job:
    """Compute the side in the background; where that is already under way, return the job that does it."""
    found = paths_runs.start(loaded, side.request)
    _started()[side.wanted.ref, loaded.dtype, side.request] = found.key
    return found


def _there(side: Side) -> HeadUse:
    assert side.use is not None
    return side.use


def _request(wanted: Wanted, surrogate: str) -> PathsRequest:
    from ivcore.prompts.tasks import load_task
    from ivcore.runs import task_paths_request

    task = load_task(wanted.task)
    n = min(SAMPLES, len(set(task.queries)))
    return task_paths_request(task, n, wanted.top_k, sources="from_before", surrogate=surrogate)


def _alike(wanted: Wanted, dtype: str, request: PathsRequest) -> list[PathsSummary]:
    """The finished traces that hold the side, the best first."""
    from ivcore.runs import sources_cover, sources_with

    settings, sources = _settings(request), sources_with(wanted.offset)
    found = [s for s in paths_runs.summaries() if (s.ref, s.dtype) == (wanted.ref, dtype)]
    found = [s for s in found if _settings(s.request) == settings]
    found = [s for s in found if sources_cover(s.request.sources, sources)]
    if found and (here := runs.fingerprint(wanted.ref)) is not None:
        found = [summary for summary in found if summary.fingerprint == here]
    return sorted(found, key=lambda summary: (-len(summary.request.items), summary.request.n_listed == 0))


def _settings(request: PathsRequest) -> tuple[object, ...]:
    return request.task, request.instruction, request.top_k, request.max_rank, request.surrogate, request.t_inst


@st.cache_resource(max_entries=96, show_spinner=False)
def _use(_run: PathsRun, key: str, offset: int) -> HeadUse:
    from ivcore.runs.heads import head_use

    return head_use(_run, offset)


@st.cache_resource(max_entries=96, show_spinner=False)
def _activity(_use: HeadUse, key: tuple[str, int], seed: int) -> HeadActivity:
    from ivcore.heads import head_activity

    return head_activity(_use, seed=seed)


@st.cache_resource(max_entries=96, show_spinner=False)
def _agreements(_a: HeadUse, _b: HeadUse, key_a: tuple[str, int], key_b: tuple[str, int]) -> tuple[Agreement, ...]:
    from ivcore.heads import agreement_by_layer

    return agreement_by_layer(_a, _b)


@st.cache_resource(max_entries=96, show_spinner=False)
def _similarities(
    _a: HeadUse,
    _b: HeadUse,
    key_a: tuple[str, int],
    key_b: tuple[str, int],
    groups: tuple[tuple[int, int], ...],
    threshold: float,
) -> tuple[Similarity, ...]:
    from ivcore.heads import jaccard

    return jaccard(_a, _b, groups, threshold=threshold)


@st.cache_resource(max_entries=96, show_spinner=False)
def _halves(_a: HeadUse, _b: HeadUse, key_a: tuple[str, int], key_b: tuple[str, int]) -> tuple[SplitHalves, ...]:
    from ivcore.heads import split_halves

    return split_halves(_a, _b)


@st.cache_resource(show_spinner=False)
def _started() -> dict[tuple[str, str, PathsRequest], str]:
    """By ref, number format and request, the key of the job that was started for it."""
    return {}
