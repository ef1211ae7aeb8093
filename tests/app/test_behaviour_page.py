"""The Behaviour page through Streamlit's AppTest: finished runs, missing ones, own files, free prompts, a judge."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import APP
from tests.app.driving import assert_one_sentence, button, finish, jobs
from tests.app.reading import plain, words
from ui.behaviour import runs as behaviour_runs
from ui.behaviour.table import ALL
from ui.state import OTHER
from ui.sweep.state import OWN_FILE
from ui.worker import State

PATIENCE = 120.0
TASKS = ["adj_ant", "can_fly"]
START = "Answer the missing prompts"
Open = Callable[..., AppTest]


@pytest.fixture
def open_page(folder: Path, cache: Path) -> Open:
    """Open the Behaviour page at an address with these parameters; by default on the tiny model."""

    def opened(**parameters: str | list[str]) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=300)
        page.switch_page("pages/behaviour.py")
        defaults: dict[str, str | list[str]] = {"model": OTHER, "ref": str(folder), "tasks": TASKS, "samples": "12"}
        for name, value in (defaults | parameters).items():
            page.query_params[name] = value
        return page.run()

    return opened


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Answers wait for this event."""
    import ivcore.runs

    go, real = threading.Event(), ivcore.runs.run_behaviour

    def slow(*arguments: object, **options: object) -> object:
        from ivcore.runs import Stopped

        while not go.wait(0.01):
            if options["should_stop"]():  # type: ignore[operator]
                raise Stopped
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("ivcore.runs.run_behaviour", slow)
    yield go
    go.set()


def said(page: AppTest) -> str:
    """The sentence with the free prompt's answer."""
    return next(plain(e.proto.body) for e in page.get("html") if "It answers" in e.proto.body)


def specs(page: AppTest) -> list[str]:
    return [json.dumps(json.loads(e.proto.spec), ensure_ascii=False) for e in page.get("vega_lite_chart")]


def bars(page: AppTest) -> dict[tuple[str, str], dict[str, object]]:
    """The rows of the first chart, by task and stage."""
    import pyarrow

    first = page.get("vega_lite_chart")[0]
    for dataset in first.proto.datasets:
        table = pyarrow.ipc.open_stream(dataset.data.data).read_all().to_pylist()
        if (table and "ema" in table[0]) or (table and "computed" in table[0]):
            return {(row["task"], row["stage"]): row for row in table}
    raise AssertionError("no chart of shares")


def answered(page: AppTest) -> AppTest:
    button(page, START).click().run()  # type: ignore[attr-defined]
    return finish(page)


def assert_whole(page: AppTest) -> None:
    assert not page.exception and not page.error, [element.value for element in page.error]
    assert page.dataframe and not any(START in found.label for found in page.button)


def test_what_is_missing_is_said_with_cost_and_command_and_nothing_starts(open_page: Open, folder: Path) -> None:
    before = len(jobs())
    page = open_page()
    assert not page.exception and not page.error and not page.dataframe
    text = words(page)
    assert "2 of 2 not computed" in text and "24 prompts of" in text and "No answers yet" in text
    assert any(f"--model {folder} --task adj_ant --samples 12" in code.value for code in page.code)
    assert len(jobs()) == before and not list(behaviour_runs.summaries())


def test_missing_prompts_are_answered_and_the_page_shows_the_engines_numbers(open_page: Open) -> None:
    page = answered(open_page())
    assert_whole(page)
    runs = {found.request.task: behaviour_runs.opened(found.key) for found in behaviour_runs.summaries()}
    assert runs.keys() == set(TASKS)
    for (task, _), row in bars(page).items():
        found = runs[task].adherence
        assert (row["ema"], row["ia"], row["n"]) == (found.ema.share, found.ia.share, 12)
        assert (row["ia_low"], row["ema_high"]) == (found.ia.low, found.ema.high)
    table, run = page.dataframe[0].value, runs["adj_ant"]
    assert table["query"].tolist() == [query for query, _ in run.request.items]
    assert table["normalised"].tolist() == [verdict.answer for verdict in run.adherence.verdicts]
    caption = words(page).rsplit("n = 12 prompts", 1)[1]
    assert all(part in caption for part in ("Wilson", "fingerprint", "cpu", "float32", "computed"))
    assert page.code[-1].value.endswith("--task adj_ant --samples 12 --json")


def test_finished_runs_open_without_loading_a_model(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    answered(open_page())
    before, loads = len(jobs()), []
    monkeypatch.setattr("ui.calls.is_light", lambda ref: False)
    monkeypatch.setattr("ui.calls.model", lambda *which: loads.append(which))
    page = open_page()
    assert_whole(page)
    assert loads == [] and len(jobs()) == before
    assert any("Load" in found.label for found in page.button), "asking oneself waits for a button"


def test_another_number_of_prompts_is_another_run(open_page: Open) -> None:
    answered(open_page())
    page = open_page(samples="5")
    assert "2 of 2 not computed" in words(page) and "10 prompts" in words(page)
    assert "1 of 3 not computed" in words(open_page(tasks=[*TASKS, "snarks"]))


def test_two_tabs_see_one_job_and_it_can_be_stopped(open_page: Open, held: threading.Event) -> None:
    first, second = open_page(samples="7"), open_page(samples="7")
    before = len(jobs())
    button(first, START).click().run()  # type: ignore[attr-defined]
    second.run()
    assert any(found.label == "Stop" for found in second.button) and len(jobs()) == before + 2
    button(second, "Stop").click().run()  # type: ignore[attr-defined]
    page = finish(first)
    assert {job.state for job in jobs()[-2:]} == {State.STOPPED}
    assert "Stopped" in plain(page.info[0].value) and not page.dataframe
    held.set()
    assert_whole(answered(page))


def test_a_failure_is_said_once_and_can_be_tried_again(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from ivcore.errors import StoreFullError

    def full(*_: object, **__: object) -> object:
        raise StoreFullError("There is no room left for runs; free some space.")

    page = open_page(samples="9")
    with monkeypatch.context() as patch:
        patch.setattr("ivcore.runs.run_behaviour", full)
        page = answered(page)
    assert_one_sentence(page, "no room left")
    assert_whole(answered(page))


def test_a_damaged_run_is_told_and_not_shown(open_page: Open, cache: Path) -> None:
    answered(open_page())
    arrays = sorted(cache.glob("[0-9a-f]*/arrays.npz"))[0]
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(bytes(content))
    behaviour_runs.opened.clear()
    page = open_page()
    assert not page.exception and "damaged" in plain(page.warning[0].value)
    assert "1 of 2 not computed" in words(page)
    assert_whole(answered(page))


def test_the_stages_of_a_family_stand_side_by_side(open_page: Open) -> None:
    page = open_page(model="OLMo-2 7B", stage="DPO", task="can_fly")
    assert not page.exception and not page.error
    assert {stage for _, stage in bars(page)} == {"base", "SFT", "DPO"}
    assert page.button_group(key="stage").value == "DPO" and page.selectbox(key="task").value == "can_fly"
    assert "6 of 6 not computed" in words(page)
    assert any("not on this machine" in plain(info.value) for info in page.info), "a download is agreed to first"
    assert not any(START in found.label for found in page.button)


def test_all_bundled_tasks_with_one_press(open_page: Open) -> None:
    from ivcore.prompts.tasks import all_task_names

    page = open_page()
    button(page, "All bundled tasks").click().run()  # type: ignore[attr-defined]
    assert not page.exception and {task for task, _ in bars(page)} == set(all_task_names())


def test_verdict_filter_and_search(open_page: Open) -> None:
    page = answered(open_page())
    (run,) = [behaviour_runs.opened(s.key) for s in behaviour_runs.summaries() if s.request.task == "adj_ant"]
    wrong = [i for i, verdict in enumerate(run.adherence.verdicts) if not verdict.valid]
    assert wrong, "a model with random weights is wrong"
    pills = page.button_group(key=f"verdict of {run.key}")
    assert pills.value == ALL
    pills.set_value("wrong kind").run()
    assert len(page.dataframe[0].value) == len(wrong)
    page.button_group(key=f"verdict of {run.key}").set_value(ALL).run()
    query = run.request.items[3][0]
    page.text_input(key="search answers").set_value(query.upper()).run()
    assert page.dataframe[0].value["query"].tolist() == [query]


def test_a_free_prompt_is_answered_token_by_token(open_page: Open, folder: Path) -> None:
    from ivcore.behaviour import answer_steps
    from ivcore.models import load_model
    from ivcore.prompts import prompt_ids

    page = open_page()
    text = "Adjective: hot. Answer:"
    page.text_area(key="prompt of adj_ant").set_value(text).run()
    assert not page.exception and not page.error
    model = load_model(str(folder))
    steps = answer_steps(model, prompt_ids(model.tokenizer, text))
    chips = page.button_group(key=f"step of {len(steps)}")
    assert len(chips.options) == len(steps)
    chips.set_value(len(steps) - 1).run()
    last = specs(page)[-1]
    assert f"Step {len(steps)}:" in last
    assert page.query_params["prompt"] in (text, [text])
    page.text_area(key="prompt of adj_ant").set_value("").run()
    assert "prompt" not in page.query_params


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("prompt", "empty")),
        ("   \n ", ("white space",)),
        ("x" * 100_000, ("100,000", "20,000")),
        ("long " * 900, ("512",)),
    ],
)
def test_a_hostile_prompt_gets_one_sentence(open_page: Open, text: str, parts: tuple[str, ...]) -> None:
    page = open_page()
    page.text_area(key="prompt of adj_ant").set_value(text).run()
    assert_one_sentence(page, *parts)
    assert page.code, "the rest of the page stays"


def test_markup_and_controls_in_a_prompt_are_read_as_text(open_page: Open) -> None:
    page = open_page(prompt="<img src=x onerror=alert(1)> \x00\x1b[31m **b** $x$ :material/x:")
    assert not page.exception and not page.error
    assert "It answers" in said(page)
    shown = [e.value for e in [*page.markdown, *page.caption]] + [e.proto.body for e in page.get("html")]
    assert not any("<img" in text for text in shown)


def test_a_permalink_brings_everything_back(open_page: Open) -> None:
    page = answered(open_page(task="can_fly"))
    page.text_area(key="prompt of can_fly").set_value("Say & think?").run()
    page.run()
    link = parse_qs(urlsplit(page.code[-2].value).query)
    assert link["tasks"] == TASKS and link["task"] == ["can_fly"] and link["prompt"] == ["Say & think?"]
    again = open_page(**{name: v if name == "tasks" else v[0] for name, v in link.items()})
    assert_whole(again)
    assert words(again) == words(page) and said(again) == said(page)
    again.selectbox(key="task").set_value("adj_ant").run()
    assert "antonym" in again.text_area(key="prompt of adj_ant").value, "another task begins with its own prompt"
    assert "prompt" not in again.query_params


def test_garbage_in_a_permalink_is_told_and_ignored(open_page: Open) -> None:
    page = open_page(
        tasks=["can_fly", "<b>none</b>"], samples="1000000", stage="x", task="nobody", dtype="int3", model="ivy"
    )
    told = " ".join(plain(warning.value) for warning in page.warning)
    assert all(part in told for part in ("<b>none</b>", "1000000", "nobody", "int3", "“x”"))
    assert not page.exception and not page.error


def test_nothing_chosen_is_asked_for(open_page: Open) -> None:
    page = open_page()
    page.multiselect(key="tasks").set_value([]).run()
    assert not page.exception and "at least one task" in page.info[0].value
    page.multiselect(key="tasks").set_value(TASKS).run()
    page.text_input(key="ref").set_value("").run()
    assert not page.exception and "Type the folder" in page.info[-1].value
    page.text_input(key="ref").set_value("/no/such/folder").run()
    assert_one_sentence(page, "/no/such/folder")


def test_an_own_file_is_asked_like_a_bundled_task(open_page: Open) -> None:
    script = "<script>alert(1)</script>"
    content = f"query,opposite,other\nbig,small,x\nhot,cold,y\n{script},slow,z\n"
    page = open_page(tasks=[OWN_FILE])
    page.file_uploader(key="task file").set_value(("mine.csv", content.encode(), "text/csv")).run()
    page.text_input(key="own instruction").set_value("Say the opposite.").run()
    assert not page.exception and not page.error
    page = answered(page)
    assert_whole(page)
    (run,) = [behaviour_runs.opened(found.key) for found in behaviour_runs.summaries()]
    assert run.request.task == "mine:opposite" and run.n_samples == 3
    assert [row.task for row in run.adherence.confusions] == ["other"], "the file's other column may be confused"
    assert "No permalink" in words(page)
    assert "--task-csv mine.csv" in page.code[-1].value and "--samples 3" in page.code[-1].value
    assert not any("<script" in element.value for element in [*page.markdown, *page.caption])


def test_a_bad_file_gets_one_sentence(open_page: Open) -> None:
    page = open_page(tasks=[OWN_FILE])
    page.file_uploader(key="task file").set_value(("mine.csv", b"word,a\nbig,small\n", "text/csv")).run()
    assert_one_sentence(page, "query")
    page.multiselect(key="tasks").set_value(TASKS).run()
    assert not page.error and not page.exception


def test_choices_follow_the_reader_from_page_to_page(open_page: Open) -> None:
    page = open_page(model="ivy", tasks=["can_fly", OWN_FILE])
    for name in ("stages", "behaviour", "sweep", "behaviour", "patch", "behaviour"):
        page.switch_page(f"pages/{name}.py").run()
        assert not page.exception and not page.error, name
    assert page.selectbox(key="model").value == "ivy"


def test_a_failing_self_check_is_said(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from ui import calls

    real = calls.verdict

    def failing(*which: object) -> object:
        report = real(*which)  # type: ignore[arg-type]
        return replace(report, passed=False, items=(replace(report.items[0], passed=False), *report.items[1:]))

    monkeypatch.setattr(calls, "verdict", failing)
    page = open_page()
    assert "fails its self-check" in plain(page.error[0].value)
