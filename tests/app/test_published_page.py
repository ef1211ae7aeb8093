"""The Published page through Streamlit's AppTest, and its charts and files."""

from __future__ import annotations

import csv
import io
import json
import shlex
import tomllib
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from ivcore.published import TABLES, gap, layer_tuples, superadditivity_tests, table
from tests.app.reading import plain
from ui.published import charts as published_charts
from ui.published import own as published_own
from ui.published.files import plan_text, published_downloads
from ui.published.form import OFFSETS, STAGES, PublishedInputs, commands, permalink
from ui.published.own import OwnRanking

REPOSITORY = Path(__file__).resolve().parents[2]
Open = Callable[..., AppTest]
SUMMARIES = published_own._summaries


@pytest.fixture
def open_published(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the page at an address with these parameters; there are no runs of one's own."""
    monkeypatch.setattr(published_own, "_summaries", lambda *_: ())

    def opened(**parameters: str) -> AppTest:
        page = AppTest.from_file(str(REPOSITORY / "pages" / "published.py"), default_timeout=300)
        for name, value in parameters.items():
            page.query_params[name] = value
        return page.run()

    return opened


@pytest.fixture
def with_own_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of OLMo-2 1B whose effects rise with the number of the set, triples included."""
    sets = [layers for size in (1, 2, 3) for layers in combinations(range(16), size)]
    means = {layers: i / 1000 - 0.3 for i, layers in enumerate(sets)}
    monkeypatch.setattr(published_own, "_summaries", lambda *_: ("one run",))
    monkeypatch.setattr(published_own, "_name", lambda run: str(run))
    monkeypatch.setattr(published_own, "_opened", lambda *_: OwnRanking("100 samples", 16, means))


def specs(page: AppTest) -> list[str]:
    return [element.proto.spec for element in page.get("vega_lite_chart")]


def assert_whole(page: AppTest) -> None:
    assert not page.exception and not page.error
    assert page.dataframe and any("Permalink" in element.value for element in page.caption)


def labels(page: AppTest) -> list[str]:
    return [button.proto.label for button in page.get("download_button")]


def test_the_first_page_is_whole(open_published: Open) -> None:
    page = open_published()
    assert_whole(page)
    assert page.title[0].value == "Published figures" and not page.warning
    assert page.session_state["table"] == 9 and page.session_state["stage"] == "SFT"
    (chart,) = specs(page)
    assert "not published" in chart and "Published: " in chart
    assert any("Your own run would stand here" in element.value for element in page.markdown)
    assert labels(page).count("Plan for Table 9") == 1 and "Plan, TOML" in labels(page)
    caption = plain(" ".join(element.value for element in page.caption))
    assert "arXiv 2602.07930" in caption and "100 samples" in caption and "OLMo-2 1B SFT" in caption


@pytest.mark.parametrize("number", [entry.number for entry in TABLES])
def test_every_table_has_a_chart_rows_and_words(open_published: Open, number: int) -> None:
    page = open_published(table=str(number))
    assert_whole(page)
    assert page.session_state["table"] == number
    (chart,) = specs(page)
    title = json.loads(chart)["title"]
    assert title["text"]
    assert f"table={number}" in page.code[0].value
    assert len(page.code) == (2 if table(number).depth else 1)


def test_another_table_keeps_the_page_alive_though_its_tasks_differ(open_published: Open) -> None:
    page = open_published(table="9", task="can_fly", stage="DPO")
    assert page.session_state["task"] == "can_fly"
    for number in (10, 2, 22, 4, 6, 9):
        page.selectbox(key="table").set_value(number).run()
        assert_whole(page)
        assert page.session_state["table"] == number
    assert page.session_state["task"] in table(9).tasks


def test_stage_and_task_choose_the_rows(open_published: Open) -> None:
    page = open_published()
    page.button_group(key="stage").set_value("base").run()
    page.button_group(key="task").set_value("anim_color").run()
    assert_whole(page)
    wanted = [row for row in layer_tuples() if (row.table, row.stage, row.task) == (9, "base", "anim_color")]
    assert page.dataframe[0].value["effect"].tolist() == [row.value for row in wanted]
    assert "stage=base&task=anim_color" in page.code[0].value
    assert "allenai/OLMo-2-0425-1B --task anim_color" in page.code[1].value


def test_the_missing_part_is_said_to_be_missing(open_published: Open) -> None:
    for number in (8, 11, 12):
        page = open_published(table=str(number), stage="base", task="object_counting")
        assert_whole(page)
        assert not specs(page)
        assert (gap(number, "base", "object_counting") or "?") in plain(page.info[0].value)


def test_tests_say_why_t_says_nothing(open_published: Open) -> None:
    page = open_published(table="6", stage="SFT", task="snarks")
    assert_whole(page)
    words = " ".join(element.value for element in page.markdown)
    assert "Why every t is near −1000" in words and "**50**" in words
    frame = page.dataframe[0].value
    assert set(frame["t"]) & {"−∞"} and frame["holding"].str.endswith("of 100").all()
    notes = json.loads(specs(page)[0])["title"]["subtitle"]
    assert any("are −∞ (all samples or none)" in note for note in notes)


def test_figures_that_no_patch_can_have_are_pointed_out(open_published: Open) -> None:
    page = open_published(table="15", stage="base", task="anim_color")
    assert "layers 6 and 15 +1.08 where layer 6 has +0.55" in plain(page.warning[0].value)
    assert not open_published(table="9", stage="base", task="anim_color").warning


def test_a_permalink_restores_the_choice(open_published: Open) -> None:
    page = open_published(table="24", offset="-1")
    assert_whole(page)
    assert page.session_state["table"] == 24 and page.session_state["offset"] == "-1"
    wanted = [row[-1] for row in published_rows(24) if row[3] == -1]
    assert page.dataframe[0].value["jaccard"].tolist() == wanted
    assert page.code[0].value.endswith("?table=24&offset=-1")


def test_garbage_in_a_permalink_is_told_and_ignored(open_published: Open) -> None:
    page = open_published(table="99<script>", stage="phd", task="../../etc", offset="7", other="x" * 5000)
    assert_whole(page)
    told = [plain(warning.value) for warning in page.warning]
    assert len(told) == 3 and all("\n" not in sentence and sentence.endswith(".") for sentence in told)
    assert all(word in " ".join(told) for word in ("99<script>", "phd", "../../etc"))
    assert page.session_state["table"] == 9 and page.session_state["stage"] == "SFT"
    page.button_group(key="stage").set_value("base").run()
    assert not page.warning, "it is told once"


@pytest.mark.usefixtures("with_own_run")
def test_ones_own_run_stands_beside(open_published: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_own, "_summaries", lambda *_: ("one run", "another run"))
    page = open_published(table="9", stage="SFT", task="can_fly")
    assert_whole(page)
    published, own = specs(page)
    assert "Published: " in published and "Your run: " in own
    assert [metric.label for metric in page.metric] == ["Top 10 in common", "Rank correlation"]
    assert page.metric[0].value == "0 of 10"
    assert page.dataframe[0].value["your place"].between(11, 136).all()
    assert page.selectbox[1].options == ["one run", "another run"]


@pytest.mark.usefixtures("with_own_run")
def test_triples_stand_beside_ones_own(open_published: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_own, "_summaries", lambda *_: ("one run",))
    page = open_published(table="18")
    assert_whole(page)
    assert len(specs(page)) == 2 and "of 560 sets" in " ".join(element.value for element in page.caption)


def test_runs_of_a_model_that_fails_its_check_are_told_and_not_shown(
    open_published: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = SimpleNamespace(key="0" * 64, ref="some/model", dtype="float32", request=SimpleNamespace(depth=3))
    means = {layers: 0.1 for size in (1, 2, 3) for layers in combinations(range(16), size)}
    monkeypatch.setattr(published_own, "_summaries", SUMMARIES)
    monkeypatch.setattr("ui.runs.own_sweeps", lambda *_: (one,))
    monkeypatch.setattr(published_own, "_name", lambda _: "one run")
    monkeypatch.setattr(published_own, "_opened", lambda *_: OwnRanking("one run", 16, means))
    page = open_published(table="9", stage="SFT", task="can_fly")
    assert_whole(page)
    assert len(specs(page)) == 2, "control: nothing is known against the model"
    monkeypatch.setattr(published_own, "failures", lambda refs, *_: refs)
    page = open_published(table="9", stage="SFT", task="can_fly")
    assert "Runs of some/model are not shown" in plain(page.error[0].value) and len(specs(page)) == 1


def test_a_damaged_run_leaves_the_published_figures(open_published: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from ivcore.errors import InputError

    def broken(*_: object) -> None:
        raise InputError("The run is damaged; compute it again.")

    monkeypatch.setattr(published_own, "_summaries", broken)
    page = open_published()
    assert not page.exception and [plain(error.value) for error in page.error] == [
        "The run is damaged; compute it again."
    ]
    assert len(specs(page)) == 1 and page.dataframe


def test_the_page_is_in_the_navigation(folder: Path) -> None:
    page = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=300)
    page.switch_page("pages/published.py")
    page.run()
    assert not page.exception and page.title[0].value == "Published figures"


# Files, links and commands.

INPUTS = PublishedInputs(9, "SFT", "can_fly", None)


@pytest.mark.parametrize("number", [entry.number for entry in TABLES])
def test_every_table_can_be_downloaded(number: int) -> None:
    entry = table(number)
    inputs = PublishedInputs(
        number,
        "DPO" if entry.depth else None,
        entry.tasks[0] if entry.tasks else None,
        0 if entry.kind == "between_tasks" else None,
    )
    files = {offer.file_name: offer.make() for offer in published_downloads(entry, inputs)}
    assert len(files) == 3 + (entry.kind == "sets") + (entry.depth is not None)
    (shown,) = (json.loads(text)["rows"] for name, text in files.items() if name.endswith(".json"))
    rows = [list(csv.DictReader(io.StringIO(text))) for name, text in files.items() if name.endswith(".csv")]
    assert [len(found) for found in rows] == [len(shown), len(rows[1])] and 0 < len(shown) <= len(rows[1])
    for name, text in files.items():
        if name.endswith(".toml"):
            assert len(tomllib.loads(text)["sweep"]) == 12 and text == plan_text(entry)


def test_downloads_hold_the_shown_figures() -> None:
    files = {offer.file_name: offer.make() for offer in published_downloads(table(9), INPUTS)}
    wanted = [row for row in layer_tuples() if (row.table, row.stage, row.task) == (9, "sft", "can_fly")]
    rows = list(csv.DictReader(io.StringIO(files["published-table-9-sft-can_fly.csv"])))
    assert [(row["layers"], float(row["value"])) for row in rows] == [
        (" ".join(map(str, row.layers)), row.value) for row in wanted
    ]
    document = json.loads(files["published-table-9-sft-can_fly.json"])
    assert [tuple(row["layers"]) for row in document["rows"]] == [row.layers for row in wanted]
    assert "2602.07930" in document["source"]


def test_minus_infinity_is_text_in_json() -> None:
    inputs = PublishedInputs(6, "SFT", "snarks", None)
    files = {offer.label: offer.make() for offer in published_downloads(table(6), inputs)}
    rows = json.loads(files["Shown rows, JSON"], parse_constant=lambda name: pytest.fail(name))["rows"]
    assert "-inf" in [row["t"] for row in rows] and [0, 100] in [row["samples_that_hold"] for row in rows]


def test_links_and_commands() -> None:
    assert permalink("http://x/published", INPUTS) == "http://x/published?table=9&stage=SFT&task=can_fly"
    sweep, precompute = (shlex.split(line) for line in commands(INPUTS, 100))
    assert sweep[:4] == ["python", "-m", "ivcore", "sweep"] and "allenai/OLMo-2-0425-1B-SFT" in sweep
    assert precompute[3:5] == ["precompute", "published-table-9.toml"]
    assert commands(PublishedInputs(2, None, "adj_ant", None), 100) == ()


def test_the_engine_takes_the_commands() -> None:
    from ivcore.__main__ import _parser

    for line in commands(INPUTS, 100):
        _parser().parse_args(shlex.split(line)[3:])


def test_the_form_offers_what_the_tables_have() -> None:
    assert {row.stage for row in layer_tuples()} == set(STAGES.values())
    offsets = {row[3] for number in (22, 23, 24) for row in published_rows(number)}
    assert {str(offset) for offset in offsets} == set(OFFSETS)


def published_rows(number: int) -> tuple[tuple[object, ...], ...]:
    from ivcore.published import plain_table

    return plain_table(number).rows


# Charts.


def cells(chart: dict[str, object], *columns: str) -> list[dict[str, object]]:
    """The chart's data set that has these columns."""
    sets = chart["datasets"].values()  # type: ignore[attr-defined]
    return next(rows for rows in sets if set(columns) <= set(rows[0]))


def test_the_map_has_ten_cells_and_dots_for_all_others() -> None:
    rows = tuple(row for row in layer_tuples() if (row.table, row.stage, row.task) == (14, "sft", "can_fly"))
    chart = published_charts.published_map(rows, 32, span=1.0).to_dict(validate=True)
    listed, others = cells(chart, "effect", "place"), cells(chart, "published")
    assert len(listed) == 10 and len(others) == 528 - 10
    assert {(c["low"], c["high"]) for c in listed}.isdisjoint((c["low"], c["high"]) for c in others)
    assert [c["label"] for c in listed] == [str(place) for place in range(1, 11)]
    assert {cell["published"] for cell in others} == {"not published"} and "effect" not in others[0]


def test_both_maps_share_their_scale() -> None:
    rows = tuple(row for row in layer_tuples() if (row.table, row.stage, row.task) == (9, "sft", "can_fly"))
    sets = [*combinations(range(16), 1), *combinations(range(16), 2)]
    means = {layers: 0.01 * i - 2.0 for i, layers in enumerate(sets)}
    span = published_charts.effect_span(rows, list(means.values()))
    assert span == 2.0
    charts = (
        published_charts.published_map(rows, 16, span=span),
        published_charts.own_map(means, rows, 16, span=span),
    )
    for chart in charts:
        text = json.dumps(chart.to_dict(validate=True))
        assert text.count('"domain": [-2.0, -0.002, 0, 0.002, 2.0]') >= 1


def test_titles_say_what_comes_first() -> None:
    def heading(number: int, stage: str, task: str) -> str:
        rows = tuple(row for row in layer_tuples() if (row.table, row.stage, row.task) == (number, stage, task))
        chart = published_charts.published_map(rows, 32, span=1.0)
        return str(chart.to_dict()["title"]["text"])

    assert heading(9, "sft", "anim_color") == "Published: 2 sets tie first (+0.11)"
    assert heading(14, "sft", "can_fly") == "Published: layers 0 and 13 first (+0.06)"
    assert heading(13, "sft", "implicatures") == "Published: all ten sets tie at 0.00"


def test_each_printed_t_lies_on_the_curve() -> None:
    from ivcore.published import holding_counts, t_against_fifty

    rows = tuple(row for row in superadditivity_tests() if (row.table, row.stage, row.task) == (5, "sft", "can_fly"))
    curve = [t_against_fifty(k) for k in range(1, 100)]
    chart = published_charts.tests_chart(rows, [holding_counts(row) for row in rows], curve).to_dict(validate=True)
    points = cells(chart, "holding", "layers")
    assert len(points) >= 10
    assert all(abs(curve[point["holding"] - 1] - point["t"]) < 1 for point in points)  # type: ignore[operator]


def test_charts_of_only_infinite_values_are_drawn() -> None:
    rows = tuple(row for row in superadditivity_tests() if row.t == float("-inf"))[:2]
    chart = published_charts.tests_chart(rows, [(0, 100)] * 2, [-1.0, -2.0]).to_dict(validate=True)
    assert "2 of 2 printed values" in json.dumps(chart, ensure_ascii=False)
