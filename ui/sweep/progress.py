"""Before a sweep starts: what it will cost, and the button.  While it runs: how far it is, and a way to stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from .. import runs
from ..text import count, duration, markdown, operations
from ..worker import Job, State, workshop

if TYPE_CHECKING:
    from ivcore.models import LoadedModel
    from ivcore.runs import SweepRequest

__all__ = ["offer", "watch"]

_EVERY = 0.7
"""Seconds between two looks at a running job."""


def offer(loaded: LoadedModel, request: SweepRequest, last: Job | None, *, label: str = "Start the sweep") -> None:
    """What the sweep costs and a button that starts it; said first how the last attempt ended."""
    if last is not None and last.state is State.FAILED:
        st.error(markdown(last.message), icon=":material/error:")
    kept = last is not None and last.state is State.STOPPED and last.progress is not None
    if last is not None and kept and last.progress is not None:
        done = f"{count(last.progress.samples_done)} of {count(last.progress.n_samples)} samples"
        st.info(f"Stopped after {done}. These are kept: the sweep goes on from there.", icon=":material/pause_circle:")
    with st.spinner("Estimating the cost"):
        cost = runs.cost(loaded, request)
    with st.container(border=True):
        left, middle, right = st.columns(3)
        left.metric("Layer sets × samples", f"{count(cost.n_sets)} × {count(cost.n_samples)}")
        middle.metric("Work", operations(cost.operations), help="Multiplications and additions that cannot be avoided.")
        right.metric(
            f"Time on this {'GPU' if loaded.device == 'cuda' else 'machine'}",
            f"about {duration(cost.seconds)}",
            help="Estimated from how fast this device multiplies matrices just now.",
        )
        st.caption("The sweep runs in the background, can be stopped and resumed, and is kept once it is done.")
        name = "Resume the sweep" if kept else label
        if st.button(name, type="primary", icon=":material/play_arrow:", key=f"start {request.convention}"):
            runs.start(loaded, request)
            st.rerun()


@st.fragment(run_every=_EVERY)
def watch(job: Job) -> None:
    """The job's progress, drawn anew by itself; when the job ends, the page runs once more."""
    if job.ended:
        st.rerun()
    with st.container(border=True):
        if job.state is State.QUEUED:
            _waiting(job)
        else:
            _running(job)
        st.button(
            "Stop",
            icon=":material/stop_circle:",
            on_click=job.stop,
            disabled=job.state is State.STOPPING,
            key=f"stop {job.key}",
            help="Samples that are finished are kept; the sweep can be resumed later.",
        )


def _waiting(job: Job) -> None:
    ahead = workshop().before(job)
    others = f"{count(len(ahead))} other sweep{'s' if len(ahead) != 1 else ''}"
    first = f", now: {markdown(ahead[0].title)}" if ahead else ""
    st.progress(0.0, f"Waiting for {others} on this model{first}")


def _running(job: Job) -> None:
    progress = job.progress
    if progress is None:
        st.progress(0.0, f"Reading the prompts · {duration(job.elapsed)}")
        return
    done = f"{count(progress.samples_done)} of {count(progress.n_samples)} samples"
    at = f" · next samples at layer {progress.layer} of {progress.n_layers}" if progress.layer else ""
    left = "" if progress.remaining is None else f" · about {duration(progress.remaining)} left"
    ending = "Stopping" if job.state is State.STOPPING else "Sweeping"
    st.progress(min(progress.share, 1.0), f"{ending}: {done}{at} · {duration(job.elapsed)} elapsed{left}")
