"""The Geometry page through Streamlit's AppTest: finished and missing runs, own paraphrases, bad input."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import APP
from tests.app.driving import assert_one_sentence, button, finish, jobs, rows
from tests.app.reading import plain, words
from ui.geometry import runs as geometry_runs
from ui.geometry.state import FILES, PASTED
from ui.state import OTHER
from ui.worker import State

PATIENCE = 120.0
TASKS = ["num_next", "verb_past"]
START, RELEASED = "Compute what is missing", "Compute the released probe too"
Open = Callable[..., AppTest]
SCRIPT = "<script>window.hacked=1</script>"


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the run of both tasks on the tiny model, without the released code's probe."""
    from ivcore.models import load_model
    from ivcore.prompts.paraphrases import task_paraphrases
    from ivcore.runs import geometry_request, run_geometry
    from ivcore.store import Store

    own = tmp_path_factory.mktemp("finished") / "runs"
    request = geometry_request([task_paraphrases(name) for name in TASKS])
    run_geometry(Store(own), load_model(str(folder)), request)
    return own


@pytest.fixture
def open_page(folder: Path, cache: Path) -> Open:
    """Open the Geometry page at an address with these parameters; by default on the tiny model and two tasks."""

    def opened(**parameters: str | list[str]) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=300)
        page.switch_page("pages/geometry.py")
        defaults: dict[str, str | list[str]] = {"model": OTHER, "ref": str(folder), "compare": TASKS}
        for name, value in (defaults | parameters).items():
            page.query_params[name] = value
        return page.run()

    return opened


@pytest.fixture
def ready(open_page: Open, cache: Path, finished: Path) -> Open:
    """The same where the run is finished."""
    shutil.copytree(finished, cache)
    geometry_runs.opened.clear()
    return open_page


def the_run() -> Any:
    (found,) = geometry_runs.summaries()
    return geometry_runs.opened(found.key)


def assert_whole(page: AppTest) -> None:
    assert not page.exception and not page.error, [element.value for element in page.error]
    assert rows(page, "x", "y", "text") and page.dataframe


def test_what_is_missing_is_said_with_cost_and_command_and_nothing_starts(open_page: Open, folder: Path) -> None:
    before = len(jobs())
    page = open_page()
    assert not page.exception and not page.error and not page.dataframe
    text = words(page)
    assert "1 of 1 not computed" in text and "120 paraphrases" in text and "6 probes a layer" in text
    assert any(f"geometry --model {folder} --tasks num_next,verb_past" in code.value for code in page.code)
    assert len(jobs()) == before and not geometry_runs.summaries()


def test_a_finished_run_opens_with_its_numbers_and_without_a_model(
    ready: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.calls.model", lambda *which: pytest.fail("a model was loaded"))
    page = ready()
    assert_whole(page)
    run = the_run()
    (table,) = rows(page, "series", "accuracy")[:1]
    probed = [line for line in table if line["series"] == "held-out probe"]
    assert [line["accuracy"] for line in probed] == [row.probe.accuracy.share for row in run.rows]
    assert [(line["low"], line["high"]) for line in probed] == [
        (row.probe.accuracy.low, row.probe.accuracy.high) for row in run.rows
    ]
    words_alone = {line["accuracy"] for line in table if line["series"] == "words alone"}
    assert words_alone == {run.result.lexical.accuracy.share}
    (points,) = rows(page, "x", "y", "text")
    assert [line["x"] for line in points] == pytest.approx(run.rows[2].lda.points[:, 0].tolist())
    assert page.dataframe[0].value["probe"].tolist() == [100 * row.probe.accuracy.share for row in run.rows]
    caption = words(page).rsplit("n = 120 paraphrases", 1)[1]
    assert all(part in caption for part in ("5 folds", "5 permutations", "fingerprint", "cpu", "float32", "computed"))
    assert page.code[-1].value.endswith("--tasks num_next,verb_past --json")


def test_the_order_of_the_tasks_does_not_make_another_run(ready: Open) -> None:
    assert_whole(ready(compare=TASKS[::-1]))
    assert "1 of 1 not computed" in words(ready(compare=[*TASKS, "num_prev"]))
    assert "1 of 1 not computed" in words(ready(component="attention"))


def test_layer_and_view_come_from_the_address_and_compute_nothing(ready: Open) -> None:
    page = ready(layer="embedding", view="PCA")
    assert_whole(page)
    (points,) = rows(page, "x", "y", "text")
    assert [line["y"] for line in points] == pytest.approx(the_run().rows[0].pca.points[:, 1].tolist())
    page.select_slider[0].set_value("3").run()
    (points,) = rows(page, "x", "y", "text")
    assert [line["x"] for line in points] == pytest.approx(the_run().rows[4].pca.points[:, 0].tolist())
    assert "layer=3" in page.code[0].value and "view=PCA" in page.code[0].value


def test_what_a_link_names_wrongly_is_told_and_ignored(ready: Open) -> None:
    page = ready(compare=[*TASKS, "nonsense"], component="soul", view="X", layer="77", task="zzz")
    assert_whole(page)
    told = " ".join(plain(element.value) for element in page.warning)
    for part in ("“nonsense”", "“soul”", "“X”", "“77”", "“zzz”"):
        assert part in told


def test_a_model_that_is_nowhere_is_one_sentence(open_page: Open) -> None:
    assert_one_sentence(open_page(ref="/no/such/folder"), "/no/such/folder")
    assert "Type the folder" in plain(open_page(ref="").info[0].value)


def test_words_that_tell_everything_are_said_to(open_page: Open) -> None:
    page = pasted(open_page(source=PASTED), lines("Say"), lines("Count"))
    page = finish(button(page, START).click().run())
    assert "Not clearly more than the words alone: tiny" in words(page) and "from layer" not in words(page)


def test_one_task_is_no_comparison(open_page: Open) -> None:
    page = open_page(compare=["num_next"])
    assert not page.error and "at least two tasks" in plain(page.info[0].value)


def test_where_no_sweep_is_the_page_says_so_and_leads_to_it(ready: Open) -> None:
    page = ready()
    assert any("was not swept yet" in plain(element.value) for element in page.info)
    assert "patching a single layer" not in words(page)


def test_a_finished_sweep_stands_below_the_probe_on_the_same_layers(ready: Open, folder: Path, cache: Path) -> None:
    from ivcore.models import load_model
    from ivcore.patching import rank_sets
    from ivcore.prompts.tasks import load_task
    from ivcore.runs import run_sweep, sweep_request
    from ivcore.store import Store

    sweep = run_sweep(Store(cache), load_model(str(folder)), sweep_request(load_task("verb_past"), 4, 1))
    page = ready()
    assert page.selectbox(key="task").value == "verb_past", "by default the task that was swept"
    (bars,) = rows(page, "effect", "low", "layer")
    singles = {row.layers: row.mean for row in rank_sets(sweep.effects("rr"), sweep.sets) if len(row.layers) == 1}
    assert {(int(line["layer"]),): line["effect"] for line in bars} == pytest.approx(singles)
    assert "n = 4 samples" in words(page) and "patching a single layer works" in words(page)
    probed = next(table for table in rows(page, "share", "layer") if "split" not in table[0])
    assert [line["share"] for line in probed] == [row.probe.per_class[1].share for row in the_run().rows]


def test_a_missing_run_is_computed_in_the_background(open_page: Open) -> None:
    page = button(open_page(), START).click().run()
    assert_whole(finish(page))
    assert the_run().request.names == tuple(TASKS) and the_run().released is None


def test_two_tabs_see_one_job_and_it_can_be_stopped(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from ivcore.runs import Stopped

    def slow(*_: object, **options: Any) -> object:
        while not options["should_stop"]():
            time.sleep(0.01)
        raise Stopped

    monkeypatch.setattr("ivcore.runs.run_geometry", slow)
    first, second = open_page(component="MLP"), open_page(component="MLP")
    before = len(jobs())
    button(first, START).click().run()
    second.run()
    assert len(jobs()) == before + 1 and not any(START in found.label for found in second.button)
    button(second, "Stop").click().run()
    page = finish(first)
    assert jobs()[-1].state is State.STOPPED
    assert "Stopped" in plain(page.info[0].value) and button(page, START)


def test_a_damaged_run_is_told_and_not_shown(ready: Open, cache: Path) -> None:
    arrays = next(cache.glob("*/arrays.npz"))
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(bytes(content))
    page = ready()
    assert not page.exception and any("damaged" in plain(element.value) for element in page.warning)
    assert not rows(page, "x", "y", "text") and button(page, START)


def test_the_released_probe_is_offered_where_the_run_lacks_it(ready: Open) -> None:
    page = ready()
    assert not rows(page, "split") and "pools the states" in words(page)
    page = finish(button(page, RELEASED).click().run())
    assert_whole(page)
    (split,) = rows(page, "split", "share")
    found = next(geometry_runs.opened(s.key) for s in geometry_runs.summaries() if s.request.released).released
    assert found is not None
    assert [line["share"] for line in split] == [found.random_split.share, found.by_paraphrase.share]
    assert not any(RELEASED in one.label for one in page.button)
    assert "--released" in page.code[-1].value


def test_tsne_and_the_released_picture_are_drawn_on_demand_and_kept(ready: Open) -> None:
    for view in ("t-SNE", "as released"):
        page = ready(view=view, layer="1")
        assert not rows(page, "x", "y", "text") and "is not drawn yet" in words(page)
        page = button(page, "Draw it").click().run()
        assert_whole(page)
        (points,) = rows(page, "x", "y", "text")
        assert len(points) == 120 and not any(line["held_out"] for line in points)
        assert rows(ready(view=view, layer="1"), "x", "y", "text") == [points], "kept"


def pasted(page: AppTest, *texts: str) -> AppTest:
    for area, text in zip(page.text_area, texts, strict=True):
        area.set_value(text)
    return page.run()


def lines(word: str, n: int = 12) -> str:
    return "\n".join(f"{word} number {i} of these things." for i in range(n))


def test_pasted_paraphrases_are_compared(open_page: Open) -> None:
    page = open_page(source=PASTED)
    assert not page.error and not page.button[0].disabled and "Paste at least ten" in plain(page.info[0].value)
    page = pasted(page, f"{lines('Say')}\n\n{lines('Say', 1)}", lines("Count"))
    assert "set 1: 12 paraphrases (1 empty line and 1 repetition left out)" in words(page)
    page = finish(button(page, START).click().run())
    assert_whole(page)
    assert the_run().request.names == ("set 1", "set 2")
    assert "No permalink" in words(page) and "nothing was patched" in words(page)
    assert not any("geometry --model" in code.value for code in page.code), (
        "the command line cannot read what was pasted"
    )


def test_sets_are_added_and_removed(open_page: Open) -> None:
    page = pasted(open_page(source=PASTED), lines("Say"), lines("Count"))
    page = button(page, "Add a set").click().run()
    assert len(page.text_area) == 3
    assert_one_sentence(page, "set 3", "at least 10")
    page = next(found for found in page.button if found.key == "remove set 2").click().run()
    assert len(page.text_area) == 2 and not page.error
    assert page.text_area[0].value == lines("Say")


@pytest.mark.parametrize(
    ("first", "second", "parts"),
    [
        (lines("Say"), "", ["set 2", "at least 10"]),
        (lines("Say"), lines("Count", 9), ["set 2", "9 different", "at least 10"]),
        (lines("Say"), lines("Say") + lines("Count"), ["Say number 0 of these things.", "set 1", "set 2"]),
        (lines("Say", 5_000), lines("Count"), ["set 1", "2,000"]),
        (lines("Say"), lines("Count") + "\n" + "word " * 2_000, ["set 2", "2,000"]),
    ],
)
def test_bad_paraphrases_are_one_sentence(open_page: Open, first: str, second: str, parts: list[str]) -> None:
    assert_one_sentence(pasted(open_page(source=PASTED), first, second), *parts)


def test_markup_is_shown_literally(open_page: Open) -> None:
    page = open_page(source=PASTED)
    for field in (found for found in page.text_input if found.label == "Name of the set"):
        field.set_value(f"**{SCRIPT}** {field.key}")
    page = pasted(page, lines(f"{SCRIPT} [x](http://a.example) say"), lines(":red[count]"))
    page = finish(button(page, START).click().run())
    assert_whole(page)
    raw = " ".join(element.value for element in [*page.markdown, *page.caption])
    drawn = " ".join(element.proto.body for element in page.get("html"))
    assert "<script>" not in raw + drawn and "&lt;script&gt;" in drawn


def test_a_paraphrase_longer_than_the_model_takes_is_said_once_and_can_be_mended(open_page: Open) -> None:
    long = "Say " + "żółw " * 300
    page = finish(
        button(pasted(open_page(source=PASTED), lines("Say") + "\n" + long, lines("Count")), START).click().run()
    )
    assert_one_sentence(page, "tokens but the model takes 512")
    assert_whole(finish(button(pasted(page, lines("Say"), lines("Count")), START).click().run()))


def test_without_files_the_page_says_what_one_looks_like(open_page: Open) -> None:
    page = open_page(source=FILES)
    assert not page.error and not page.exception and "index,instruction" in words(page)


def dropped(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    return page.file_uploader(key="paraphrase files").set_value([(*file, "text/csv") for file in files]).run()


def csv_file(word: str) -> bytes:
    return (
        "index,instruction\n" + "".join(f"{i},{line}\n" for i, line in enumerate(lines(word).splitlines()))
    ).encode()


def test_files_name_their_sets_and_stay_in_use_on_another_page(open_page: Open) -> None:
    page = dropped(open_page(source=FILES), ("say.csv", csv_file("Say")), ("count.csv", csv_file("Count")))
    assert not page.error and "say: 12 paraphrases; count: 12 paraphrases." in words(page)
    assert any("--paraphrases say.csv count.csv" in code.value for code in page.code)
    kept = page.session_state["kept paraphrase files"]
    page.switch_page("pages/published.py").run()
    page.query_params["source"] = FILES
    page = page.switch_page("pages/geometry.py").run()
    assert page.session_state["kept paraphrase files"] == kept
    assert "Still in use: say.csv and count.csv" in words(page)
    page = page.file_uploader(key="paraphrase files").set_value([("say.csv", csv_file("Say"), "text/csv")]).run()
    page = page.file_uploader(key="paraphrase files").set_value([]).run()
    assert "Still in use" not in words(page), "taken away on purpose"


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ([("say.csv", csv_file("Say"))], ["1 set of paraphrases", "add another"]),
        ([("say.csv", b"text\nSay it.\n"), ("b.csv", csv_file("Count"))], ["no column 'instruction'"]),
        ([("say.csv", csv_file("Say")), ("say.csv", csv_file("Count"))], ["say", "name of its own"]),
        ([("say.csv", b"\xff\xfe\x00\x01"), ("b.csv", csv_file("Count"))], []),
    ],
)
def test_bad_files_are_one_sentence(open_page: Open, files: list[tuple[str, bytes]], parts: list[str]) -> None:
    assert_one_sentence(dropped(open_page(source=FILES), *files), *parts)
