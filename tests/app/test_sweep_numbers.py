"""Rows, files and charts of a finished sweep, against numbers worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import altair as alt
import pytest

from ivcore.patching import rank_sets, superadditivity
from tests.app.sweeps import make_run
from ui.charts import as_svg
from ui.sweep import charts as sweep_charts
from ui.sweep.numbers import sample_rows
from ui.sweep.state import SweepInputs, set_name, set_of, sweep_command, sweep_link, sweep_parameters
from ui.text import duration, operations, p_value
from ui.triangle import selected_layers

N_LAYERS = 4


def spec(chart: alt.LayerChart) -> dict[str, Any]:
    return json.loads(json.dumps(chart.to_dict(validate=True)))


def data(chart: alt.LayerChart) -> list[dict[str, Any]]:
    """The rows of the chart's largest data set."""
    return max(spec(chart)["datasets"].values(), key=len)


def test_sample_rows_hold_the_words_and_the_differences() -> None:
    run = make_run()
    rows = sample_rows(run, (1, 3), "logit")
    at = run.sets.index((1, 3))
    for i, row in enumerate(rows):
        assert (row.query, row.answer) == run.request.items[i] and row.token == f" answer{i}"
        assert row.effect == pytest.approx(float(run.patched.logit[at, i]) - float(run.target.logit[i]))
        assert (row.rank_full, row.rank_target) == (run.full.rank[i], run.target.rank[i])
    assert sample_rows(run, (0,), "logit")[0].effect != rows[0].effect, "another set has other numbers"


def test_the_map_shows_every_single_and_pair_and_no_triple() -> None:
    run = make_run(depth=3)
    ranked = rank_sets(run.effects("logit"), run.sets)
    chart = sweep_charts.sweep_map(ranked, N_LAYERS, metric="logit", selected=(1, 3))
    cells = data(chart)
    assert {cell["set"] for cell in cells} == {set_name(layers) for layers in run.sets if len(layers) < 3}
    strongest = next(cell for cell in cells if cell["set"] == "1,3")
    assert strongest["effect"] == pytest.approx(run.effects("logit")[run.sets.index((1, 3))].mean())
    scale = spec(chart)["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert scale[0] == -scale[-1] and scale[-1] == pytest.approx(strongest["effect"])
    assert "layers 1 and 3" in spec(chart)["title"]["subtitle"][1]


def test_a_common_scale_overrides_the_panels_own() -> None:
    ranked = rank_sets(make_run().effects("logit"), make_run().sets)
    scale = spec(sweep_charts.sweep_map(ranked, N_LAYERS, metric="logit", span=50.0))
    assert scale["layer"][0]["encoding"]["color"]["scale"]["domain"][-1] == 50.0


def test_a_slice_holds_the_sets_with_its_layer_and_no_other() -> None:
    run = make_run(depth=3)
    ranked = rank_sets(run.effects("logit"), run.sets)
    cells = data(sweep_charts.slice_map(ranked, N_LAYERS, 2, metric="logit"))
    assert {cell["set"] for cell in cells} == {set_name(layers) for layers in run.sets if 2 in layers}
    place = {cell["set"]: (cell["low"], cell["high"]) for cell in cells}
    assert place["0,2,3"] == ("0", "3") and place["1,2"] == ("1", "1") and place["2"] == ("2", "2")
    assert len(set(place.values())) == len(place), "no two sets share a cell"


def test_the_ranking_is_in_order_and_keeps_the_chosen_set_in_sight() -> None:
    run = make_run(n_layers=8)
    ranked = rank_sets(run.effects("logit"), run.sets)
    rows = data(sweep_charts.ranking_chart(ranked, metric="logit"))
    assert len(rows) == 20 and [row["mean"] for row in rows] == sorted((row["mean"] for row in rows), reverse=True)
    assert all(row["from"] <= row["mean"] <= row["to"] for row in rows)
    last = ranked[-1]
    with_last = data(sweep_charts.ranking_chart(ranked, metric="logit", selected=last.layers))
    assert len(with_last) == 21 and with_last[-1]["set"] == set_name(last.layers)


def test_the_scatter_puts_the_sum_of_the_singles_beside_what_was_observed() -> None:
    run = make_run(depth=3)
    effects, sets = run.effects("logit"), run.sets
    means = dict(zip(sets, effects.mean(axis=1), strict=True))
    rows = data(sweep_charts.sum_chart(superadditivity(effects, sets), means, metric="logit"))
    assert len(rows) == 6 + 4
    for row in rows:
        layers = set_of(row["set"])
        assert row["sum"] == pytest.approx(sum(means[layer,] for layer in layers))
        assert row["observed"] == pytest.approx(means[layers])
    sides = {row["set"]: row["side"] for row in rows}
    assert sides["1,3"] == "more than the sum" and set(sides.values()) > {"more than the sum"}


def test_one_sample_is_drawn_without_an_interval() -> None:
    run = make_run(n=1)
    (row, *_) = rank_sets(run.effects("rr"), run.sets)
    chart = spec(sweep_charts.strip_chart(sample_rows(run, row.layers, "rr"), row, metric="rr"))
    assert "rect" not in json.dumps([layer["mark"] for layer in chart["layer"]])
    assert sweep_charts.interval(row.low, row.high) == "not defined"
    many = rank_sets(make_run().effects("rr"), make_run().sets)[0]
    chart = spec(sweep_charts.strip_chart(sample_rows(make_run(), many.layers, "rr"), many, metric="rr"))
    assert "rect" in json.dumps([layer["mark"] for layer in chart["layer"]])


def test_every_chart_can_be_drawn_without_a_browser() -> None:
    run = make_run(depth=3)
    effects, sets = run.effects("logit"), run.sets
    ranked, excesses = rank_sets(effects, sets), superadditivity(effects, sets)
    means = {row.layers: row.mean for row in ranked}
    for chart in (
        sweep_charts.sweep_map(ranked, N_LAYERS, metric="logit"),
        sweep_charts.slice_map(ranked, N_LAYERS, 1, metric="logit"),
        sweep_charts.ranking_chart(ranked, metric="logit"),
        sweep_charts.sum_chart(excesses, means, metric="logit"),
        sweep_charts.strip_chart(sample_rows(run, (1, 3), "logit"), ranked[0], metric="logit"),
        sweep_charts.sum_chart([], {}, metric="logit"),
    ):
        assert as_svg(chart).startswith("<svg")


def test_a_click_on_a_named_set_gives_all_its_layers() -> None:
    assert selected_layers({"selection": {"cell": [{"set": "1,3,11"}]}}) == (1, 3, 11)
    assert selected_layers({"selection": {"cell": [{"set": "4"}]}}) == (4,)
    assert selected_layers({"selection": {"cell": []}}) is None


INPUTS = SweepInputs("ivy", "SFT", "ivy-sft", "can_fly", 50, 3, "released", "logprob", (0, 7))


def test_the_address_and_the_command_name_every_input() -> None:
    named = sweep_parameters(INPUTS)
    assert named["convention"] == "as released" and named["metric"] == "log-probability" and named["set"] == "0,7"
    assert sweep_link("http://x/sweep", INPUTS).startswith("http://x/sweep?model=ivy&stage=SFT&task=can_fly&samples=50")
    line = sweep_command(INPUTS)
    assert "--task can_fly --depth 3 --samples 50 --convention released" in line and line.endswith("--json")
    other = sweep_command(replace(INPUTS, convention="exact"), {"task-csv": "a b.csv", "field": "-x"})
    assert "--task-csv 'a b.csv' --field=-x" in other and "--convention" not in other and "--task " not in other


def test_the_engine_takes_the_command() -> None:
    import shlex

    from ivcore.__main__ import _parser

    options = _parser().parse_args(shlex.split(sweep_command(INPUTS))[3:])
    assert (options.task, options.depth, options.samples, options.convention) == ("can_fly", 3, 50, "released")


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.04, "0.0 s"), (3.21, "3.2 s"), (9.96, "10 s"), (61, "1 min 1 s"), (3600 * 4 + 600, "4 h 10 min")],
)
def test_times_in_words(value: float, words: str) -> None:
    assert duration(value) == words


def test_large_numbers_and_small_p_in_words() -> None:
    assert [operations(n) for n in (12, 2.5e6, 3.42e9, 7e12)] == ["12", "2.5 million", "3.42 billion", "7 trillion"]
    assert [p_value(p) for p in (None, 0.0, 0.0123, 1.0)] == ["not defined", "<0.0001", "0.012", "1"]
