"""Charts of the Published page: pure functions from rows to Altair charts.

1. ``published_map`` and ``own_map``: the triangle of singles and pairs, as printed and of one's own run.
2. ``triples_chart``: the ten triples, one line each, over the layers.
3. ``tests_chart``: the printed t values on the curve of all values that t could have taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from ..charts import FAINT, UNITS
from ..text import and_list, layer_names, signed
from ..triangle import INK, POSITIVE, RAMP, title, triangle
from .rows import holding_words

if TYPE_CHECKING:
    from ivcore.published import LayerSet, TestRow, TupleRow

__all__ = [
    "effect_span",
    "own_map",
    "published_map",
    "tests_chart",
    "triples_chart",
]

_LABELLED = 16


def effect_span(rows: Sequence[TupleRow], own: Sequence[float] = ()) -> float:
    """The end of the color scale that serves the published list and one's own run."""
    values = [abs(row.value) for row in rows] + [abs(value) for value in own]
    return max([*values, FAINT[rows[0].metric]])


def published_map(
    rows: Sequence[TupleRow], n_layers: int, *, span: float, selected: Sequence[int] = ()
) -> alt.LayerChart:
    """The ten published cells with their places; every other cell is a grey dot that says "not published"."""
    cells = pd.DataFrame(
        [_cell(row.layers) | {"effect": row.value, "label": str(row.place), "place": row.place} for row in rows]
    )
    tooltips = [
        alt.Tooltip("layers:N", title="patched layers"),
        alt.Tooltip("effect:Q", title=UNITS[rows[0].metric], format="+.2f"),
        alt.Tooltip("place:Q", title="place in the printed list"),
    ]
    drawn = triangle(cells, n_layers, span=span, tooltips=tooltips, selected=selected, labelled=True)
    listed = {row.layers for row in rows}
    dots = _unpublished(_all_sets(n_layers) - listed, drawn)
    notes = [
        f"{_capital(UNITS[rows[0].metric])}. Numbers: place in the printed list.",
        "Grey dots: not published, which is not zero.",
    ]
    return alt.LayerChart(layer=[*dots, drawn]).properties(
        title=title(f"Published: {_first_words(rows)}", notes), height=drawn.height
    )


def own_map(
    means: Mapping[LayerSet, float],
    rows: Sequence[TupleRow],
    n_layers: int,
    *,
    span: float,
    selected: Sequence[int] = (),
) -> alt.LayerChart:
    """Every single and pair of one's own run; numbers are its own top ten, rings the published ones."""
    metric, listed = rows[0].metric, {row.layers for row in rows}
    sets = {layers: mean for layers, mean in means.items() if len(layers) <= 2}
    order = sorted(sets, key=lambda layers: (-sets[layers], layers))
    places = {layers: place for place, layers in enumerate(order, start=1)}
    cells = pd.DataFrame(
        [
            _cell(layers)
            | {
                "effect": mean,
                "label": str(places[layers]) if places[layers] <= 10 else "",
                "place": places[layers],
                "listed": "yes" if layers in listed else "no",
            }
            for layers, mean in sets.items()
        ]
    )
    tooltips = [
        alt.Tooltip("layers:N", title="patched layers"),
        alt.Tooltip("effect:Q", title=UNITS[metric], format="+.4~f"),
        alt.Tooltip("place:Q", title="place in your run"),
        alt.Tooltip("listed:N", title="in the published top ten"),
    ]
    drawn = triangle(cells, n_layers, span=span, tooltips=tooltips, selected=selected, labelled=True)
    rings = (
        alt.Chart(cells)
        .transform_filter("datum.listed == 'yes'")
        .mark_point(shape="circle", size=_ring(n_layers), color=INK, strokeWidth=1, opacity=0.8)
    )
    ringed = rings.encode(**_axes(drawn))
    best = layer_names(order[0])
    notes = [
        "The same color scale. Numbers: place in your run.",
        "Rings: in the published top ten.",
    ]
    return alt.LayerChart(layer=[drawn, ringed]).properties(
        title=title(f"Your run: {best} first ({signed(sets[order[0]])})", notes), height=drawn.height
    )


def triples_chart(rows: Sequence[TupleRow], n_layers: int, *, span: float, own: bool = False) -> alt.LayerChart:
    """Each triple as three marks on a line over the layers, the strongest on top; ``own``: of one's own run."""
    frame = pd.DataFrame(
        [
            {"place": str(row.place), "layer": layer, "layers": and_list(row.layers), "effect": row.value}
            for row in rows
            for layer in row.layers
        ]
    )
    y = alt.Y(
        "place:O",
        title="place in the list",
        sort=[str(row.place) for row in rows],
        axis=alt.Axis(grid=False, ticks=False, domain=False, titleFontWeight="normal"),
    )
    x = alt.X(
        "layer:Q",
        title="layer",
        scale=alt.Scale(domain=[-0.5, n_layers + 2], nice=False),
        axis=alt.Axis(values=list(range(n_layers)), format="d", gridOpacity=0.3, titleFontWeight="normal"),
    )
    base = alt.Chart(frame).encode(y=y, x=x)
    line = base.mark_line(color="gray", opacity=0.5, strokeWidth=2).encode(detail="place:N")
    color = alt.Color(
        "effect:Q",
        scale=alt.Scale(domain=[-span, -0.001 * span, 0, 0.001 * span, span], range=RAMP, interpolate="rgb"),
        legend=None,
    )
    tooltip = [
        alt.Tooltip("layers:N", title="patched layers"),
        alt.Tooltip("effect:Q", title=UNITS[rows[0].metric], format="+.4~f"),
    ]
    dots = base.mark_circle(size=150, opacity=1, stroke=INK, strokeWidth=0.5).encode(color=color, tooltip=tooltip)
    ends = pd.DataFrame([{"place": str(row.place), "end": n_layers - 0.2, "text": signed(row.value)} for row in rows])
    values = alt.Chart(ends).mark_text(align="left", color=INK, fontSize=11.5).encode(y=y, x="end:Q", text="text:N")
    layer, n_sets = _common_layer(rows)
    whose = "Your run" if own else "Published"
    notes = ["Each line: three layers patched at once.", f"On the right: {UNITS[rows[0].metric]}."]
    return alt.LayerChart(layer=[line, dots, values]).properties(
        title=title(f"{whose}: layer {layer} is in {n_sets} of {len(rows)} triples", notes),
        height=30 * len(rows) + 20,
    )


def tests_chart(rows: Sequence[TestRow], counts: Sequence[tuple[int, ...]], curve: Sequence[float]) -> alt.LayerChart:
    """The printed t values on the curve of what t can be for every count of samples.

    Args:
        rows: the printed tests.
        counts: for each row the number of samples that hold, as far as the printed figures tell.
        curve: t for 1, 2, ... samples that hold.
    """
    line = pd.DataFrame({"holding": range(1, len(curve) + 1), "t": curve})
    finite = [(row, found) for row, found in zip(rows, counts, strict=True) if row.t > float("-inf")]
    points = pd.DataFrame(
        [
            {"holding": count, "t": row.t, "layers": and_list(row.layers), "words": holding_words(found)}
            for row, found in finite
            for count in found
        ],
        columns=["holding", "t", "layers", "words"],
    )
    axis = alt.Axis(titleFontWeight="normal", gridOpacity=0.3)
    x = alt.X("holding:Q", title="samples of 100 that hold", axis=axis)
    y = alt.Y("t:Q", title="t, as printed", scale=alt.Scale(domain=[-5200, 200], nice=False), axis=axis)
    drawn = alt.Chart(line).mark_line(color="gray", strokeWidth=2).encode(x=x, y=y)
    zero = alt.Chart(pd.DataFrame({"t": [0], "word": ["what a test needs to come near: 0"]}))
    rule = zero.mark_rule(strokeDash=[4, 4], color=INK, opacity=0.7).encode(y=y)
    word = zero.mark_text(align="left", dy=11, dx=6, color=INK, fontSize=11.5).encode(
        y=y, x=alt.value(0), text="word:N"
    )
    tooltip = [
        alt.Tooltip("layers:N", title="layers"),
        alt.Tooltip("t:Q", title="t as printed", format=",.1f"),
        alt.Tooltip("words:N", title="samples that hold"),
    ]
    dots = alt.Chart(points).mark_circle(size=80, color=POSITIVE, opacity=0.75).encode(x=x, y=y, tooltip=tooltip)
    endless = len(rows) - len(finite)
    notes = ["Line: t for every possible count. Points: the printed values,", "twice where the figures fit two counts."]
    if endless:
        notes.append(f"{endless} of {len(rows)} printed values are −∞ (all samples or none): no point.")
    return alt.LayerChart(layer=[drawn, rule, word, dots]).properties(
        title=title("No outcome could have brought t near zero", notes), height=320
    )


def _cell(layers: LayerSet) -> dict[str, Any]:
    return {"low": str(layers[0]), "high": str(layers[-1]), "layers": and_list(layers)}


def _all_sets(n_layers: int) -> set[LayerSet]:
    pairs = {(low, high) for high in range(n_layers) for low in range(high)}
    return pairs | {(layer,) for layer in range(n_layers)}


def _axes(drawn: alt.LayerChart) -> dict[str, Any]:
    """The map's axes, for marks of another data set."""
    encoding = drawn.layer[0].encoding
    return {"x": encoding.x, "y": encoding.y}


def _unpublished(sets: set[LayerSet], drawn: alt.LayerChart) -> list[alt.Chart]:
    """A grey dot for each set, and around it an invisible cell that answers the pointer."""
    frame = pd.DataFrame([_cell(layers) | {"published": "not published"} for layers in sorted(sets)])
    tooltip = [alt.Tooltip("layers:N", title="patched layers"), alt.Tooltip("published:N", title="effect")]
    base = alt.Chart(frame).encode(**_axes(drawn))
    area = base.mark_rect(color="gray", opacity=0).encode(tooltip=tooltip)
    return [area, base.mark_circle(color="gray", size=5, opacity=0.55).encode(tooltip=tooltip)]


def _ring(n_layers: int) -> int:
    return 420 if n_layers <= _LABELLED else 150


def _first_words(rows: Sequence[TupleRow]) -> str:
    """Which set comes first, and by how much."""
    best = rows[0]
    ties = sum(row.value == best.value for row in rows)
    if ties == len(rows):
        return f"all ten sets tie at {signed(best.value)}"
    if ties > 1:
        return f"{ties} sets tie first ({signed(best.value)})"
    return f"{layer_names(best.layers)} first ({signed(best.value)})"


def _common_layer(rows: Sequence[TupleRow]) -> tuple[int, int]:
    """The layer that most of the sets have, the lowest where several do; and how many sets have it."""
    counts = {layer: sum(layer in row.layers for row in rows) for row in rows for layer in row.layers}
    best = min(counts, key=lambda layer: (-counts[layer], layer))
    return best, counts[best]


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
