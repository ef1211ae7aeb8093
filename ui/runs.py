"""Finished sweeps for the pages: which there are, which one answers a form, and what follows from its numbers.

1. ``summaries``: all finished sweeps, read anew whenever a run was added or removed.
2. ``stored``: the finished run of a request, found without loading the model.  For a model whose files are here, the
   run must carry their fingerprint.
3. ``ranking``, ``excesses``, ``recovery`` ...: statistics of a run, computed once for each run and metric.
4. ``start``: a sweep in the background.

Runs and statistics are immutable and shared between sessions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from . import calls
from .worker import Job, workshop

if TYPE_CHECKING:
    from ivcore.models import LoadedModel
    from ivcore.patching import HeldOut, SetEffect, Spread, Superadditivity
    from ivcore.runs import Progress, SweepCost, SweepRequest, SweepRun, SweepSummary
    from ivcore.stats import MeanInterval, RatioInterval

__all__ = [
    "Stamp",
    "common_sets",
    "cost",
    "difference",
    "excesses",
    "fingerprint",
    "halves",
    "job",
    "key_of",
    "newest",
    "opened",
    "own_sweeps",
    "ranking",
    "ratio",
    "released_tests",
    "spread_of",
    "start",
    "store_stamp",
    "stored",
    "summaries",
]


Stamp = tuple[tuple[str, int, int], ...]
"""Of each folder of the store its name, when it was changed and how many things it holds."""


def summaries() -> tuple[SweepSummary, ...]:
    """All finished sweeps, newest first."""
    return _summaries(store_stamp())


def store_stamp() -> Stamp:
    """Changes whenever a run was added or removed; the number tells apart what happens within one tick of the clock."""
    from ivcore.store import default_store

    store = default_store()
    roots = (store.own, store.bundled)
    there = [root for root in roots if root and root.is_dir()]
    return tuple((str(root), root.stat().st_mtime_ns, len(os.listdir(root))) for root in there)


def own_sweeps(size: str, stage: str, task: str) -> tuple[SweepSummary, ...]:
    """The finished sweeps that a published figure can be held against, newest first.

    Args:
        size: ``1B`` or ``7B``, of OLMo-2.
        stage: ``base``, ``SFT`` or ``DPO``, in capitals or not.
        task: its name.
    """
    group = f"OLMo-2 {size}"
    refs = {entry.name for entry in calls.entries() if entry.group == group and entry.stage.lower() == stage.lower()}
    return tuple(found for found in summaries() if found.ref in refs and found.request.task == task)


def stored(ref: str, dtype: str, request: SweepRequest) -> SweepRun | None:
    """The newest finished run of this request on this model, if there is one.

    Raises:
        DamagedRunError: it is there and damaged.
        ModelError: the model's own folder cannot be read.
    """
    alike = [s for s in summaries() if (s.ref, s.dtype) == (ref, dtype) and s.request == request]
    if alike and (here := fingerprint(ref)) is not None:
        alike = [summary for summary in alike if summary.fingerprint == here]
    return opened(alike[0].key) if alike else None


def newest(ref: str, task: str, convention: str, depth: int = 2) -> SweepRun | None:
    """The finished run over most samples of a task on a model, of at least this depth; the newest of equals.

    Raises:
        DamagedRunError: it is there and damaged.
    """
    asked = (ref, task, convention)
    alike = [
        s for s in summaries() if (s.ref, s.request.task, s.request.convention) == asked and s.request.depth >= depth
    ]
    if alike and (here := fingerprint(ref)) is not None:
        alike = [summary for summary in alike if summary.fingerprint == here]
    return opened(max(alike, key=lambda summary: len(summary.request.items)).key) if alike else None


def fingerprint(ref: str) -> str | None:
    """The fingerprint of a model whose folder is here; None for a model of the hub."""
    from ivcore.models.registry import find_place

    return _fingerprint(ref, calls.files(ref)) if find_place(ref).folder else None


@st.cache_resource(max_entries=64, show_spinner=False)
def opened(key: str) -> SweepRun:
    """The numbers of a finished sweep. Raises DamagedRunError where they are not as they were written."""
    from ivcore.errors import DamagedRunError
    from ivcore.runs import open_sweep
    from ivcore.store import default_store

    if (run := default_store().find(key)) is None:
        raise DamagedRunError(f"The run {key[:12]} is no longer there; compute it again.")
    return open_sweep(run)


def key_of(loaded: LoadedModel, request: SweepRequest) -> str:
    """The name under which the run of this request is, or will be, stored."""
    from ivcore.store import run_key

    return run_key(request.document(loaded.dtype), loaded.fingerprint)


def job(loaded: LoadedModel, request: SweepRequest) -> Job | None:
    """The job that computes this request, or that did last."""
    return workshop().find(key_of(loaded, request))


def start(loaded: LoadedModel, request: SweepRequest) -> Job:
    """Compute the request in the background; where that is already under way, return the job that does it."""

    def work(on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]) -> object:
        from ivcore.runs import run_sweep
        from ivcore.store import default_store

        return run_sweep(default_store(), loaded, request, on_progress=on_progress, should_stop=should_stop)

    title = f"{request.task} on {loaded.ref}, {len(request.items)} samples, depth {request.depth}"
    lane = f"{loaded.fingerprint} {loaded.device} {loaded.dtype}"
    return workshop().start(key_of(loaded, request), title, lane, work)


@st.cache_data(max_entries=64, show_spinner=False)
def _cost(
    _model: LoadedModel, fingerprint: str, device: str, dtype: str, _request: SweepRequest, key: str
) -> SweepCost:
    from ivcore.runs import sweep_cost

    return sweep_cost(_model, _request)


def cost(loaded: LoadedModel, request: SweepRequest) -> SweepCost:
    """What the sweep will take on this device. Raises InputError where it cannot be computed with this model."""
    return _cost(loaded, loaded.fingerprint, loaded.device, loaded.dtype, request, key_of(loaded, request))


def ranking(run: SweepRun, metric: str) -> tuple[SetEffect, ...]:
    """All sets with mean effect and 95% interval, highest mean first; of equals the smaller set."""
    return _ranking(run, run.key, metric)


def excesses(run: SweepRun, metric: str) -> tuple[Superadditivity, ...]:
    """All sets of two or three layers against the sum of their singles."""
    return _excesses(run, run.key, metric)


def released_tests(run: SweepRun, metric: str) -> tuple[Any, ...]:
    """What the released code's test gives for every single and pair."""
    return _released_tests(run, run.key, metric)


def ratio(run: SweepRun, layers: tuple[int, ...], metric: str) -> RatioInterval:
    """Recovery of a set: the ratio of two means, with its interval."""
    return _ratio(run, run.key, layers, metric)


def common_sets(before: SweepRun, after: SweepRun) -> tuple[tuple[int, ...], ...]:
    """The singles and pairs that both have, in ``after``'s order."""
    there = set(before.sets)
    return tuple(layers for layers in after.sets if len(layers) <= 2 and layers in there)


def halves(run: SweepRun, metric: str) -> tuple[HeldOut, ...]:
    """The best set of each half of the samples, measured on the other half."""
    return _halves(run, run.key, metric)


def difference(before: SweepRun, after: SweepRun, metric: str) -> tuple[MeanInterval, ...]:
    """Mean of after minus before with its interval, for every single and pair that both have, in ``after``'s order.

    Without intervals where the two did not answer the same samples.
    """
    return _difference(before, after, before.key, after.key, metric)


def spread_of(run: SweepRun, metric: str) -> Spread:
    """Over how many singles and pairs the effect is spread."""
    return _spread(run, run.key, metric)


@st.cache_resource(max_entries=4, show_spinner=False)
def _summaries(stamp: Stamp) -> tuple[SweepSummary, ...]:
    from ivcore.runs import list_sweeps
    from ivcore.store import default_store

    return list_sweeps(default_store())


@st.cache_data(max_entries=64, show_spinner=False)
def _fingerprint(ref: str, files: tuple[tuple[str, int, int], ...]) -> str:
    from ivcore.models.folder import fingerprint as of_folder
    from ivcore.models.folder import inspect_folder
    from ivcore.models.registry import find_place

    folder = find_place(ref).folder
    assert folder is not None
    return of_folder(inspect_folder(folder))


@st.cache_resource(max_entries=128, show_spinner=False)
def _ranking(_run: SweepRun, key: str, metric: str) -> tuple[SetEffect, ...]:
    from ivcore.patching import rank_sets

    return rank_sets(_run.effects(metric), _run.sets)


@st.cache_resource(max_entries=64, show_spinner=False)
def _excesses(_run: SweepRun, key: str, metric: str) -> tuple[Superadditivity, ...]:
    from ivcore.patching import superadditivity

    return superadditivity(_run.effects(metric), _run.sets)


@st.cache_resource(max_entries=64, show_spinner=False)
def _released_tests(_run: SweepRun, key: str, metric: str) -> tuple[Any, ...]:
    from ivcore.patching import released_superadditivity

    return tuple(released_superadditivity(_run.effects(metric), _run.sets))


@st.cache_resource(max_entries=256, show_spinner=False)
def _ratio(_run: SweepRun, key: str, layers: tuple[int, ...], metric: str) -> RatioInterval:
    from ivcore.stats import ratio_interval

    return ratio_interval(_run.effects(metric)[_run.sets.index(layers)], _run.span(metric))


@st.cache_resource(max_entries=64, show_spinner=False)
def _halves(_run: SweepRun, key: str, metric: str) -> tuple[HeldOut, ...]:
    from ivcore.patching import chosen_on_halves

    return chosen_on_halves(_run.effects(metric), _run.span(metric), _run.sets)


@st.cache_resource(max_entries=128, show_spinner=False)
def _difference(
    _before: SweepRun, _after: SweepRun, key_before: str, key_after: str, metric: str
) -> tuple[MeanInterval, ...]:
    from ivcore.stats import MeanInterval, bootstrap_means

    sets = common_sets(_before, _after)
    rows = [run.effects(metric)[[run.sets.index(s) for s in sets]] for run in (_before, _after)]
    if _before.request.items == _after.request.items:
        return bootstrap_means(rows[1] - rows[0])
    means = rows[1].mean(axis=1) - rows[0].mean(axis=1)
    n = min(_before.n_samples, _after.n_samples)
    return tuple(MeanInterval(float(mean), None, None, n) for mean in means)


@st.cache_resource(max_entries=128, show_spinner=False)
def _spread(_run: SweepRun, key: str, metric: str) -> Spread:
    from ivcore.patching import spread

    at = [i for i, layers in enumerate(_run.sets) if len(layers) <= 2]
    means = _run.effects(metric)[at].mean(axis=1)
    return spread(means, [_run.sets[i] for i in at])
