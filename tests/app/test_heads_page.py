"""The Heads page through Streamlit's AppTest: finished and missing traces, each way to compare, bad input."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ivcore.heads import head_activity
from ivcore.models import load_model
from ivcore.prompts.tasks import load_task
from ivcore.runs import PathsRun, head_use, run_paths, task_paths_request
from ivcore.store import Store
from tests.app.conftest import APP
from tests.app.driving import assert_one_sentence, rows
from tests.app.reading import plain, words
from ui.heads.state import EXCESS, KS, POSITIONS, STAGES
from ui.paths import runs as paths_runs
from ui.state import OTHER
from ui.worker import workshop

N = 8
N_LISTED = 2
PATIENCE = 60.0
SCRIPT = "<script>window.hacked=1</script>"
START = "Compute what is missing"
Open = Callable[..., AppTest]
Traces = dict[tuple[str, int], PathsRun]


@pytest.fixture(scope="module")
def traces(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Traces]:
    """A store with both contrastive tasks at k = 1 and one of them at k = 2, on the tiny model."""
    own, model, found = tmp_path_factory.mktemp("finished") / "runs", load_model(str(folder)), {}
    for task, k, n in (("adj_comp", 1, N), ("adj_ant", 1, N), ("adj_comp", 2, 4)):
        request = task_paths_request(load_task(task), n, k, sources="from_before", n_listed=N_LISTED)
        found[task, k] = run_paths(Store(own), model, request)
    return own, found


@pytest.fixture
def open_page(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the Heads page at an address with these parameters; by default on the tiny model."""
    monkeypatch.setattr("ui.heads.runs.SAMPLES", 3)

    def opened(**parameters: str) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=300)
        page.switch_page("pages/heads.py")
        for name, value in ({"model": OTHER, "ref": str(folder), "task": "adj_comp"} | parameters).items():
            page.query_params[name] = value
        return page.run()

    return opened


@pytest.fixture
def ready(open_page: Open, cache: Path, traces: tuple[Path, Traces], monkeypatch: pytest.MonkeyPatch) -> Open:
    """The same where the traces are finished; nothing is traced again."""
    shutil.copytree(traces[0], cache)
    paths_runs.opened.clear()
    monkeypatch.setattr("ui.paths.runs.start", lambda *_: pytest.fail("traced again"))
    return open_page


def maps(page: AppTest) -> list[np.ndarray[Any, Any]]:
    """What the maps of the sides show, head after head; each once."""
    found = {str([row["shade"] for row in table]): table for table in rows(page, "shade", "active")}
    return [np.array([row["shade"] for row in table]) for table in found.values()]


def activity(run: PathsRun, offset: int = 0) -> np.ndarray[Any, Any]:
    return head_activity(head_use(run, offset)).mean.ravel()


def assert_whole(page: AppTest) -> None:
    assert not page.exception and not page.error, [element.value for element in page.error]
    assert rows(page, "shade", "active")


def warned(page: AppTest) -> str:
    return " ".join(plain(element.value) for element in page.warning)


def test_what_is_missing_is_said_with_its_cost_and_computed_on_a_click(open_page: Open) -> None:
    before = len(workshop()._jobs)
    page = open_page()
    assert not page.exception and not page.error
    text = words(page)
    assert "2 of 2 not computed: adj_comp and adj_ant" in text.replace("**", "")
    assert "6 prompts, paths from the token before T_inst" in text and "going by the first prompt" in text
    assert any('sources = "from_before"' in code.value and "samples = 3" in code.value for code in page.code)
    assert len(workshop()._jobs) == before and not paths_runs.summaries(), "nothing starts unasked"

    next(found for found in page.button if START in found.label).click().run()
    deadline = time.monotonic() + PATIENCE
    while not all(job.ended for job in workshop()._jobs.values()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    page.run()
    assert_whole(page)
    assert len(paths_runs.summaries()) == 2 and START not in [found.label for found in page.button]
    assert "n = 3 prompts" in words(page)
    assert "at least four prompts" in plain(page.info[0].value), "too few for the circuit selector"


def test_two_tasks_open_with_their_numbers(ready: Open, traces: tuple[Path, Traces]) -> None:
    page = ready()
    assert_whole(page)
    shown = maps(page)
    for task, found in zip(("adj_comp", "adj_ant"), shown, strict=True):
        assert found == pytest.approx(activity(traces[1][task, 1]))
    (difference,) = rows(page, "difference", "first", "second")[:1]
    assert [row["shade"] for row in difference] == pytest.approx(shown[1] - shown[0])
    text = words(page)
    assert "Active heads of 16: adj_comp" in text and "in both" in text
    for task in ("adj_comp", "adj_ant"):
        assert f"{task}: n = {len(head_use(traces[1][task, 1]).shares)} prompts" in text
    assert all(part in text for part in ("fingerprint", "cpu", "float32", "computed 2", "as defined", "local files"))
    assert rows(page, "likeness", "series") and rows(page, "r", "words") and rows(page, "jaccard", "low")
    command = page.code[-1].value.splitlines()
    assert len(command) == 2 and "--task adj_comp --top-k 1 --samples 8 --json" in command[0]


def test_the_head_has_its_numbers_paths_and_attention(ready: Open, traces: tuple[Path, Traces]) -> None:
    page = ready(head="2.1", sample="2")
    assert_whole(page)
    run = traces[1]["adj_comp", 1]
    found = head_activity(head_use(run)).mean[2, 1]
    assert f"activity {found:.3f}" in words(page)
    looks = rows(page, "looks", "weight")
    n = len(run.samples[1].tokens)
    assert len(looks[0]) == n * (n + 1) // 2
    assert sum(row["weight"] for row in looks[0]) == pytest.approx(n, abs=1e-4), "each row sums to one"
    for table in page.dataframe:
        if "rank" in table.value:
            assert table.value["rank"].is_monotonic_increasing and len(table.value) <= 20
    assert "head=2.1" in page.code[0].value and "sample=2" in page.code[0].value


def test_positions_and_values_of_k_come_from_the_address(ready: Open, traces: tuple[Path, Traces]) -> None:
    page = ready(by=POSITIONS, offset="1", offset2="-1")
    assert_whole(page)
    for offset, found in zip((-1, 1), maps(page), strict=True):
        assert found == pytest.approx(activity(traces[1]["adj_comp", 1], offset))
    assert "More than their prompts?" in [header.value for header in page.subheader]
    page = ready(by=KS, value=EXCESS, threshold="0.4")
    assert_whole(page)
    use = head_use(traces[1]["adj_comp", 2])
    assert maps(page)[1] == pytest.approx((use.shares.mean(0) - use.chance.mean(0)).ravel())
    assert "threshold=0.4" in page.code[0].value and "k2=2" in page.code[0].value


def test_one_side_alone_is_shown_and_the_other_offered(ready: Open) -> None:
    page = ready(by=KS, k2="3")
    assert_whole(page)
    assert len(maps(page)) == 1 and not rows(page, "difference", "first", "second")
    assert "1 of 2 not computed: k = 3" in words(page).replace("**", "")


def test_a_damaged_run_is_told_and_not_drawn(ready: Open, cache: Path, traces: tuple[Path, Traces]) -> None:
    key = traces[1]["adj_ant", 1].key
    (hit,) = [path for path in cache.iterdir() if path.name.startswith(key[:12])]
    for array in hit.glob("*.npz"):
        array.write_bytes(array.read_bytes()[:-40])
    page = ready()
    assert_whole(page)
    assert key[:12] in warned(page) and "It is not shown" in warned(page)
    assert len(maps(page)) == 1


def test_a_source_without_a_path_is_told(
    open_page: Open, cache: Path, traces: tuple[Path, Traces], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(traces[0], cache)
    monkeypatch.setattr("ui.paths.runs.opened", lambda key: _without_high(traces[1], key))
    page = open_page()
    assert not page.exception and not page.error
    assert "adj_comp: None of the 8 prompts has a high-ranking path" in warned(page) and not page.dataframe


def _without_high(found: Traces, key: str) -> PathsRun:
    run = next(run for run in found.values() if run.key == key)
    none = np.zeros_like(run.n_high_ranking)
    return replace(run, key=f"none {key}", arrays=run.arrays | {"n_high_ranking": none})


def test_what_cannot_be_compared_is_said(ready: Open) -> None:
    for expected, parameters in {
        "one stage only": {"by": STAGES},
        "two different positions": {"by": POSITIONS, "offset2": "0"},
        "two different values of k": {"by": KS, "k2": "1"},
        "Type the folder": {"ref": ""},
    }.items():
        page = ready(**parameters)
        assert not page.exception and not page.error
        assert expected in plain(page.info[0].value)


def test_garbage_in_a_permalink_is_told_and_ignored(ready: Open) -> None:
    page = ready(by=SCRIPT, task=SCRIPT, k="0", offset="7", value="soul", threshold="9", head="99.1", sample="77")
    assert_whole(page)
    for part in (SCRIPT, "“0”", "“7”", "“soul”", "“9”", "“99.1”", "“77”"):
        assert part[:12] in warned(page), part
    assert_whole(ready(k="9" * 30, threshold="nan", sample="-1", surrogate=SCRIPT))


def test_a_model_that_is_nowhere_is_one_sentence(open_page: Open) -> None:
    assert_one_sentence(open_page(ref="/no/such/folder"), "/no/such/folder")
    assert_one_sentence(open_page(ref=SCRIPT), "script")
