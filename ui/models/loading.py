"""Loading and checking a model in the background: one after the other, with its progress, and a way to stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from .. import calls
from ..alive import alive
from ..text import duration, markdown
from ..worker import Job, State, workshop
from .listing import size_words
from .state import ModelsInputs

if TYPE_CHECKING:
    from ivcore.models import LoadProgress
    from ivcore.runs import Progress

__all__ = ["job", "start", "watch"]

_EVERY = 0.5
"""Seconds between two looks at a job."""
_LANE = "loading models"
_DOING = {"download": "Fetching", "read": "Reading"}


def job(inputs: ModelsInputs) -> Job | None:
    """The job that loads and checks the model, or that did last."""
    return workshop().find(_key(inputs))


def start(inputs: ModelsInputs) -> Job:
    """Load and check the model in the background."""
    models, told, key = alive(), _told(), _key(inputs)

    def work(_: Callable[[Progress], None], should_stop: Callable[[], bool]) -> object:
        from ivcore.runs import Stopped, checked
        from ivcore.store import default_store

        def tell(now: LoadProgress | str) -> None:
            if should_stop():
                raise Stopped
            told[key] = now

        try:
            tell("Looking at the files")
            loaded = calls.load(models, inputs.ref, inputs.device, inputs.dtype, tell)
            tell("Checking it against plain transformers")
            return checked(default_store(), loaded).passed
        finally:
            told.pop(key, None)

    return workshop().start(key, f"Loading {inputs.ref}", _LANE, work)


@st.fragment(run_every=_EVERY)
def watch(found: Job) -> None:
    """The job's progress, drawn anew by itself; when the job ends, the page runs once more."""
    if found.ended:
        st.rerun()
    with st.container(border=True):
        share, words = _progress_words(found, _told().get(found.key, "Beginning"))
        st.progress(share, markdown(f"{words} · {duration(found.elapsed)}"))
        st.button(
            "Stop",
            icon=":material/stop_circle:",
            on_click=found.stop,
            disabled=found.state is State.STOPPING,
            key=f"stop {found.key}",
            help="Files that were fetched whole are kept. A check that has begun is brought to its end.",
        )


def _progress_words(found: Job, told: LoadProgress | str) -> tuple[float, str]:
    """The share done, and what is being done."""
    if found.state is State.QUEUED:
        ahead = workshop().before(found)
        return 0.0, f"Waiting for its turn{f', now: {ahead[0].title}' if ahead else ''}"
    if found.state is State.STOPPING:
        return 0.0, "Stopping"
    if isinstance(told, str):
        return 0.0, told
    doing = _DOING[told.stage]
    if not told.total:
        return 0.0, f"{doing}: {size_words(told.done)}"
    return min(told.done / told.total, 1.0), f"{doing}: {size_words(told.done)} of {size_words(told.total)}"


def _key(inputs: ModelsInputs) -> str:
    which = calls.which(inputs.ref, inputs.device, inputs.dtype)
    return f"load {which.device} {which.dtype} {which.ref}"


@st.cache_resource(show_spinner=False)
def _told() -> dict[str, LoadProgress | str]:
    """By job, what is being done now, and how much of it where that is known."""
    return {}
