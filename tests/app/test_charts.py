"""The charts: what is drawn, on which scale, with which words; and that they need no network."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any
from xml.etree import ElementTree

import altair as alt
import pytest

from tests.app.reports import make_report, measured
from ui import charts
from ui.numbers import SetRow, pair_rows, set_rows

N_LAYERS = 3
SETS = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]


@pytest.fixture
def rows() -> tuple[SetRow, ...]:
    """Logit effects 0, 1, ... and −3 for the last pair."""
    patched = {layers: measured(9 - i, 1.0 + i) for i, layers in enumerate(SETS[:-1])}
    return set_rows(make_report(patched | {(1, 2): measured(40, -2.0)}))


def spec(chart: alt.LayerChart) -> dict[str, Any]:
    """The chart as Vega-Lite, validated against its schema."""
    return json.loads(json.dumps(chart.to_dict(validate=True)))


def data(chart: alt.LayerChart) -> list[dict[str, Any]]:
    """The rows of the chart's largest data set."""
    return max(spec(chart)["datasets"].values(), key=len)


def test_the_map_has_a_cell_for_each_single_and_pair(rows: tuple[SetRow, ...]) -> None:
    cells = data(charts.effect_map(rows, N_LAYERS, metric="logit"))
    assert {(cell["low"], cell["high"]) for cell in cells} == {(str(s[0]), str(s[-1])) for s in SETS}
    assert all(int(cell["low"]) <= int(cell["high"]) for cell in cells)


def test_the_maps_scale_is_centred_on_zero_and_reaches_the_largest_effect(rows: tuple[SetRow, ...]) -> None:
    color = spec(charts.effect_map(rows, N_LAYERS, metric="logit"))["layer"][0]["encoding"]["color"]
    domain, colors = color["scale"]["domain"], color["scale"]["range"]
    assert domain == sorted(domain) and (domain[0], domain[-1]) == (-4.0, 4.0)
    assert domain == [-value for value in reversed(domain)] and domain[len(domain) // 2] == 0
    assert (colors[0], colors[-1]) == (charts.NEGATIVE, charts.POSITIVE) and len(colors) == len(domain)


def test_effects_of_nothing_much_stay_pale() -> None:
    tiny = set_rows(make_report({(0,): measured(10, 1.001), (1,): measured(10, 0.999)}))
    color = spec(charts.effect_map(tiny, 2, metric="logit"))["layer"][0]["encoding"]["color"]
    assert (color["scale"]["domain"][0], color["scale"]["domain"][-1]) == (-0.1, 0.1)


def test_the_selected_set_is_outlined_and_a_larger_set_is_not(rows: tuple[SetRow, ...]) -> None:
    def outlined(selected: tuple[int, ...]) -> str:
        layers = spec(charts.effect_map(rows, N_LAYERS, metric="rr", selected=selected))["layer"]
        return next(layer["transform"][0]["filter"] for layer in layers if "transform" in layer)

    assert outlined((2, 0)) == "datum.low == '0' && datum.high == '2'"
    assert outlined((1,)) == "datum.low == '1' && datum.high == '1'"
    assert outlined((0, 1, 2)) == outlined(()) == "false"


@pytest.mark.parametrize("metric", ["rr", "logit", "logprob"])
def test_charts_say_what_to_see_and_name_the_unit(rows: tuple[SetRow, ...], metric: str) -> None:
    for chart in (
        charts.effect_map(rows, N_LAYERS, metric=metric),
        charts.pair_chart(pair_rows(rows, metric), metric=metric),
    ):
        made = spec(chart)
        assert made["title"]["text"] and made["title"]["subtitle"]
        encodings = [layer["encoding"] for layer in made["layer"]]
        assert any(encoding["x"]["title"] and encoding["y"]["title"] for encoding in encodings)
        assert charts.UNITS[metric] in json.dumps(made)


def test_the_pair_chart_compares_on_equal_axes(rows: tuple[SetRow, ...]) -> None:
    made = spec(charts.pair_chart(pair_rows(rows, "logit"), metric="logit"))
    domains = {json.dumps(layer["encoding"][axis]["scale"]["domain"]) for layer in made["layer"] for axis in "xy"}
    assert len(domains) == 1
    sides = {row["layers"]: row["side"] for row in data(charts.pair_chart(pair_rows(rows, "logit"), metric="logit"))}
    assert sides == {"0 and 1": "more than the sum", "0 and 2": "more than the sum", "1 and 2": "less than the sum"}


def test_a_click_gives_the_set_and_a_click_beside_gives_none() -> None:
    assert charts.selected_layers({"selection": {"cell": [{"low": "1", "high": "6"}]}}) == (1, 6)
    assert charts.selected_layers({"selection": {"cell": [{"low": "4", "high": "4"}]}}) == (4,)
    assert charts.selected_layers({"selection": {"cell": []}}) is None
    assert charts.selected_layers(None) is None


def test_nothing_to_draw_is_said() -> None:
    for chart in (charts.effect_map((), 4, metric="rr"), charts.pair_chart((), metric="rr")):
        made = spec(chart)
        assert made["title"]["text"] == "Nothing to show yet"
        assert "appear" in json.dumps(made["datasets"])


def test_equal_effects_and_deep_models_are_drawn_too() -> None:
    flat = set_rows(make_report({(layer,): measured(10, 1.0) for layer in range(40)}))
    assert len(data(charts.effect_map(flat, 40, metric="rr"))) == 40
    pairs = {layers: measured(10, 1.0) for size in (1, 2) for layers in itertools.combinations(range(4), size)}
    assert len(data(charts.pair_chart(pair_rows(set_rows(make_report(pairs)), "rr"), metric="rr"))) == 6


def test_pictures_stand_alone(rows: tuple[SetRow, ...]) -> None:
    for chart in (
        charts.effect_map(rows, N_LAYERS, metric="rr", selected=(0, 1)),
        charts.pair_chart(pair_rows(rows, "rr"), metric="rr"),
    ):
        picture = charts.as_svg(chart)
        assert ElementTree.fromstring(picture).tag.endswith("svg")
        addresses = re.findall(r"https?://[^\"'\s)]+", picture)
        assert set(addresses) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
