"""The triangle of single layers (its diagonal) and pairs, as the paper draws layer tuples: one chart for every page.

Effects use one diverging scale, blue through nothing to vermilion (safe for color-blind readers).  Zero is nearly
transparent and lines are drawn in the text's own color, so that the same chart serves the light and the dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from .text import signed

__all__ = ["CELL", "INK", "NEGATIVE", "POSITIVE", "is_chosen", "pick", "selected_layers", "short", "title", "triangle"]

CELL = "cell"
"""Name of the selection; its fields are ``low`` and ``high``, the set's first and last layer."""

POSITIVE = "#d55e00"
NEGATIVE = "#0072b2"
RAMP = [NEGATIVE, "rgba(0,114,178,0.1)", "rgba(128,128,128,0.1)", "rgba(213,94,0,0.1)", POSITIVE]
"""From one end to the other, with all but no color around zero."""

INK = "currentColor"
"""The text's own color."""

_MAX_LABELLED = 10
_FEW_LAYERS = 16


def triangle(
    cells: pd.DataFrame,
    n_layers: int,
    *,
    span: float,
    tooltips: Sequence[alt.Tooltip],
    selected: Sequence[int] = (),
    labelled: bool | None = None,
    clickable: bool = True,
    axis_titles: tuple[str, str] = ("lower layer of the set", "higher layer"),
    height: int | None = None,
) -> alt.LayerChart:
    """One cell for each set of one or two layers, with the selected set outlined; a click chooses a cell.

    Args:
        cells: columns ``low`` and ``high`` (layers as text), ``effect``, ``label`` (the effect in a few characters) and
            whatever the tooltips name; with a column ``set`` (such as ``3,7``) a click gives that.
        n_layers: both axes run from 0 to n_layers - 1.
        span: the color scale runs from -span to span.
        tooltips: what hovering shows.
        selected: the layers of the outlined set.
        labelled: whether numbers stand in the cells; by default where there are few layers.
        clickable: whether a click chooses; without, the chart is only looked at.
        axis_titles: of the horizontal and the vertical axis.
        height: pixels; by default fit to the number of layers.
    """
    values = [str(layer) for layer in range(n_layers)]
    labels = alt.Axis(labelAngle=0, labelOverlap=True, grid=False, domain=False, ticks=False, titleFontWeight="normal")
    x_title, y_title = (text or None for text in axis_titles)
    base = alt.Chart(cells).encode(
        x=alt.X("low:O", title=x_title, scale=alt.Scale(domain=values, paddingInner=0.06), axis=labels),
        y=alt.Y("high:O", title=y_title, scale=alt.Scale(domain=values[::-1], paddingInner=0.06), axis=labels),
    )
    domain = [-span, -0.001 * span, 0, 0.001 * span, span]
    scale = alt.Scale(domain=domain, range=RAMP, interpolate="rgb")
    color = alt.Color("effect:Q", scale=scale, legend=_legend(span))
    rects = base.mark_rect(cursor="pointer" if clickable else "default", cornerRadius=3).encode(
        color=color, tooltip=list(tooltips)
    )
    named = "set" in cells.columns
    layers = [rects.add_params(pick(["set"] if named else ["low", "high"])) if clickable else rects]
    if n_layers <= _MAX_LABELLED if labelled is None else labelled:
        layers.append(base.mark_text(fontSize=11).encode(text="label:N", color=_on_cell(span)))
    outline = base.transform_filter(_is_set(selected) if named else is_chosen(selected))
    layers.append(outline.mark_rect(fill=None, stroke=INK, strokeWidth=2.5, cornerRadius=3))
    return alt.LayerChart(layer=layers).properties(height=height or _height(n_layers))


def pick(fields: Sequence[str]) -> alt.Parameter:
    """The selection that a click on a mark makes."""
    return alt.selection_point(name=CELL, fields=list(fields), on="click", clear=False, toggle=False)


def selected_layers(event: Any) -> tuple[int, ...] | None:
    """The set that a click on a chart chose, or None for a click beside the marks."""
    points = (event or {}).get("selection", {}).get(CELL) or []
    if not points:
        return None
    if "set" in points[0]:
        return tuple(int(layer) for layer in str(points[0]["set"]).split(","))
    return tuple(sorted({int(points[0]["low"]), int(points[0]["high"])}))


def is_chosen(selected: Sequence[int]) -> str:
    """The Vega expression that is true for the selected set's cell; a set of another size has none."""
    if not 1 <= len(selected) <= 2:
        return "false"
    return f"datum.low == '{int(min(selected))}' && datum.high == '{int(max(selected))}'"


def _is_set(selected: Sequence[int]) -> str:
    return f"datum.set == '{','.join(str(int(layer)) for layer in selected)}'"


def short(effect: float) -> str:
    """An effect in at most five characters, for the inside of a cell."""
    if abs(effect) < 0.005:
        return "0"
    return signed(effect, 2 if abs(effect) < 1 else 1).replace("0.", ".", 1) if abs(effect) < 100 else signed(effect, 0)


def title(text: str | list[str], notes: Sequence[str] = ()) -> alt.TitleParams:
    """A chart's headline, in one line or several, and the lines below it."""
    return alt.TitleParams(
        text,
        subtitle=list(notes),
        anchor="start",
        color=INK,
        fontSize=15,
        subtitleColor=INK,
        subtitleFontSize=12.5,
        subtitleLineHeight=17,
        subtitlePadding=6,
        offset=12,
    )


def _height(n_layers: int) -> int:
    """Cells about as high as they are wide in half a page; not so high that a deep model fills the screen."""
    return 130 + min(max(30, 66 - 2 * n_layers) * n_layers, 32 * _FEW_LAYERS)


def _legend(span: float) -> alt.Legend:
    return alt.Legend(
        orient="bottom-right",
        title=None,
        values=[-span, 0, span],
        labelExpr="datum.value == 0 ? '0' : format(datum.value, '+.2~g')",
        gradientLength=110,
        gradientThickness=9,
        offset=6,
    )


def _on_cell(span: float) -> Any:
    """Text that stays readable on the deep ends of the scale; elsewhere the text's own color."""
    return (
        alt.when(alt.datum.effect < -0.6 * span)
        .then(alt.value("white"))
        .when(alt.datum.effect > 0.6 * span)
        .then(alt.value("black"))
        .otherwise(alt.value(INK))
    )
