"""The badge on every page: does the model follow the instruction?  Read from finished runs, never computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from ivcore.models import load_model
from ivcore.prompts.tasks import load_task
from ivcore.runs import BehaviourRun, behaviour_request, run_behaviour
from ivcore.store import Store
from tests.app.conftest import APP
from ui.follows import follows_words
from ui.state import OTHER

Open = Callable[..., AppTest]
TASK = load_task("adj_ant")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of its own, without the bundled runs."""
    own = Store(tmp_path / "runs")
    monkeypatch.setattr("ivcore.store.default_store", lambda: own)
    return own


@pytest.fixture
def opened(folder: Path, store: Store) -> Open:
    def open_page(name: str, **parameters: str | list[str]) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=300)
        page.switch_page(f"pages/{name}.py")
        for key, value in ({"model": OTHER, "ref": str(folder)} | parameters).items():
            page.query_params[key] = value
        page.run()
        assert not page.exception
        return page

    return open_page


def badges(page: AppTest) -> list[tuple[str, dict[str, list[str]]]]:
    """Label and target of every badge."""
    found = [element.proto for element in page.get("page_link")]
    return [(link.label, parse_qs(link.query_string)) for link in found if "follow" in link.label]


def answer(folder: Path, store: Store, instruction: str = TASK.instruction, n: int = 12) -> BehaviourRun:
    request = replace(behaviour_request(TASK, n), instruction=instruction)
    return run_behaviour(store, load_model(str(folder), device="cpu"), request)


def test_without_answers_it_says_so_and_leads_there(opened: Open, folder: Path) -> None:
    (badge,) = badges(opened("patch", instruction=TASK.instruction))
    label, target = badge
    assert "not measured" in label and "%" not in label and "gray" in label
    assert target == {"model": [OTHER], "ref": [str(folder)], "tasks": ["adj_ant"], "task": ["adj_ant"]}


def test_it_shows_the_shares_of_the_run_over_most_samples(opened: Open, folder: Path, store: Store) -> None:
    answer(folder, store)
    run = answer(folder, store, n=20)
    (label, _), *more = badges(opened("patch", instruction=TASK.instruction))
    assert not more and follows_words(run, "this instruction") in label and "n 20" in label
    (label, _), *_ = badges(opened("sweep", task="adj_ant", samples="5", depth="1"))
    assert "n 20" in label


def test_a_wording_is_told_by_the_usual_one_and_another_instruction_by_none(
    opened: Open, folder: Path, store: Store
) -> None:
    answer(folder, store)
    ((label, _),) = badges(opened("patch", instruction=TASK.paraphrases[3]))
    assert "this task’s usual wording" in label and "n 12" in label
    answer(folder, store, TASK.paraphrases[3], n=7)
    ((label, _),) = badges(opened("patch", instruction=TASK.paraphrases[3]))
    assert "this instruction" in label and "n 7" in label
    ((label, target),) = badges(opened("patch", instruction="Sing <b>loud</b>."))
    assert "not measured" in label and "task" not in target


def test_a_model_that_cannot_do_it_is_marked(opened: Open, folder: Path, store: Store) -> None:
    assert answer(folder, store).adherence.ia.share == 0
    ((label, _),) = badges(opened("patch", instruction=TASK.instruction))
    assert "orange" in label and "0%" in label


def test_answers_of_a_model_whose_files_changed_do_not_count(
    opened: Open, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(folder, store)
    monkeypatch.setattr("ui.runs.fingerprint", lambda _: "0" * 64)
    ((label, _),) = badges(opened("patch", instruction=TASK.instruction))
    assert "not measured" in label
