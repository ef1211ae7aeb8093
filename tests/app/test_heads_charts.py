"""The Heads page's maps, words and files, from made-up activities that can be counted by hand."""

from __future__ import annotations

import csv
import io
import shlex
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

from ivcore.heads import Agreement, HeadUse, Similarity, SplitHalves
from ivcore.runs import PathsRequest, PathsRun, SampleInfo
from ui.heads import runs as heads_runs
from ui.heads.attention import attention_chart
from ui.heads.detail import head_paths, paths_table
from ui.heads.files import heads_commands, heads_csv, layers_csv
from ui.heads.likeness import jaccard_chart, jaccard_words, layer_groups, spearman_chart
from ui.heads.maps import (
    difference_frame,
    difference_map,
    head_frame,
    head_map,
    picked_head,
    scale_end,
)
from ui.heads.published import beside, matching_tables
from ui.heads.result import default_head, maps_heading, shared_words
from ui.heads.runs import Side
from ui.heads.selector import difference_chart, likeness_chart, selector_heading, selector_words
from ui.heads.state import (
    ACTIVITY,
    EXCESS,
    KS,
    P_ADJUSTED,
    POSITIONS,
    STAGES,
    TASKS,
    VALUES,
    WIDTH,
    HeadsInputs,
    Wanted,
    heads_command,
    heads_link,
    threshold_complaints,
    two_sides,
)
from ui.state import OTHER

RATES = np.array([[0.0, 0.05, 0.8], [0.5, 0.2, 0.4]])
N = 12
SCRIPT = "<script>window.hacked=1</script>"
_KEYS = count()


def made(
    rates: NDArray[np.float64] = RATES, *, name: str = "adj_comp", chance: float = 0.2, n: int = N, left_out: int = 0
) -> Side:
    """A side whose heads have these activities on average."""
    noise = np.linspace(-0.04, 0.04, n)[:, None, None] * (rates > 0)
    use = HeadUse(rates + noise, np.full((n, *rates.shape), chance), left_out)
    request = PathsRequest("adj_comp", "Do it.", tuple((f"q{i}", "a") for i in range(n)), 1, "from_before")
    model = {"ref": "tiny", "family": "Tiny", "n_layers": len(rates), "fingerprint": "f" * 64, "device": "cpu"}
    samples = (SampleInfo(("a",), (1,), 0, 2, "a"),) * n
    key = f"{next(_KEYS):064d}"
    run = PathsRun(key, request, model | {"dtype": "float32"}, "2026-01-02T03:04:05+00:00", 1.0, False, samples, {})
    return Side(Wanted(name, "SFT", "tiny", "adj_comp", 1, 0), request, run, use)


def inputs(**changes: Any) -> HeadsInputs:
    named: dict[str, Any] = {"family": "ivy", "stages": (("base", "ivy-base"), ("SFT", "ivy-sft")), "stage": "SFT"}
    named |= {"task": "adj_comp", "other_task": "adj_ant", "other_stage": "base", "head": "1.2"}
    return HeadsInputs(**(named | changes))


def spec(chart: Any) -> dict[str, Any]:
    found: dict[str, Any] = chart.to_dict(validate=True)
    return found


def color(chart: Any) -> dict[str, Any]:
    condition = spec(chart)["layer"][0]["encoding"]["color"]["condition"]
    return condition[0] if isinstance(condition, list) else condition


# ---- the two sides


def test_sides_are_told_apart_by_what_differs() -> None:
    tasks = two_sides(inputs(by=TASKS))
    assert [(one.name, one.task) for one in tasks] == [("adj_comp", "adj_comp"), ("adj_ant", "adj_ant")]
    stages = two_sides(inputs(by=STAGES))
    assert [(one.name, one.ref) for one in stages] == [("base", "ivy-base"), ("SFT", "ivy-sft")], "in order of training"
    places = two_sides(inputs(by=POSITIONS, offset=1, other_offset=-1))
    assert [(one.name, one.offset) for one in places] == [("T_inst − 1", -1), ("T_inst + 1", 1)]
    ks = two_sides(inputs(by=KS, top_k=3, other_k=1))
    assert [(one.name, one.top_k) for one in ks] == [("k = 1", 1), ("k = 3", 3)]


def test_what_both_share_is_said_once() -> None:
    assert shared_words(inputs()) == "SFT, k = 1, from T_inst"
    assert shared_words(inputs(by=POSITIONS)) == "adj_comp, SFT, k = 1"


def test_the_address_brings_the_inputs_back() -> None:
    asked = inputs(by=KS, task=SCRIPT, offset=-1, threshold=0.25, value=P_ADJUSTED, sample=4)
    address = heads_link("http://host/heads", asked)
    assert "<" not in address
    named = parse_qs(urlsplit(address).query)
    expected = {"by": KS, "task": SCRIPT, "k": "1", "k2": "2", "offset": "-1", "threshold": "0.25", "head": "1.2"}
    expected |= {"value": P_ADJUSTED, "sample": "4", "stage": "SFT", "surrogate": "as defined"}
    assert {name: named[name] for name in expected} == {name: [value] for name, value in expected.items()}
    assert "stage" not in parse_qs(urlsplit(heads_link("", inputs(family=OTHER))).query)


def test_a_threshold_outside_its_range_is_told() -> None:
    for text in ("2", "-1", "nan", "high", "inf"):
        (told,) = threshold_complaints({"threshold": [text]})
        assert f"“{text}”" in told
    assert not threshold_complaints({"threshold": ["0.3"]}) and not threshold_complaints({})


# ---- maps


def test_a_map_has_every_head_with_its_numbers() -> None:
    side = made()
    found = heads_runs.activity(side)
    frame = head_frame(found, ACTIVITY, 0.1)
    assert frame["name"].tolist() == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]
    assert frame["shade"].tolist() == pytest.approx(RATES.ravel().tolist())
    assert frame["active"].tolist() == (RATES.ravel() > 0.1).tolist()
    assert head_frame(found, ACTIVITY, 0.45)["active"].sum() == 2, "the threshold counts"
    assert head_frame(found, EXCESS, 0.1)["shade"].tolist() == pytest.approx((RATES - 0.2).ravel().tolist())
    assert frame["excess"].tolist()[2] == "+0.600" and frame["excess"].tolist()[0] == "−0.200"
    assert maps_heading([side], 0.1) == "Active heads of 6: adj_comp 4"


def test_magnitudes_begin_at_zero_and_effects_are_centred() -> None:
    both = [heads_runs.activity(made()), heads_runs.activity(made(RATES / 2))]
    for value in VALUES:
        end = scale_end(both, value)
        domain = color(head_map("a", both[1], value=value, end=end, threshold=0.1, chosen="0.2"))["scale"]["domain"]
        if value == EXCESS:
            assert domain[0] == -domain[-1] and domain[2] == 0 and end == pytest.approx(0.6, abs=1e-9)
        else:
            assert domain == [0, end]
    assert scale_end(both, ACTIVITY) == pytest.approx(0.8), "one scale for both"
    assert scale_end([heads_runs.activity(made(np.zeros((2, 3)), chance=0.0))], WIDTH) == 0.1, "nothing stays pale"


def test_small_p_is_dark_and_undefined_p_is_gray() -> None:
    rates = np.array([[0.0, 0.5, 0.9]])
    frame = head_frame(heads_runs.activity(made(rates, chance=0.5)), P_ADJUSTED, 0.1).set_index("name")
    assert frame["shade"]["0.2"] == 4 and frame["p"]["0.2"] == "<0.0001"
    assert frame["shade"]["0.1"] < 0.5
    assert not frame["defined"]["0.0"] and frame["p"]["0.0"] == "not defined", "all prompts agree"
    assert color(head_map("a", heads_runs.activity(made(rates)), value=P_ADJUSTED, end=4, threshold=0.1))["test"]


def test_one_prompt_has_no_interval() -> None:
    found = heads_runs.activity(made(n=1))
    frame = head_frame(found, WIDTH, 0.1)
    assert not frame["defined"].any() and set(frame["interval"]) == {"not defined"}
    assert spec(head_map("a", found, value=WIDTH, end=scale_end([found], WIDTH), threshold=0.1))


def test_the_difference_is_the_second_less_the_first() -> None:
    changed = RATES.copy()
    changed[1, 0] = 0.1
    sides = made(), made(changed, name="adj_ant", chance=0.1)
    found = [heads_runs.activity(side) for side in sides]
    frame = difference_frame(*found, ACTIVITY).set_index("name")
    assert frame["shade"]["1.0"] == pytest.approx(-0.4) and frame["difference"]["1.0"] == "−0.400"
    assert difference_frame(*found, EXCESS).set_index("name")["shade"]["0.2"] == pytest.approx(0.1)
    assert default_head(sides) == "1.0" and default_head(sides[:1]) == "0.2"
    chart = difference_map(("adj_comp", "adj_ant"), *found, value=P_ADJUSTED, chosen="1.0")
    said = spec(chart)["title"]
    assert said["text"] == "adj_ant − adj_comp" and "largest: head 1.0, −0.400" in said["subtitle"]
    assert color(chart)["scale"]["domain"][-1] == pytest.approx(0.4), "of activity, where p-values are shown"


def test_a_click_chooses_a_head() -> None:
    assert picked_head({"selection": {"picked": [{"name": "1.2"}]}}) == "1.2"
    for event in (None, {}, {"selection": {"picked": []}}, {"selection": {"picked": [{"vlPoint": 1}]}}):
        assert picked_head(event) is None


def test_an_odd_name_never_becomes_an_expression() -> None:
    chart = head_map("a", heads_runs.activity(made()), value=ACTIVITY, end=1, threshold=0.1, chosen="' || true")
    assert spec(chart)["layer"][-1]["transform"] == [{"filter": "false"}]


# ---- one head


def test_the_kept_paths_through_a_head_are_listed_best_first() -> None:
    """Paths over three tokens: 0-0-2 by head 1.1, 0-1-2 by heads 0.0 and 1.1, 0-2-2 by head 0.1."""
    heads = np.zeros((2, 2, 3, 3), dtype=bool)
    heads[0, 0, 1, 0] = heads[0, 1, 2, 0] = heads[1, 1, 2, 0] = heads[1, 1, 2, 1] = True
    paths = np.array([[0, 0, 2], [0, 1, 2], [0, 2, 2]], dtype=np.int16)
    arrays: dict[str, Any] = {"sample": np.array([0]), "position": np.array([0]), "head_use": np.zeros((1, 2, 2))}
    arrays |= {"path_row": np.zeros(3, dtype=int), "path_positions": paths, "edges_0": np.packbits(heads)}
    arrays |= {"path_rank": np.array([7, 3, 3]), "path_logit": np.array([1.0, 0.5, -2.0])}
    info = SampleInfo(("a", SCRIPT, "c"), (1, 2, 3), 0, 3, "d")
    request = PathsRequest("adj_comp", "Do it.", (("q", "d"),), 1, n_listed=1)
    run = PathsRun("0" * 64, request, {"n_layers": 2}, "", 1.0, False, (info,), arrays)
    side = Side(Wanted("a", "", "tiny", "adj_comp", 1, 0), request, run, None)
    found = head_paths(side, 1, 1)
    assert [(path.rank, path.logit) for path in found] == [(3, 0.5), (7, 1.0)]
    assert "layer 0 (head 0) → 1 “" in found[0].words and found[1].words.startswith("0 “a” → layer 1 (head 1)")
    assert paths_table(found)["prompt"].tolist() == [1, 1]
    assert not head_paths(side, 1, 0)
    assert [path.rank for path in head_paths(side, 0, 1)] == [3]


def test_attention_is_drawn_below_the_diagonal() -> None:
    pattern = np.tril(np.full((3, 3), 0.5))
    edges = np.zeros((3, 3), dtype=bool)
    edges[2, 0] = True
    drawn = spec(attention_chart(["a", "a", SCRIPT], pattern, edges, "Head"))
    (cells,) = drawn["datasets"].values()
    assert len(cells) == 6 and [cell["at"] for cell in cells if cell["edge"]] == ["0 a"]
    assert {cell["looks"] for cell in cells} == {"0 a", "1 a", "2 <script>windo…"}


# ---- the circuit selector


def half(layer: int, difference: float | None, low: float, high: float) -> SplitHalves:
    if difference is None:
        return SplitHalves(layer, None, None, None, None, None, "no head of this layer is ever used")
    return SplitHalves(layer, 0.9 - difference, 0.9, difference, low, high, None)


def test_where_the_tasks_part_is_said() -> None:
    rows = [half(0, 0.01, -0.1, 0.1), half(1, 0.2, 0.05, 0.3), half(2, None, 0, 0), half(3, 0.3, 0.1, 0.4)]
    assert selector_heading(rows, ("a", "b")) == "a and b first part in layer 1"
    said = selector_words(rows)
    assert "layers 1 and 3 of 4" in said and "+0.300 (+0.100 to +0.400), is in layer 3" in said
    assert "Not defined in layer 2: no head of this layer is ever used." in said
    dots = spec(difference_chart(rows))["datasets"]
    assert [row["parts"] for row in max(dots.values(), key=len)] == [False, True, True]
    assert len(max(spec(likeness_chart(rows))["datasets"].values(), key=len)) == 6


def test_not_more_than_the_prompts_do_is_said() -> None:
    rows = [half(0, 0.1, -0.1, 0.3), half(1, 0.2, 0.0, 0.3)]
    assert selector_heading(rows, ("a", "b")) == "a and b differ in no layer by more than their prompts do"
    everywhere = [half(0, 0.2, 0.1, 0.3), half(1, 0.2, 0.1, 0.3)]
    assert selector_heading(everywhere, ("a", "b")) == "a and b differ in every layer by more than their prompts do"
    assert "Above zero in every layer of 2" in selector_words(everywhere)
    unused = [half(0, None, 0, 0)]
    assert selector_heading(unused, ("a", "b")).startswith("Not defined")
    for chart in (difference_chart(unused), likeness_chart(unused)):
        assert spec(chart)["title"]["text"] == "Nothing to show yet"


# ---- likeness


def test_groups_are_the_published_ones_or_thirds() -> None:
    assert layer_groups(16, TASKS) == ((0, 2), (6, 9), (10, 15))
    assert layer_groups(16, KS) == ((0, 1), (4, 5), (14, 15))
    assert layer_groups(8, TASKS) == ((0, 2), (3, 5), (6, 7)) and layer_groups(2, TASKS) == ((0, 0), (1, 1))


def test_what_is_not_defined_has_its_reason() -> None:
    rows = [
        Similarity((0, 2), 0.5, 0.25, 0.75, (3, 4), None),
        Similarity((3, 3), None, None, None, (0, 0), "no head of these layers is active in either"),
        Similarity((4, 5), 1.0, None, None, (1, 1), None),
    ]
    assert jaccard_words(rows[0]) == "Layers 0-2: 0.50 (0.25 to 0.75), of 3 and 4 active heads."
    assert jaccard_words(rows[1]) == "Layers 3: not defined, no head of these layers is active in either."
    assert "no interval" in jaccard_words(rows[2])
    assert len(max(spec(jaccard_chart(rows, 0.1))["datasets"].values(), key=len)) == 2
    ranks = [
        Agreement(-0.25, -0.5, 0.25, 6, None),
        Agreement(None, None, None, 6, "one of the two gives all the same value"),
    ]
    drawn = spec(spearman_chart(ranks))
    assert drawn["layer"][0]["encoding"]["y"]["scale"]["domain"] == [-0.5, 1]
    assert spec(spearman_chart(ranks[1:]))["title"]["text"] == "Nothing to show yet"


# ---- published


def test_only_the_very_comparison_of_the_paper_stands_beside_it() -> None:
    olmo: dict[str, Any] = {"family": "OLMo-2 1B", "stages": (("base", "b"), ("SFT", "s"), ("DPO", "d"))}
    assert matching_tables(inputs(**olmo, by=KS)) == (2, 3)
    assert matching_tables(inputs(**olmo, by=KS, top_k=3, other_k=2)) == (21,)
    assert matching_tables(inputs(**olmo, top_k=2, offset=-1)) == (23,)
    for other in (
        inputs(by=KS),
        inputs(**olmo, by=STAGES),
        inputs(**olmo, task="can_fly", other_task="anim_color"),
        inputs(**olmo, by=KS, offset=1),
        inputs(**olmo, top_k=4),
    ):
        assert matching_tables(other) == ()
    rows = beside(inputs(**olmo, top_k=1, offset=0), 22, [("0-2", "0.90 (0.80 to 1.00)")])
    assert (rows[0].where, rows[0].published) == ("0-2", 0.952)
    assert [row.own for row in rows] == ["0.90 (0.80 to 1.00)", "not computed", "not computed"]
    layers = beside(inputs(**olmo, by=KS, task="adj_ant", stage="base"), 2, [])
    assert (layers[0].where, layers[0].published) == ("0", 0.65)


# ---- files


def test_the_table_has_every_head_of_both_sides() -> None:
    sides = [made(), made(RATES / 2, name="adj_ant")]
    lines = list(csv.DictReader(io.StringIO(heads_csv(sides, 0.1))))
    assert len(lines) == 12 and [line["side"] for line in lines[5:7]] == ["adj_comp", "adj_ant"]
    assert float(lines[2]["activity"]) == pytest.approx(0.8) and lines[2]["active"] == "1" and lines[0]["active"] == "0"
    assert lines[0]["p"] == "" or 0 <= float(lines[0]["p"]) <= 1
    assert lines[0]["n"] == str(N) and (lines[4]["layer"], lines[4]["head"]) == ("1", "1")
    layers = list(csv.DictReader(io.StringIO(layers_csv(sides, [(0, 1)], 0.1))))
    assert [line["measure"] for line in layers].count("spearman") == 2
    assert {line["measure"] for line in layers} >= {"jaccard", "likeness_between", "halves_less_between"}


def test_commands_name_each_side_once() -> None:
    sides = [made(), made()]
    (command,) = heads_commands(inputs(surrogate="released"), sides)
    assert shlex.split(command)[3:] == [
        *["heads", "--model", "tiny", "--task", "adj_comp", "--top-k", "1", "--samples", str(N)],
        *["--surrogate", "released", "--json"],
    ]
    lines = [heads_command(inputs(by=POSITIONS), side, N) for side in two_sides(inputs(by=POSITIONS))]
    assert [("--offset" in shlex.split(line)) for line in lines] == [False, True]
