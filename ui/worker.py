"""Work that goes on while pages come and go: one job for each run key in the whole server.

1. ``Workshop.start`` queues a job, or returns the one that already computes this key: several browser tabs see the same
   job and none starts it twice.
2. A *lane* is what only one job may use at a time (a loaded model); the jobs of a lane run one after the other, in the
   order in which they were started.
3. A job runs in a daemon thread that never calls ``st.*``.  Pages read ``state``, ``progress`` and ``elapsed``.
4. ``Job.stop`` asks; the work sees it at its next step and ends there.  What it had finished is its own to keep.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from ivcore.runs import Progress

__all__ = ["Job", "State", "Work", "Workshop", "workshop"]

Work = Callable[[Callable[["Progress"], None], Callable[[], bool]], object]
"""Called with ``on_progress`` and ``should_stop``."""

FAULT = "Something went wrong inside the app; the server's log has the details. What was finished is kept: start again."
_ENDED_KEPT = 100

_LOG = logging.getLogger(__name__)


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


_ENDED = (State.DONE, State.STOPPED, State.FAILED)


class Job:
    """One piece of work.  Made by ``Workshop.start``."""

    def __init__(self, key: str, title: str, lane: str, work: Work) -> None:
        self.key, self.title, self.lane = key, title, lane
        self._work: Work | None = work
        self._lock = threading.Lock()
        self._state = State.QUEUED
        self._wish = threading.Event()
        self._begun: float | None = None
        self._over: float | None = None
        self.progress: Progress | None = None
        """What the work reported last; None before its first report."""
        self.message: str | None = None
        """Why it failed, for the user."""

    @property
    def state(self) -> State:
        """Where the job is now."""
        return self._state

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self._state in _ENDED

    @property
    def elapsed(self) -> float:
        """Seconds of work so far; 0 while it waits."""
        if self._begun is None:
            return 0.0
        return (time.monotonic() if self._over is None else self._over) - self._begun

    def ended_before(self, moment: float) -> bool:
        """Whether it had ended at this time of the monotonic clock."""
        return self.ended and (self._over is None or self._over < moment)

    def stop(self) -> None:
        """Ask the job to end; one that still waits ends at once, one that has ended stays as it is."""
        with self._lock:
            self._wish.set()
            if self._state is State.QUEUED:
                self._state, self._work = State.STOPPED, None
            elif self._state is State.RUNNING:
                self._state = State.STOPPING

    def run(self) -> None:
        """Do the work in this thread, unless it was stopped while it waited."""
        with self._lock:
            if self._state is not State.QUEUED:
                return
            self._state, self._begun = State.RUNNING, time.monotonic()
            # Not kept beyond its run: it holds a model, and ended jobs are remembered for their messages.
            work, self._work = self._work, None
        assert work is not None
        state, message = self._outcome(work)
        del work
        with self._lock:
            self._over = time.monotonic()
            self._state, self.message = state, message

    def _outcome(self, work: Work) -> tuple[State, str | None]:
        from ivcore.errors import ExplorerError
        from ivcore.runs import Stopped

        try:
            work(self._report, self._wish.is_set)
        except Stopped:
            return State.STOPPED, None
        except ExplorerError as err:
            return State.FAILED, str(err)
        except Exception:
            _LOG.exception("The job %s failed", self.title)
            return State.FAILED, FAULT
        return State.DONE, None

    def _report(self, progress: Progress) -> None:
        self.progress = progress


class Workshop:
    """All jobs of the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._lanes: dict[str, deque[Job]] = {}

    def start(self, key: str, title: str, lane: str, work: Work) -> Job:
        """The job of this key that has not ended, else a new one at the end of its lane."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and not job.ended:
                return job
            job = Job(key, title, lane, work)
            self._forget()
            self._jobs.pop(key, None)
            self._jobs[key] = job
            if lane in self._lanes:
                self._lanes[lane].append(job)
            else:
                self._lanes[lane] = deque([job])
                threading.Thread(target=self._serve, args=(lane,), name=f"jobs of {lane[:40]}", daemon=True).start()
            return job

    def find(self, key: str) -> Job | None:
        """The job last started under this key."""
        return self._jobs.get(key)

    def before(self, job: Job) -> tuple[Job, ...]:
        """The jobs of its lane that come before ``job`` and have not ended, in order."""
        with self._lock:
            lane = [other for other in self._jobs.values() if other.lane == job.lane and not other.ended]
        return tuple(lane[: lane.index(job)]) if job in lane else ()

    def is_busy(self, lane: str) -> bool:
        """Whether a job of the lane has not ended."""
        with self._lock:
            return any(job.lane == lane and not job.ended for job in self._jobs.values())

    def _serve(self, lane: str) -> None:
        """Run the lane's jobs until none is left."""
        while True:
            with self._lock:
                if not self._lanes[lane]:
                    del self._lanes[lane]
                    return
                job = self._lanes[lane].popleft()
            job.run()

    def _forget(self) -> None:
        """Drop the oldest ended jobs beyond those that are kept for their messages."""
        ended = [key for key, job in self._jobs.items() if job.ended]
        for key in ended[: max(0, len(ended) - _ENDED_KEPT)]:
            del self._jobs[key]


@st.cache_resource(show_spinner=False)
def workshop() -> Workshop:
    """The server's only workshop."""
    return Workshop()
