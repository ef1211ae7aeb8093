"""What the tests of several pages do with a page: read its charts, click, wait for its jobs, expect an error."""

from __future__ import annotations

import time
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.app.reading import plain
from ui.worker import Job, workshop

__all__ = ["assert_one_sentence", "button", "finish", "jobs", "rows"]

PATIENCE = 120.0


def rows(page: AppTest, *columns: str) -> list[list[dict[str, Any]]]:
    """The data of every chart that has these columns."""
    import pyarrow

    found = []
    for chart in page.get("vega_lite_chart"):
        for dataset in chart.proto.datasets:
            table = pyarrow.ipc.open_stream(dataset.data.data).read_all().to_pylist()
            if table and set(columns) <= table[0].keys():
                found.append(table)
    return found


def button(page: AppTest, label: str) -> Any:
    return next(found for found in page.button if label in found.label)


def jobs() -> list[Job]:
    return list(workshop()._jobs.values())


def finish(page: AppTest) -> AppTest:
    """Wait for the server's jobs, then let the page look again."""
    deadline = time.monotonic() + PATIENCE
    while not all(job.ended for job in jobs()):
        assert time.monotonic() < deadline, [job.state for job in jobs()]
        time.sleep(0.02)
    return page.run()


def assert_one_sentence(page: AppTest, *parts: str) -> None:
    assert not page.exception
    (found,) = [plain(element.value) for element in page.error]
    assert all(part in found for part in parts), found
    assert "Traceback" not in found and "\n" not in found and len(found) < 600
