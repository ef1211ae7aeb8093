"""How far several jobs of the Behaviour page are, a way to stop them, and how they ended."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ..text import count, duration, markdown
from ..worker import Job, State

__all__ = ["said", "watch"]

_EVERY = 0.7
"""Seconds between two looks at running jobs."""


@st.fragment(run_every=_EVERY)
def watch(jobs: tuple[Job, ...], doing: str, unit: str) -> None:
    """Progress of these jobs, drawn anew by itself; when one ends, the page runs once more.

    Args:
        jobs: that were under way when the page began.
        doing: what they do, such as ``Answering``.
        unit: what they count, such as ``prompts``.
    """
    going = [job for job in jobs if not job.ended]
    if len(going) < len(jobs):
        st.rerun()
    now = next((job for job in going if job.state is not State.QUEUED), going[0])
    stopping = any(job.state is State.STOPPING for job in going)
    words = f"{'Stopping' if stopping else doing} {markdown(now.title)}"
    if now.progress is not None:
        words += f": {count(now.progress.samples_done)} of {count(now.progress.n_samples)} {unit}"
    if len(going) > 1:
        words += f" · {count(len(going) - 1)} more to follow"
    share = sum(job.progress.share if job.progress else 0.0 for job in jobs) / len(jobs)
    with st.container(border=True):
        st.progress(min(share, 1.0), f"{words} · {duration(now.elapsed)}")
        st.button(
            "Stop",
            icon=":material/stop_circle:",
            on_click=_stop,
            args=(going,),
            disabled=stopping,
            key=f"stop {jobs[0].key}",
            help="What is finished is kept.",
        )


def said(ended: Sequence[Job], kept: str) -> None:
    """How the last attempts ended, each thing once; ``kept`` is the sentence that follows a stop."""
    for message in dict.fromkeys(job.message for job in ended if job.state is State.FAILED and job.message):
        st.error(markdown(message), icon=":material/error:")
    if any(job.state is State.STOPPED for job in ended):
        st.info(f"Stopped. {kept}", icon=":material/pause_circle:")


def _stop(jobs: Sequence[Job]) -> None:
    """The last first, so that none begins while the others are told."""
    for job in reversed(jobs):
        job.stop()
