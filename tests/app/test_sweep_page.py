"""The Task sweep page through Streamlit's AppTest: cost, start, progress, result, own files, and what goes wrong."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import APP
from tests.app.driving import assert_one_sentence, finish, jobs
from tests.app.reading import plain, words
from ui.state import OTHER
from ui.sweep.state import OWN_FILE
from ui.worker import State

PATIENCE = 120.0
SMALL = {"task": "adj_ant", "samples": "6", "depth": "2"}
Open = Callable[..., AppTest]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own."""
    monkeypatch.setenv("IVCORE_CACHE", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def open_sweep(folder: Path, cache: Path) -> Open:
    """Open the Task sweep page at an address with these parameters; by default on the tiny model."""

    def opened(**parameters: str) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=300)
        page.switch_page("pages/sweep.py")
        for name, value in ({"model": OTHER, "ref": str(folder)} | SMALL | parameters).items():
            page.query_params[name] = value
        return page.run()

    return opened


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Sweeps wait for this event after their first report."""
    import ivcore.runs

    go, real = threading.Event(), ivcore.runs.run_sweep

    def slow(*arguments: object, **options: object) -> object:
        from ivcore.runs import Stopped

        should_stop = options["should_stop"]
        while not go.wait(0.01):
            if should_stop():  # type: ignore[operator]
                raise Stopped
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("ivcore.runs.run_sweep", slow)
    yield go
    go.set()


def swept(page: AppTest) -> AppTest:
    """Press start and wait for the result."""
    button(page, "Start the sweep").click().run()
    return finish(page)


def button(page: AppTest, label: str) -> object:
    return next(found for found in page.button if found.label == label)


def assert_whole(page: AppTest) -> None:
    """A complete result without an error of any kind."""
    assert not page.exception and not page.error, [element.value for element in page.error]
    assert len(page.get("vega_lite_chart")) >= 4 and page.code


def test_cost_stands_before_the_start_and_nothing_starts_by_itself(open_sweep: Open, cache: Path) -> None:
    before = len(jobs())
    page = open_sweep()
    assert not page.exception and not page.error
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown["Layer sets × samples"] == "10 × 6"
    assert any("Time on this machine" in label for label in shown) and "illion" in shown["Work"]
    assert len(jobs()) == before and not page.get("vega_lite_chart")
    assert not list(cache.glob("[0-9a-f]*"))


def test_a_sweep_runs_and_shows_its_whole_result(open_sweep: Open, folder: Path) -> None:
    page = swept(open_sweep())
    assert_whole(page)
    text = words(page)
    assert "6 samples" in text and "Of 10 sets" in text and "recovery" in text
    assert "one half (3 samples) chooses" in text, "the flattery of the best set is measured"
    caption = text.rsplit("n = 6 samples", 1)[1]
    assert all(part in caption for part in ("bootstrap", "float32", "cpu", "fingerprint", "as defined", "computed"))
    assert [tab.label for tab in page.tabs][:3] == ["Ranking", "More than the sum", "Samples"]
    command = page.code[-1].value
    assert command.startswith("python -m ivcore sweep") and "--task adj_ant --depth 2 --samples 6" in command


def test_the_page_shows_the_engines_own_numbers(open_sweep: Open) -> None:
    from ui import runs

    page = swept(open_sweep())
    run = runs.opened(runs.summaries()[0].key)
    ranked = runs.ranking(run, "rr")
    table = next(frame.value for frame in page.dataframe if "mean" in frame.value and "recovery" in frame.value)
    assert table["mean"].tolist() == pytest.approx([row.mean for row in ranked])
    samples = next(frame.value for frame in page.dataframe if "rank_full" in frame.value)
    assert samples["query"].tolist() == [query for query, _ in run.request.items]
    assert samples["rank_target"].tolist() == run.target.rank.tolist()


def test_what_is_in_the_store_opens_at_once_without_loading_the_model(
    open_sweep: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(open_sweep())
    before, loads = len(jobs()), []
    monkeypatch.setattr("ui.calls.is_light", lambda ref: False)
    monkeypatch.setattr("ui.calls.model", lambda *which: loads.append(which))
    page = open_sweep()
    assert_whole(page)
    assert loads == [] and len(jobs()) == before
    assert not any(found.label == "Start the sweep" for found in page.button)


def test_two_tabs_see_one_job(open_sweep: Open, held: threading.Event) -> None:
    first = open_sweep(samples="7")
    second = open_sweep(samples="7")
    button(first, "Start the sweep").click().run()
    assert any(found.label == "Stop" for found in first.button)
    button(second, "Start the sweep").click().run()
    assert any(found.label == "Stop" for found in second.button)
    running = [job for job in jobs() if not job.ended]
    assert len(running) == 1
    held.set()
    assert_whole(finish(first))
    assert_whole(second.run())


def test_a_sweep_can_be_stopped_and_started_again(open_sweep: Open, held: threading.Event) -> None:
    page = open_sweep(samples="8")
    button(page, "Start the sweep").click().run()
    button(page, "Stop").click().run()
    page = finish(page)
    assert not page.exception and not page.error and not page.get("vega_lite_chart")
    assert jobs()[-1].state is State.STOPPED
    held.set()
    assert_whole(swept(page))


def test_a_failure_is_said_in_one_sentence_and_can_be_tried_again(
    open_sweep: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ivcore.errors import StoreFullError

    def full(*_: object, **__: object) -> object:
        raise StoreFullError("There is no room left for runs; free some space.")

    page = open_sweep(samples="9")
    with monkeypatch.context() as patch:
        patch.setattr("ivcore.runs.run_sweep", full)
        button(page, "Start the sweep").click().run()
        page = finish(page)
    assert_one_sentence(page, "no room left")
    assert_whole(swept(page))


def test_metric_set_and_depth_can_be_chosen(open_sweep: Open) -> None:
    page = swept(open_sweep())
    page.button_group(key="metric").set_value("log-probability").run()
    assert_whole(page)
    assert "nats" in " ".join(element.proto.spec for element in page.get("vega_lite_chart"))
    page.selectbox(key="set").set_value("1,3").run()
    assert_whole(page)
    assert "Layers 1 and 3: 95% interval" in words(page)
    page.selectbox(key="set").set_value("2").run()
    assert "Layer 2: 95% interval" in words(page)
    page.button_group(key="depth").set_value("1").run()
    page = swept(page)
    assert not page.exception and not page.error
    assert any("depth of 2 or 3" in plain(info.value) for info in page.info)


def test_triples_come_as_a_list_and_as_slices(open_sweep: Open) -> None:
    page = swept(open_sweep(depth="3", samples="5"))
    assert_whole(page)
    assert "All 4 triples" in words(page)
    table = next(frame.value for frame in page.dataframe if "third" in frame.value)
    assert table["layers"].str.contains("and").all() and table["third"].notna().all()
    page.select_slider(key="slice").set_value(0).run()
    assert_whole(page)
    assert "Every set that holds layer 0" in " ".join(element.proto.spec for element in page.get("vega_lite_chart"))


def test_one_sample_has_no_interval_and_nothing_false_is_said(open_sweep: Open) -> None:
    page = swept(open_sweep(samples="1"))
    assert not page.exception and not page.error
    text = words(page)
    assert "nan" not in text.lower() and "not defined" in text
    assert "too few samples" in text
    tests = next(frame.value for frame in page.dataframe if "holm" in frame.value)
    assert (tests["holm"] == "not defined").all() and (tests["note"] != "").all()


def test_both_conventions_are_compared_once_both_are_there(open_sweep: Open) -> None:
    page = swept(open_sweep())
    assert "was not computed" in words(page)
    button(page, "Compute it as released").click().run()
    page = finish(page)
    assert_whole(page)
    assert "Spearman" in words(page) and "of 10** sets" in words(page)
    page.button_group(key="convention").set_value("as released").run()
    assert_whole(page)
    assert "--convention released" in page.code[-1].value and "−1" in words(page)


def test_a_permalink_brings_everything_back(open_sweep: Open) -> None:
    page = swept(open_sweep())
    page.button_group(key="metric").set_value("log-probability").run()
    page.selectbox(key="set").set_value("0,2").run()
    link = {name: values[0] for name, values in parse_qs(urlsplit(page.code[0].value).query).items()}
    assert link["task"] == "adj_ant" and link["set"] == "0,2" and link["metric"] == "log-probability"
    again = open_sweep(**{name: value for name, value in link.items() if name not in ("model", "ref")})
    assert_whole(again)
    assert again.code[0].value.split("?")[1] == page.code[0].value.split("?")[1]
    assert words(again) == words(page)


def test_garbage_in_a_permalink_is_told_and_ignored(open_sweep: Open) -> None:
    page = open_sweep(task="no_such_task", samples="100000", depth="9", convention="<b>x</b>")
    told = " ".join(plain(warning.value) for warning in page.warning)
    assert all(part in told for part in ("no_such_task", "100000", "9", "<b>x</b>"))
    assert not page.exception and not page.error


def drop(page: AppTest, content: bytes, name: str = "mine.csv") -> AppTest:
    page.file_uploader(key="task file").set_value((name, content, "text/csv")).run()
    return page


GOOD = "query,antonym,note\nbig,small,a\nhot,cold,b\nfast,slow,c\nold,young,d\n"


def test_an_own_file_is_swept_like_a_bundled_task(open_sweep: Open) -> None:
    page = drop(open_sweep(task=OWN_FILE), GOOD.encode())
    assert not page.exception and not page.error
    assert "Type the instruction" in plain(page.info[0].value)
    page.selectbox(key="own column").set_value("antonym").run()
    page.text_input(key="own field").set_value("Adjective").run()
    page.text_input(key="own instruction").set_value("Say the opposite.").run()
    assert "4 queries, such as: Say the opposite. Adjective: big. Answer: small" in words(page)
    page = swept(page)
    assert_whole(page)
    assert "No permalink" in words(page)
    assert "--task-csv mine.csv" in page.code[-1].value and "--subtask antonym" in page.code[-1].value


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ()),
        (b"query,a\nbig,\n", ()),
        (b"word,a\nbig,small\n", ("query",)),
        (b"query,a\nbi\xffg,small\n", ("UTF-8",)),
        (b"query,a\nbig,small\x00\n", ()),
    ],
)
def test_a_bad_file_gets_one_sentence_and_the_page_stays(
    open_sweep: Open, content: bytes, parts: tuple[str, ...]
) -> None:
    page = drop(open_sweep(task=OWN_FILE), content)
    if not page.error:
        page.text_input(key="own instruction").set_value("Say the opposite.").run()
    assert_one_sentence(page, *parts)
    page.selectbox(key="task").set_value("adj_ant").run()
    assert not page.error and not page.exception


def test_fetching_without_a_network_says_so_and_offers_a_file(open_sweep: Open) -> None:
    """The tests run with the hub switched off."""
    page = open_sweep(task=OWN_FILE)
    page.button(key="fetch task").click().run()
    assert_one_sentence(page, "task.json")
    page.selectbox(key="task").set_value("adj_ant").run()
    assert not page.error and not page.exception


def test_a_fetched_task_is_swept(open_sweep: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from ivcore.prompts import tasks

    def fetch(name: str) -> tasks.Task:
        return tasks.load_task(name)

    monkeypatch.setattr(tasks, "load_bigbench_hub", fetch)
    page = open_sweep(task=OWN_FILE)
    page.selectbox(key="hub task").set_value("snarks").run()
    page.button(key="fetch task").click().run()
    assert not page.exception and not page.error
    assert tasks.load_task("snarks").instruction[:30] in words(page)


def test_markup_in_an_own_file_is_shown_as_text(open_sweep: Open) -> None:
    script = "<script>alert(1)</script>"
    content = f'query,{script}\n"{script}",=1+1\n{script} two,@x\n'.encode()
    page = drop(open_sweep(task=OWN_FILE), content, f"{script}.csv")
    page.text_input(key="own instruction").set_value(f"{script} **b**").run()
    page = swept(page)
    assert not page.exception and not page.error
    shown = [element.value for element in [*page.markdown, *page.caption, *page.error, *page.info]]
    assert not any("<script" in text for text in shown)


def test_a_damaged_run_is_told_and_not_shown(open_sweep: Open, cache: Path) -> None:
    from ui import runs

    swept(open_sweep())
    (arrays,) = cache.glob("[0-9a-f]*/arrays.npz")
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(bytes(content))
    runs.opened.clear()
    page = open_sweep()
    assert not page.exception and not page.get("vega_lite_chart")
    assert any("damaged" in plain(warning.value) for warning in page.warning)
    page = swept(page)
    assert_whole(page)


def test_a_model_whose_files_changed_has_no_old_results(open_sweep: Open, folder: Path, tmp_path: Path) -> None:
    from tests.app.tiny_folder import make_folder

    mine = make_folder(tmp_path / "mine", n_layers=3, seed=3)
    page = open_sweep()
    page.text_input(key="ref").set_value(str(mine)).run()
    assert_whole(swept(page))
    make_folder(mine, n_layers=3, seed=4)
    page.run()
    assert any(found.label == "Start the sweep" for found in page.button)


def test_downloads_hold_every_set_and_sample(open_sweep: Open) -> None:
    from ivcore.runs import sweep_document
    from ui import runs
    from ui.sweep.files import sweep_downloads
    from ui.sweep.result import SweepResult

    swept(open_sweep())
    run = runs.opened(runs.summaries()[0].key)
    files = {offer.file_name: offer.make() for offer in sweep_downloads(SweepResult(run, "rr", (0, 1)))}
    sets = list(csv.DictReader(io.StringIO(files["sweep-sets.csv"])))
    assert len(sets) == 3 * len(run.sets) and {row["metric"] for row in sets} == {"rr", "logit", "logprob"}
    pair = next(row for row in sets if row["metric"] == "rr" and row["layers"] == "0 1")
    assert float(pair["mean"]) == pytest.approx(run.effects("rr")[run.sets.index((0, 1))].mean())
    samples = list(csv.DictReader(io.StringIO(files["sweep-samples.csv"])))
    assert len(samples) == run.n_samples * (len(run.sets) + 2)
    one = next(row for row in samples if row["sample"] == "2" and row["layers"] == "1 3")
    assert int(one["rank"]) == run.patched.rank[run.sets.index((1, 3)), 2]
    assert json.loads(files["sweep.json"]) == json.loads(json.dumps(sweep_document(run)))
    assert files["sweep-map.svg"].startswith("<svg")


def test_no_model_named_yet_is_asked_for(open_sweep: Open) -> None:
    page = open_sweep()
    page.text_input(key="ref").set_value("").run()
    assert not page.error and not page.exception
    assert "Type the folder" in page.info[-1].value
    page.text_input(key="ref").set_value("/no/such/folder").run()
    assert_one_sentence(page, "/no/such/folder")
