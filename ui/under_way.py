"""The jobs that a page must still wait for.

A job can end while a page is being drawn, after the page looked for the result and before it asks whether the job runs.
Such a job counts as under way, so that the page is drawn once more, with the result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

import streamlit as st

from .worker import Job

__all__ = ["page_begins", "under_way"]

_BEGAN = "page began"


def page_begins() -> None:
    """Called where a page begins to be drawn, before it looks for any result."""
    st.session_state[_BEGAN] = time.monotonic()


def under_way(jobs: Iterable[Job | None]) -> tuple[Job, ...]:
    """Each of the jobs, once, that had not ended when this page began to be drawn."""
    began = st.session_state.get(_BEGAN, math.inf)
    return tuple({job.key: job for job in jobs if job is not None and not job.ended_before(began)}.values())
