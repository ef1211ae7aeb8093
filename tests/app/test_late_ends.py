"""Nothing that was finished is overlooked, however late.

A job can end while its page is being drawn, after the page looked for the result: the page would offer to start what
was just finished, and stay so until somebody does something.  And a listing can be made between two changes of one tick
of the clock.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import APP
from tests.app.driving import button
from tests.app.tiny_folder import make_folder
from ui import runs, under_way, verdicts
from ui.paths.state import TASK
from ui.state import OTHER
from ui.worker import Job, State, Workshop

PATIENCE = 120.0
PAGES: dict[str, tuple[str, dict[str, str | list[str]]]] = {
    "models": ("Load and check", {}),
    "sweep": ("Start the sweep", {"task": "adj_ant", "samples": "6", "depth": "1"}),
    "behaviour": ("Answer the missing prompts", {"tasks": ["adj_ant"], "samples": "6"}),
    "geometry": ("Compute what is missing", {"compare": ["num_next", "verb_past"]}),
    "paths": ("Follow the paths", {"look": TASK, "task": "adj_ant", "samples": "2"}),
    "heads": ("Compute what is missing", {"task": "adj_comp"}),
}


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a job gets it when it has just ended."""
    find = Workshop.find

    def found_late(self: Workshop, key: str) -> Job | None:
        job, deadline = find(self, key), time.monotonic() + PATIENCE
        while job is not None and not job.ended:
            assert time.monotonic() < deadline, job.title
            time.sleep(0.005)
        return job

    monkeypatch.setattr(Workshop, "find", found_late)


@pytest.mark.parametrize("name", PAGES)
def test_the_result_is_shown(
    name: str, late: None, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.heads.runs.SAMPLES", 2)
    start, parameters = PAGES[name]
    page = AppTest.from_file(str(APP), default_timeout=300)
    page.switch_page(f"pages/{name}.py")
    # Of its own: the jobs of other tests ended long ago.
    mine = make_folder(tmp_path / "late", n_layers=2, seed=len(name))
    for key, value in ({"model": OTHER, "ref": str(mine)} | parameters).items():
        page.query_params[key] = value
    page.run()
    button(page, start).click().run()
    assert not page.exception and not page.error
    assert start not in [found.label for found in page.button], "it is offered again"
    assert not any(found.label == "Stop" for found in page.button)


def test_what_happens_within_one_tick_of_the_clock_is_seen(cache: Path) -> None:
    """A folder's time of change is that of the last tick: a listing made between two changes of one tick is old."""
    notes = cache / "notes"
    notes.mkdir(parents=True)
    for folder, stamp in ((cache, runs.store_stamp), (notes, verdicts._stamp)):
        before, then = stamp(), folder.stat().st_mtime_ns
        assert stamp() == before
        (folder / "new").mkdir()
        os.utime(folder, ns=(then, then))
        assert stamp() != before


def test_what_ends_while_a_page_is_drawn_is_under_way_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way.st, "session_state", {})
    ran, never_ran = (Job(name, name, "lane", lambda *_: None) for name in "ab")
    assert under_way.under_way([ran, None, never_ran, ran]) == (ran, never_ran)
    under_way.page_begins()
    never_ran.stop()
    ran.run()
    assert ran.state is State.DONE and never_ran.state is State.STOPPED
    assert under_way.under_way([ran, never_ran]) == (ran,), "what never ran leaves no result to look for"
    under_way.page_begins()
    assert under_way.under_way([ran, never_ran]) == ()
