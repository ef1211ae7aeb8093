"""Charts of the Geometry page's main results: pure functions from runs to Altair charts.

1. ``accuracy_chart``: the held-out probe by layer, one line a stage, always with its controls.
2. ``points_chart``: one layer's paraphrases in two dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import pandas as pd

from ..behaviour.charts import STAGE_COLORS, share_words, whole
from ..charts import empty_chart
from ..text import visible
from ..triangle import INK, title
from .runs import Panel
from .state import layer_name

if TYPE_CHECKING:
    from ivcore.probes import View
    from ivcore.runs import GeometryRun

__all__ = [
    "BRUSH",
    "CLASS_COLORS",
    "CLASS_SHAPES",
    "POINT",
    "SERIES",
    "accuracy_chart",
    "accuracy_frame",
    "layer_axis",
    "picked_points",
    "points_chart",
    "points_frame",
    "stage_color",
]

CLASS_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8466c8", "#8a8a8a")
"""Okabe and Ito's, with violet and gray for black and yellow, so that all are seen on white and on black."""
CLASS_SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
)

PROBE, SHUFFLED, WORDS, CHANCE = "held-out probe", "labels shuffled", "words alone", "chance"
SERIES = {PROBE: [1, 0], SHUFFLED: [6, 3], WORDS: [2, 2], CHANCE: [1, 4]}
"""Name to dashes."""

BRUSH, POINT = "brush", "point"
_SHOWN = 160
"""Characters of a paraphrase in a tooltip."""


def accuracy_frame(panels: Sequence[Panel]) -> pd.DataFrame:
    """One row for each stage, layer and series; what has no stage of its own (words, chance) stands there once."""
    there = [panel for panel in panels if panel.run is not None]
    rows: list[dict[str, object]] = []
    for panel in there:
        rows += _stage_rows(panel.stage, panel.run)
    if there:
        rows += _shared_rows(there[0].run)
    return pd.DataFrame(rows)


def accuracy_chart(panels: Sequence[Panel], *, heading: str | None = None, height: int = 470) -> alt.LayerChart:
    """Accuracy by layer with 95% intervals as bands, and the controls in the same chart."""
    frame = accuracy_frame(panels)
    if frame.empty:
        return empty_chart("Lines appear here once a stage has been computed.")
    stages = [panel.stage for panel in panels]
    layers = list(dict.fromkeys(frame["layer"]))
    x = layer_axis(layers)
    y = alt.Y(
        "accuracy:Q",
        title="paraphrases told right",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1], titleFontWeight="normal", gridOpacity=0.6),
    )
    color = alt.Color(
        "stage:N",
        scale=stage_color(stages),
        legend=alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1)
        if len(stages) > 1
        else None,
    )
    dash = alt.StrokeDash(
        "series:N",
        scale=alt.Scale(domain=list(SERIES), range=list(SERIES.values())),
        legend=alt.Legend(orient="bottom", title=None, columns=2, symbolStrokeWidth=2, symbolSize=500),
    )
    base = alt.Chart(frame).encode(x=x)
    probe = base.transform_filter(f"datum.series == '{PROBE}'")
    shuffled = base.transform_filter(f"datum.series == '{SHUFFLED}'")
    words = base.transform_filter(f"datum.series == '{WORDS}'")
    chance = base.transform_filter(f"datum.series == '{CHANCE}'")
    ends = {"y": alt.Y("low:Q"), "y2": alt.Y2("high:Q")}
    tooltip = [
        alt.Tooltip("stage:N", title="model"),
        alt.Tooltip("layer:N"),
        alt.Tooltip("words:N", title="told right"),
        alt.Tooltip("control:N", title="labels shuffled"),
        alt.Tooltip("n:Q", title="paraphrases"),
    ]
    drawn = [
        words.mark_area(opacity=0.1, color=INK).encode(**ends),
        probe.mark_area(opacity=0.18).encode(**ends, color=color),
        chance.mark_line(color=INK, opacity=0.6, strokeWidth=1.5).encode(y=y, strokeDash=dash),
        words.mark_line(color=INK, strokeWidth=2).encode(y=y, strokeDash=dash),
        shuffled.mark_line(strokeWidth=1.5).encode(y=y, color=color, strokeDash=dash),
        probe.mark_line(strokeWidth=2.5).encode(y=y, color=color, strokeDash=dash),
        probe.mark_circle(size=70, opacity=1).encode(y=y, color=color, tooltip=tooltip),
        words.mark_point(size=90, opacity=0.001).encode(
            y=y, tooltip=[alt.Tooltip("series:N", title="control"), alt.Tooltip("words:N", title="told right")]
        ),
    ]
    chart = alt.LayerChart(layer=drawn).properties(height=height)
    return chart.properties(title=title(heading)) if heading else chart


def points_frame(run: GeometryRun, view: View) -> pd.DataFrame:
    """One row for each paraphrase, in the run's order."""
    names, texts = run.result.names, run.request.texts
    return pd.DataFrame(
        {
            "i": np.arange(len(texts)),
            "x": view.points[:, 0],
            "y": view.points[:, 1],
            "task": [names[label] for label in run.request.labels],
            "held_out": view.held_out,
            "role": np.where(view.held_out, "held out", "the view was fitted on it"),
            "text": [_cut(text) for text in texts],
        }
    )


def points_chart(
    run: GeometryRun, view: View, heading: str, notes: Sequence[str] = (), *, height: int = 390
) -> alt.Chart:
    """The paraphrases as points: held-out ones filled, those that the view was fitted on hollow.

    A click chooses a point, dragging a rectangle of them.
    """
    frame, names = points_frame(run, view), list(run.result.names)
    colors = alt.Scale(domain=names, range=list(CLASS_COLORS[: len(names)]))
    shapes = alt.Scale(domain=names, range=list(CLASS_SHAPES[: len(names)]))
    with_held_out = bool(view.held_out.any())
    first, second = _axis_titles(view, len(names))
    axis: dict[str, Any] = {"grid": False, "tickCount": 4, "titleFontWeight": "normal", "labels": False, "ticks": False}
    fill: Any = alt.Fill("task:N", scale=colors, legend=None)
    opacity: Any = alt.value(0.75)
    if with_held_out:
        fill = alt.when("datum.held_out").then(fill).otherwise(alt.value("transparent"))
        opacity = alt.when("datum.held_out").then(alt.value(0.95)).otherwise(alt.value(0.5))
    return (
        alt.Chart(frame)
        .mark_point(size=34, strokeWidth=1.1, cursor="pointer", aria=False)
        .encode(
            x=alt.X("x:Q", title=first, axis=alt.Axis(**axis), scale=alt.Scale(zero=False, padding=12)),
            y=alt.Y("y:Q", title=second, axis=alt.Axis(**axis), scale=alt.Scale(zero=False, padding=12)),
            stroke=alt.Stroke("task:N", scale=colors, legend=None),
            fill=fill,
            shape=alt.Shape("task:N", scale=shapes, legend=None),
            opacity=opacity,
            order=alt.Order("held_out:N"),
            tooltip=[
                alt.Tooltip("text:N", title="paraphrase"),
                alt.Tooltip("task:N", title="asks for"),
                alt.Tooltip("role:N", title="point"),
            ],
        )
        .add_params(
            alt.selection_interval(name=BRUSH, clear="dblclick"),
            alt.selection_point(name=POINT, fields=["i"], on="click", toggle=False, clear="dblclick"),
        )
        .properties(title=title(heading, notes), height=height)
    )


def picked_points(event: Any, points: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """Places of the points (n, 2) in the dragged rectangle, else of the one that was clicked."""
    selection = (event or {}).get("selection", {})
    brush = selection.get(BRUSH) or {}
    if set(brush) >= {"x", "y"}:
        (left, right), (low, high) = sorted(brush["x"]), sorted(brush["y"])
        inside = (points[:, 0] >= left) & (points[:, 0] <= right) & (points[:, 1] >= low) & (points[:, 1] <= high)
        return tuple(np.flatnonzero(inside).tolist())
    return tuple(int(row["i"]) for row in selection.get(POINT) or () if 0 <= int(row["i"]) < len(points))


def layer_axis(layers: Sequence[str], *, labelled: bool = True) -> alt.X:
    """The axis of layers; the embedding, where there is one, is its first point."""
    axis = alt.Axis(labelAngle=0, labelOverlap=True, grid=False, titleFontWeight="normal", labels=labelled)
    return alt.X(
        "layer:O",
        title="layer" if labelled else None,
        axis=axis,
        scale=alt.Scale(type="point", padding=0.5, domain=list(layers)),
    )


def stage_color(stages: Sequence[str]) -> alt.Scale:
    """The color of each stage, as on the Behaviour page."""
    return alt.Scale(domain=list(stages), range=[STAGE_COLORS[i % len(STAGE_COLORS)] for i in range(len(stages))])


def _stage_rows(stage: str, run: GeometryRun | None) -> list[dict[str, object]]:
    assert run is not None
    rows: list[dict[str, object]] = []
    for row in run.rows:
        found, shuffled = row.probe.accuracy, row.shuffled_accuracy
        named = {"stage": stage, "layer": layer_name(row.layer), "n": found.n}
        said = {"words": share_words(found), "control": "not computed" if shuffled is None else whole(shuffled)}
        ends = {"low": found.low, "high": found.high}
        rows.append(named | said | ends | {"series": PROBE, "accuracy": found.share})
        if shuffled is not None:
            rows.append(named | said | {"series": SHUFFLED, "accuracy": shuffled})
    return rows


def _shared_rows(run: GeometryRun | None) -> list[dict[str, object]]:
    assert run is not None
    lexical = run.result.lexical.accuracy
    rows: list[dict[str, object]] = []
    for row in run.rows:
        named: dict[str, object] = {"stage": None, "layer": layer_name(row.layer), "n": lexical.n, "control": ""}
        ends: dict[str, object] = {"low": lexical.low, "high": lexical.high, "words": share_words(lexical)}
        rows.append(named | ends | {"series": WORDS, "accuracy": lexical.share})
        rows.append(named | {"series": CHANCE, "accuracy": run.result.chance, "words": whole(run.result.chance)})
    return rows


def _axis_titles(view: View, n_classes: int) -> tuple[str, str]:
    """Two classes have one discriminant; the second axis then shows spread, or nothing, and no separation."""
    if view.explained is not None:
        first, second = (f"component {i} ({100 * s:.0f}% of the variance)" for i, s in enumerate(view.explained, 1))
        return first, second
    if view.method == "lda" and n_classes == 2:
        return "discriminant", "largest other spread" if view.points[:, 1].any() else "no second discriminant"
    if view.method == "lda":
        return "discriminant 1", "discriminant 2"
    return "t-SNE 1", "t-SNE 2"


def _cut(text: str) -> str:
    shown = text if text.isprintable() else "".join(c if c.isprintable() else visible(c) for c in text)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
