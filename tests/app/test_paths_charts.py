"""Numbers and charts of the Paths page: counts, shares, coverage, parting, and the words beside them."""

from __future__ import annotations

import csv
import io
import shlex
import tomllib
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from ivcore.paths import Edges
from ivcore.stats import ratio_interval
from tests.app.reading import plain
from tests.app.traces import LOGITS, make_paths, make_trace, make_traced
from ui.charts import as_svg
from ui.paths.charts import COUNTS, SHARES, emitters_chart, flow_chart, parting_chart
from ui.paths.coverage import Coverage, coverage_of, coverage_words, part_words
from ui.paths.emitters import emitters, emitters_csv, rows_csv
from ui.paths.kept import Paths
from ui.paths.parting import parting
from ui.paths.state import ONE, PAIR, TASK, PathsInputs, paths_link, plan_command, trace_command
from ui.paths.texts import Texts, first_texts, items_of, sibling_of, task_of, vary
from ui.state import OTHER

COUNTED = (((10, 4), (8, 0)), ((20, 2), (4, 1)), ((30, 3),))
TEXTS = (("Say", ".", " a", ":"), ("Say", ".", " b", ":"), ("Say", ".", ":"))
INPUTS = PathsInputs("Ivy", (("SFT", "ivy-sft"),), "SFT", "ivy-sft", instruction="Say «it».", query="big:", answer="-x")


# ---- which token sends out the paths


def test_places_are_counted_from_t_inst_over_the_samples_that_have_them() -> None:
    found = emitters(make_trace(COUNTED, tokens=TEXTS, key="a" * 64))
    assert [(one.offset, one.high.n, one.token) for one in found] == [(0, 3, "."), (1, 2, "")]
    inst, after = found
    assert inst.high.mean == 3.0 and inst.paths == 20.0 and inst.label == "0 ." and after.label == "+1 …"
    assert inst.share.value == pytest.approx(9 / 60), "a ratio of sums, not a mean of ratios"
    expected = ratio_interval(np.array([4.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
    assert (inst.share.low, inst.share.high) == (expected.low, expected.high)
    assert inst.high.low is not None and inst.high.low <= 3.0


def test_one_sample_has_its_tokens_and_no_interval() -> None:
    inst, after = emitters(make_trace(COUNTED, tokens=TEXTS, key="b" * 64), 1)
    assert (inst.high.mean, inst.paths, inst.high.low) == (2.0, 20.0, None) and after.token == " b"


def test_the_chart_of_places_says_what_to_see() -> None:
    found = emitters(make_trace(COUNTED, tokens=TEXTS, key="c" * 64))
    chart = emitters_chart([("base", found), ("SFT", found)], SHARES, max_rank=100, chance=0.05)
    text = chart.to_json()
    assert "Which token’s paths rank the answer high" in text and "by chance" not in text and "5.0%" in text
    assert "share of rank ≤ 100" in text and '"xOffset"' in text
    counts = emitters_chart([("base", found)], COUNTS, max_rank=10)
    assert "in a sample" in counts.to_json() and '"xOffset"' not in counts.to_json()
    assert "<svg" in as_svg(chart) and "<svg" in as_svg(counts)
    one = emitters_chart([("base", emitters(make_trace(COUNTED, tokens=TEXTS, key="d" * 64), 0))], COUNTS, max_rank=10)
    assert "no interval" in one.to_json()
    assert "No path leads" in emitters_chart([("base", ())], COUNTS, max_rank=10).to_json()


def test_a_place_without_paths_has_no_share() -> None:
    run = make_trace((((0, 0), (3, 1)), ((0, 0), (3, 1))), key="e" * 64)
    none, some = emitters(run)
    assert none.share.value is None and some.share.value == pytest.approx(1 / 3)
    assert "<svg" in as_svg(emitters_chart([("base", (none, some))], SHARES, max_rank=10))


def test_tables_hold_every_row() -> None:
    run = make_trace(COUNTED, tokens=TEXTS, key="f" * 64)
    rows = list(csv.DictReader(io.StringIO(rows_csv([("SFT", run)]))))
    assert len(rows) == 5 and (rows[4]["sample"], rows[4]["offset"], rows[4]["paths"]) == ("2", "0", "30")
    places = list(csv.DictReader(io.StringIO(emitters_csv([("SFT", "tiny", emitters(run))]))))
    assert [row["offset"] for row in places] == ["0", "1"] and float(places[0]["share"]) == pytest.approx(0.15)


# ---- what paths carry


def test_coverage_sums_over_sources() -> None:
    found = coverage_of(make_trace(key="1" * 64), (0, 1), 400)
    assert (found.n_paths, found.n_high, found.chance) == (13, 3, 0.25)
    assert found.high == pytest.approx(3 / 13) and found.of_followed == pytest.approx(sum(LOGITS) / 6)
    assert found.of_all == pytest.approx(sum(LOGITS) / 4)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, ["30%", "25%", "100 of 400 tokens", "1.500", "50%", "almost none of its logit"]),
        ({"logit_all": None}, ["50% of the 3.000 of the paths followed."]),
        ({"logit_followed": 0.0}, ["which is 5.0% of the 30.000 of all paths"]),
        ({"logit_followed": 0.0, "logit_all": None}, ["no share"]),
        ({"logit_followed": -0.5}, ["−300%"]),
        ({"n_high": 0}, ["None of the 10 paths", "first 100"]),
        ({"n_paths": 0, "n_high": 0}, ["No path leads"]),
        ({"vocabulary": None}, ["30%"]),
    ],
)
def test_coverage_in_words(changes: dict[str, object], parts: list[str]) -> None:
    found = Coverage(10, 3, 1.5, 3.0, 30.0, 100, 400)
    text = plain(coverage_words(replace(found, **changes), "<b>small"))
    assert all(part in text for part in parts), text
    assert ("at random" in text) == (not changes or "logit" in next(iter(changes)))


def test_small_shares_are_not_rounded_away() -> None:
    assert [part_words(value) for value in (None, 0.0, 0.0004, -0.021, 1.37)] == [
        "not defined",
        "0%",
        "0.040%",
        "−2.1%",
        "137%",
    ]


# ---- where two instructions part


def test_shared_paths_are_found_and_the_others_leave_where_they_do() -> None:
    found = parting(make_paths([0, 2]), make_paths([1, 2]), (1, 1))
    assert (found.shared, found.first_only, found.second_only, found.same_heads) == (1, 1, 1, 1)
    assert found.first_leaves.tolist() == [1, 0] == found.second_leaves.tolist() and found.first_layer == 0
    later = Paths(np.array([[1, 2, 2]], dtype=np.int16), np.array([1]), np.array([1.0]), make_paths().edges)
    assert parting(make_paths([0]), later, (1, 1)).first_leaves.tolist() == [0, 1], "the same way until layer 1"
    assert parting(make_paths(), make_paths(), (1, 1)).first_layer is None
    assert parting(make_paths(), make_paths(), (1, 0)).shared == 0, "control: places are counted from T_inst"
    assert parting(make_paths(), make_paths([]), (1, 1)).first_leaves.tolist() == [3, 0]


def test_other_heads_on_the_same_places_are_told() -> None:
    other = make_paths()
    heads = other.edges.heads.copy()
    heads[1, 1, 3, 2] = True
    found = parting(make_paths(), Paths(other.positions, other.ranks, other.logits, Edges(heads)), (1, 1))
    assert (found.shared, found.same_heads) == (3, 2)


def test_the_charts_of_parting_and_flow_say_what_to_see() -> None:
    found = parting(make_paths([0, 2]), make_paths([1, 2]), (1, 1))
    text = parting_chart(found, ("one", "two")).to_json()
    assert "Where two instructions part" in text and "1 paths are shared" not in text and "only one" in text
    assert "none leave" in parting_chart(parting(make_paths(), make_paths(), (1, 1)), ("a", "b")).to_json()
    flow = make_traced(key="2" * 64).run.flow(0)
    text = flow_chart(flow).to_json()
    assert "2.000 logits in every layer" in text and '"flow": 0.5' in text and "<svg" in as_svg(flow_chart(flow))


# ---- texts, address, commands


def test_the_next_query_is_one_whose_paths_come_with_the_app() -> None:
    first = first_texts("adj_ant")
    assert task_of(first.instruction) is not None and task_of("Sing.") is None
    second = vary(first, 1, 0)
    assert second is not None and (second.query, second.answer) == items_of("adj_ant")[1]
    other = vary(first, 0, 1)
    assert other is not None and other.query == first.query and other.instruction != first.instruction
    assert vary(Texts("Sing.", "a", "b"), 1, 0) is None
    lost = vary(Texts(first.instruction, "no such query", ""), 1, 0)
    assert lost is not None and lost.query == first.query, "from an unknown query on to the first"


def test_the_sibling_asks_something_else_of_the_same_query() -> None:
    first = first_texts("adj_ant")
    sibling = sibling_of(first)
    assert sibling is not None and task_of(sibling.instruction).name == "adj_comp"  # type: ignore[union-attr]
    assert sibling.query == first.query and sibling.answer != first.answer
    assert sibling_of(Texts("Sing.", first.query, "")) is None
    assert sibling_of(replace(first, query="none")) is None


def test_an_address_names_everything() -> None:
    named = {k: v[0] for k, v in parse_qs(urlsplit(paths_link("http://h/paths", INPUTS)).query).items()}
    assert named | {"look": ONE, "k": "1", "begin": "T_inst", "rank": "100", "surrogate": "as defined"} == named
    assert named["instruction"] == "Say «it»." and named["answer"] == "-x" and "instruction2" not in named
    other = replace(INPUTS, family=OTHER, ref="/a b", sources="8,9", picture=PAIR, instruction2="Two", answer2="b")
    named = {k: v[0] for k, v in parse_qs(urlsplit(paths_link("http://h/paths", other)).query).items()}
    assert named | {"ref": "/a b", "begin": "these positions", "at": "8,9", "instruction2": "Two"} == named
    task = replace(INPUTS, view=TASK, task="adj_ant", sources="from_t_inst")
    named = {k: v[0] for k, v in parse_qs(urlsplit(paths_link("http://h/paths", task)).query).items()}
    assert named | {"task": "adj_ant", "samples": "100", "emit": "T_inst and after"} == named and "query" not in named


def test_commands_can_be_typed_as_they_are() -> None:
    words = shlex.split(trace_command(INPUTS, INPUTS.instruction, INPUTS.answer, "t_inst"))
    assert words[:4] == ["python", "-m", "ivcore", "trace"] and "--answer=-x" in words and words[-1] == "--json"
    from ivcore.__main__ import _parser

    options = _parser().parse_args(words[3:])
    assert (options.answer, options.top_k, options.sources, options.instruction) == ("-x", 1, "t_inst", "Say «it».")
    plan = plan_command(replace(INPUTS, task="adj_ant", sources="all", stages=(("a", 'x"y'), ("b", "z"))))
    tables = tomllib.loads(plan.split("<<'END'\n", 1)[1].split("\nEND", 1)[0])["paths"]
    assert [table["model"] for table in tables] == ['x"y', "z"] and tables[0]["sources"] == "all"
