"""Finished traces for the Paths page, the jobs that compute them, and the frozen network of one prompt.

1. ``stored``: the finished run that answers a request about one prompt, found without loading the model: any run of the
   same settings that kept the paths of this prompt and begins at the wanted tokens.  For a model whose files are here,
   the run must carry their fingerprint.
2. ``stored_task``: the same for a whole task.
3. ``expected``: what a trace will follow, by counting; ``start``: one job for each missing run.
4. ``tracer_of``: the network frozen at a prompt, for what no run holds.

Runs are immutable and shared between sessions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from .. import calls, runs
from ..alive import holds_models
from ..worker import Job, workshop
from .kept import Paths
from .state import PathsInputs

if TYPE_CHECKING:
    from ivcore.models import LoadedModel
    from ivcore.paths import Forecast, Tracer
    from ivcore.runs import PathsRequest, PathsRun, PathsSummary, Progress, SampleInfo

__all__ = [
    "Expected",
    "Found",
    "Traced",
    "expected",
    "job",
    "opened",
    "request_of",
    "start",
    "stored",
    "stored_task",
    "summaries",
    "tracer_of",
    "vocabulary_size",
]


@dataclass(frozen=True)
class Traced:
    """One prompt of a finished run, and those of its sources that are looked at."""

    run: PathsRun
    sample: int
    rows: tuple[int, ...]

    @property
    def info(self) -> SampleInfo:
        """The prompt."""
        return self.run.samples[self.sample]

    @property
    def n_layers(self) -> int:
        """Blocks of the model."""
        return int(self.run.model["n_layers"])

    @property
    def n_cut(self) -> int:
        """High-ranking paths that were counted and not kept."""
        rows = list(self.rows)
        return int(self.run.n_high_ranking[rows].sum()) - int(np.isin(self.run.arrays["path_row"], rows).sum())

    def row_of(self, position: int) -> int | None:
        """The row of a source among those that are looked at."""
        return next((row for row in self.rows if int(self.run.position[row]) == position), None)

    def paths(self, rows: tuple[int, ...] | None = None) -> Paths:
        """The high-ranking paths that the run kept."""
        chosen = self.rows if rows is None else rows
        listed = [self.run.listed(row) for row in chosen]
        empty = np.empty((0, self.n_layers + 1), dtype=np.int16)
        return Paths(
            np.concatenate([empty, *(one[0] for one in listed)]),
            np.concatenate([np.empty(0, dtype=np.int32), *(one[1] for one in listed)]),
            np.concatenate([np.empty(0), *(one[2] for one in listed)]),
            self.run.edges(self.sample),
        )


@dataclass(frozen=True)
class Found:
    """What the store has for a request, and what of it is damaged."""

    traced: Traced | None
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class Expected:
    """What a trace will follow."""

    sources: tuple[int, ...]
    tokens: tuple[str, ...]
    forecast: Forecast


def summaries() -> tuple[PathsSummary, ...]:
    """All finished traces, newest first."""
    return _summaries(runs.store_stamp())


def stored(ref: str, dtype: str, request: PathsRequest) -> Found:
    """The finished trace of one prompt, if there is one; of several rather one that kept every path.

    Raises:
        InputError: the sources are no positions of the prompt.
        ModelError: the model's own folder cannot be read.
    """
    (item,) = request.items
    alike = [s for s in _alike(ref, dtype, request) if item in s.request.items[: s.request.n_listed]]
    alike.sort(key=lambda summary: summary.request.max_listed is not None)
    damaged = []
    for run, told in _sound(alike):
        if run is None:
            damaged.append(told)
        else:
            return Found(_looked_at(run, run.request.items.index(item), request.sources), tuple(damaged))
    return Found(None, tuple(damaged))


def stored_task(ref: str, dtype: str, request: PathsRequest) -> tuple[PathsRun | None, tuple[str, ...]]:
    """The finished trace of a whole task, else one that begins at fewer tokens; and what is damaged."""
    from ivcore.runs import SOURCES

    alike = [s for s in _alike(ref, dtype, request, covering=False) if s.request.items == request.items]
    alike = [summary for summary in alike if summary.request.sources in SOURCES]
    alike.sort(key=lambda summary: -SOURCES.index(summary.request.sources))
    damaged = list[str]()
    for run, told in _sound(alike):
        if run is not None:
            return run, tuple(damaged)
        damaged.append(told)
    return None, tuple(damaged)


@st.cache_resource(max_entries=48, show_spinner=False)
def opened(key: str) -> PathsRun:
    """A finished trace. Raises DamagedRunError where it is not as it was written."""
    from ivcore.errors import DamagedRunError
    from ivcore.runs import open_paths
    from ivcore.store import default_store

    if (run := default_store().find(key)) is None:
        raise DamagedRunError(f"The run {key[:12]} is no longer there; compute it again.")
    return open_paths(run)


def request_of(inputs: PathsInputs) -> PathsRequest:
    """What is traced of one prompt. Raises InputError where a setting is out of range."""
    from ivcore.runs import paths_request

    return paths_request(
        inputs.instruction,
        [(inputs.query, inputs.answer)],
        inputs.top_k,
        sources=inputs.sources,
        max_rank=inputs.max_rank,
        surrogate=inputs.surrogate,
    )


def job(ref: str, dtype: str, request: PathsRequest) -> Job | None:
    """The job that computes this request, or that did last; None also for a hub model not loaded so far."""
    from ivcore.store import run_key

    here = runs.fingerprint(ref) or _loaded_fingerprints().get(ref)
    return None if here is None else workshop().find(run_key(request.document(dtype), here))


def start(loaded: LoadedModel, request: PathsRequest) -> Job:
    """Compute the request in the background; where that is already under way, return the job that does it."""
    from ivcore.store import run_key

    def work(on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]) -> object:
        from ivcore.runs import run_paths
        from ivcore.store import default_store

        return run_paths(default_store(), loaded, request, on_progress=on_progress, should_stop=should_stop)

    key = run_key(request.document(loaded.dtype), loaded.fingerprint)
    _loaded_fingerprints()[loaded.ref] = loaded.fingerprint
    what = request.task if len(request.items) > 1 else "one prompt"
    lane = f"{loaded.fingerprint} {loaded.device} {loaded.dtype}"
    return workshop().start(key, f"{what} on {loaded.ref}, k = {request.top_k}", lane, work)


def expected(loaded: LoadedModel, request: PathsRequest, item: int = 0) -> Expected:
    """What the trace of one of the prompts will follow.

    Raises:
        InputError: it cannot be traced with this model, or there are too many paths; the message says what to lower.
    """
    from ivcore.paths import MAX_PATHS, check_forecast
    from ivcore.prompts import build_answer, build_prompt
    from ivcore.runs import source_positions

    query, answer = request.items[item]
    with loaded.lock:
        prompt = build_prompt(loaded.tokenizer, request.instruction, query, t_inst=request.t_inst)
        build_answer(loaded.tokenizer, prompt, answer)
    sources = source_positions(request.sources, prompt.t_inst, len(prompt.ids_full))
    tracer = tracer_of(loaded, prompt.ids_full, request.top_k, request.surrogate)
    found = tracer.forecast(sources)
    check_forecast(found, MAX_PATHS)
    return Expected(sources, prompt.tokens_full, found)


def tracer_of(loaded: LoadedModel, ids: tuple[int, ...], top_k: int, surrogate: str) -> Tracer:
    """The network frozen at a prompt."""
    return _tracer(loaded, loaded.fingerprint, loaded.device, loaded.dtype, ids, top_k, surrogate)


def vocabulary_size(ref: str) -> int | None:
    """How many tokens the model ranks, from its configuration; None where that is not on this machine."""
    return _vocabulary_size(ref, calls.files(ref))


def _alike(ref: str, dtype: str, request: PathsRequest, *, covering: bool = True) -> list[PathsSummary]:
    """The finished traces with the same settings, newest first; ``covering``: that begin at all wanted tokens."""
    from ivcore.runs import sources_cover

    wanted = _settings(request)
    alike = [s for s in summaries() if (s.ref, s.dtype) == (ref, dtype) and _settings(s.request) == wanted]
    if covering:
        alike = [summary for summary in alike if sources_cover(summary.request.sources, request.sources)]
    if alike and (here := runs.fingerprint(ref)) is not None:
        alike = [summary for summary in alike if summary.fingerprint == here]
    return alike


def _settings(request: PathsRequest) -> tuple[object, ...]:
    return request.instruction, request.top_k, request.max_rank, request.surrogate, request.t_inst


def _sound(alike: list[PathsSummary]) -> Iterator[tuple[PathsRun | None, str]]:
    """Each run, or None and what is wrong with it."""
    from ivcore.errors import DamagedRunError

    for summary in alike:
        try:
            yield opened(summary.key), ""
        except DamagedRunError as err:
            yield None, str(err)


def _looked_at(run: PathsRun, sample: int, sources: str) -> Traced:
    from ivcore.runs import source_positions

    info = run.samples[sample]
    wanted = source_positions(sources, info.t_inst, len(info.ids))
    rows = [row for row in run.rows_of(sample).tolist() if int(run.position[row]) in wanted]
    return Traced(run, sample, tuple(rows))


@st.cache_resource(max_entries=4, show_spinner=False)
def _summaries(stamp: runs.Stamp) -> tuple[PathsSummary, ...]:
    from ivcore.runs import list_paths
    from ivcore.store import default_store

    return list_paths(default_store())


@st.cache_resource(show_spinner=False)
def _loaded_fingerprints() -> dict[str, str]:
    """By ref, the fingerprint of models that jobs were started with: a hub model's is known only once it was loaded."""
    return {}


@holds_models
@st.cache_resource(max_entries=2, ttl=900, show_spinner=False)
def _tracer(
    _loaded: LoadedModel, fingerprint: str, device: str, dtype: str, ids: tuple[int, ...], top_k: int, surrogate: str
) -> Tracer:
    from ivcore.paths import Tracer

    return Tracer(_loaded, ids, top_k=top_k, surrogate=surrogate)


@st.cache_data(max_entries=64, show_spinner=False)
def _vocabulary_size(ref: str, files: tuple[tuple[str, int, int], ...]) -> int | None:
    from huggingface_hub import try_to_load_from_cache

    from ivcore.models.registry import find_place

    place = find_place(ref)
    path = place.folder / "config.json" if place.folder else try_to_load_from_cache(str(place.hub), "config.json")
    try:
        with open(str(path), encoding="utf-8") as file:
            size = json.load(file)["vocab_size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return size if isinstance(size, int) and size > 0 else None
