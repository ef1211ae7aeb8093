"""Finished answers for the Behaviour page, what is missing, and the jobs that compute it.

1. ``find_panels``: for every task and stage the finished run, found without loading the model.  For a model whose
   files are here, the run must carry their fingerprint.
2. ``start``: one job for each missing run; the workshop never computes one twice.
3. ``steps``: one greedy answer token by token, on a loaded model.

Runs are immutable and shared between sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from .. import runs
from ..worker import Job, workshop
from .state import BehaviourInputs

if TYPE_CHECKING:
    from ivcore.behaviour import Step
    from ivcore.models import LoadedModel
    from ivcore.runs import BehaviourRequest, BehaviourRun, BehaviourSummary, Progress

__all__ = ["Panel", "find_panels", "job", "n_tokens", "opened", "start", "steps", "stored", "summaries"]


@dataclass(frozen=True)
class Panel:
    """One task on one stage of the model."""

    task: str
    """As the form names it."""
    stage: str
    ref: str
    request: BehaviourRequest
    run: BehaviourRun | None
    """None where it was not computed, or is damaged."""
    damaged: str | None = None
    """What is wrong with the run on disk."""


def find_panels(inputs: BehaviourInputs, requests: Mapping[str, BehaviourRequest]) -> tuple[Panel, ...]:
    """Every task on every stage, task by task."""
    return tuple(
        _panel(task, stage, ref, inputs.dtype, request)
        for task, request in requests.items()
        for stage, ref in inputs.stages
    )


def summaries() -> tuple[BehaviourSummary, ...]:
    """All finished answers, newest first."""
    return _summaries(runs.store_stamp())


def stored(ref: str, dtype: str, request: BehaviourRequest) -> BehaviourRun | None:
    """The newest finished run of this request on this model, if there is one.

    Raises:
        DamagedRunError: it is there and damaged.
        ModelError: the model's own folder cannot be read.
    """
    named = [s for s in summaries() if (s.ref, s.dtype, s.request.task) == (ref, dtype, request.task)]
    alike = [summary for summary in named if summary.request == request]
    if alike and (here := runs.fingerprint(ref)) is not None:
        alike = [summary for summary in alike if summary.fingerprint == here]
    return opened(alike[0].key) if alike else None


@st.cache_resource(max_entries=256, show_spinner=False)
def opened(key: str) -> BehaviourRun:
    """Finished answers. Raises DamagedRunError where they are not as they were written."""
    from ivcore.errors import DamagedRunError
    from ivcore.runs import open_behaviour
    from ivcore.store import default_store

    if (run := default_store().find(key)) is None:
        raise DamagedRunError(f"The run {key[:12]} is no longer there; compute it again.")
    return open_behaviour(run)


def job(panel: Panel, dtype: str) -> Job | None:
    """The job that computes the panel, or that did last; None also for a hub model not loaded so far."""
    here = runs.fingerprint(panel.ref) or _loaded_fingerprints().get(panel.ref)
    return None if here is None else workshop().find(_key(panel.request, dtype, here))


def start(loaded: LoadedModel, panel: Panel) -> Job:
    """Compute the panel in the background; where that is already under way, return the job that does it."""
    request = panel.request

    def work(on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]) -> object:
        from ivcore.runs import run_behaviour
        from ivcore.store import default_store

        return run_behaviour(default_store(), loaded, request, on_progress=on_progress, should_stop=should_stop)

    _loaded_fingerprints()[panel.ref] = loaded.fingerprint
    lane = f"{loaded.fingerprint} {loaded.device} {loaded.dtype}"
    title = f"{request.task} on {loaded.ref}"
    return workshop().start(_key(request, loaded.dtype, loaded.fingerprint), title, lane, work)


def n_tokens(loaded: LoadedModel, requests: Sequence[BehaviourRequest]) -> int:
    """How many tokens the prompts of these requests have."""
    keys = tuple(_key(request, loaded.dtype, loaded.fingerprint) for request in requests)
    return sum(_n_tokens(loaded, request, key) for request, key in zip(requests, keys, strict=True))


@st.cache_data(max_entries=128, show_spinner=False)
def steps(_loaded: LoadedModel, fingerprint: str, device: str, dtype: str, text: str) -> tuple[Step, ...]:
    """The answer to a prompt, token by token.

    Raises:
        PromptError: the text is no prompt for this model.
    """
    from ivcore.behaviour import answer_steps
    from ivcore.prompts import prompt_ids

    with _loaded.lock:
        ids = prompt_ids(_loaded.tokenizer, text)
    return answer_steps(_loaded, ids)


def _panel(task: str, stage: str, ref: str, dtype: str, request: BehaviourRequest) -> Panel:
    from ivcore.errors import DamagedRunError

    try:
        return Panel(task, stage, ref, request, stored(ref, dtype, request))
    except DamagedRunError as err:
        return Panel(task, stage, ref, request, None, str(err))


def _key(request: BehaviourRequest, dtype: str, fingerprint: str) -> str:
    """The name under which the run is, or will be, stored."""
    from ivcore.store import run_key

    return run_key(request.document(dtype), fingerprint)


@st.cache_resource(max_entries=4, show_spinner=False)
def _summaries(stamp: runs.Stamp) -> tuple[BehaviourSummary, ...]:
    from ivcore.runs import list_behaviours
    from ivcore.store import default_store

    return list_behaviours(default_store())


@st.cache_resource(show_spinner=False)
def _loaded_fingerprints() -> dict[str, str]:
    """By ref, the fingerprint of models that jobs were started with: a hub model's is known only once it was loaded."""
    return {}


@st.cache_data(max_entries=512, show_spinner=False)
def _n_tokens(_loaded: LoadedModel, _request: BehaviourRequest, key: str) -> int:
    from ivcore.prompts import prompt_ids

    with _loaded.lock:
        prompts = (f"{_request.instruction} {query}" for query, _ in _request.items)
        return sum(len(prompt_ids(_loaded.tokenizer, prompt)) for prompt in prompts)
