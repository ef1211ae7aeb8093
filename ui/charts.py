"""Charts of the Patch page: pure functions from rows to Altair charts.

1. ``effect_map``: the triangle of all single layers (its diagonal) and pairs, as the paper draws layer tuples.
2. ``pair_chart``: each pair's observed effect against the sum of its singles; above the diagonal is superadditive.
3. ``as_svg``: a chart as a stand-alone picture, drawn without a browser or a network.

Effects use one diverging scale, blue through nothing to vermilion (safe for color-blind readers).  Zero is nearly
transparent and lines are drawn in the text's own color, so that the same chart serves the light and the dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from .numbers import PairRow, SetRow
from .state import METRIC_NAMES
from .text import and_list, decimal, layer_names, reciprocal, share, signed

__all__ = ["CELL", "NEGATIVE", "POSITIVE", "as_svg", "effect_map", "empty_chart", "pair_chart", "selected_layers"]

CELL = "cell"
"""Name of the selection in both charts; its fields are ``low`` and ``high``, the set's first and last layer."""

POSITIVE = "#d55e00"
NEGATIVE = "#0072b2"
RAMP = [NEGATIVE, "rgba(0,114,178,0.1)", "rgba(128,128,128,0.1)", "rgba(213,94,0,0.1)", POSITIVE]
"""From one end to the other, with all but no color around zero."""

INK = "currentColor"
UNITS = {"rr": "effect on RR", "logit": "effect on the logit", "logprob": "effect on log-probability (nats)"}
FAINT = {"rr": 0.02, "logit": 0.1, "logprob": 0.1}
"""The color scale reaches at least so far, so that effects of nothing much are not drawn in full color."""

SIDES = {1: "more than the sum", 0: "as much as the sum", -1: "less than the sum"}

_MAX_LABELLED = 10
_FEW_LAYERS = 16


def effect_map(
    rows: Sequence[SetRow], n_layers: int, *, metric: str, selected: Sequence[int] = (), height: int | None = None
) -> alt.LayerChart:
    """The effect of every single layer and every pair, with the selected set outlined.

    Args:
        rows: sets of one or two layers; others are left out.
        n_layers: number of the model's layers; both axes run from 0 to n_layers - 1.
        metric: ``rr``, ``logit`` or ``logprob``.
        selected: the layers patched now.
        height: pixels; by default fit to the number of layers.
    """
    frame = pd.DataFrame([_cell(row, metric) for row in rows if 1 <= len(row.layers) <= 2])
    if frame.empty:
        return empty_chart("The map appears here once a prompt has been measured.")
    span = max(float(frame["effect"].abs().max()), FAINT[metric])
    values = [str(layer) for layer in range(n_layers)]
    labels = alt.Axis(labelAngle=0, labelOverlap=True, grid=False, domain=False, ticks=False, titleFontWeight="normal")
    base = alt.Chart(frame).encode(
        x=alt.X(
            "low:O", title="lower layer of the set", scale=alt.Scale(domain=values, paddingInner=0.06), axis=labels
        ),
        y=alt.Y("high:O", title="higher layer", scale=alt.Scale(domain=values[::-1], paddingInner=0.06), axis=labels),
    )
    domain = [-span, -0.001 * span, 0, 0.001 * span, span]
    scale = alt.Scale(domain=domain, range=RAMP, interpolate="rgb")
    legend = alt.Legend(
        orient="bottom-right",
        title=None,
        values=[-span, 0, span],
        labelExpr="datum.value == 0 ? '0' : format(datum.value, '+.2~g')",
        gradientLength=110,
        gradientThickness=9,
        offset=6,
    )
    cells = base.mark_rect(cursor="pointer", cornerRadius=3).encode(
        color=alt.Color("effect:Q", scale=scale, legend=legend), tooltip=_tooltips(metric)
    )
    layers = [cells.add_params(_pick())]
    if n_layers <= _MAX_LABELLED:
        layers.append(base.mark_text(fontSize=11).encode(text="label:N", color=_on_cell(span)))
    layers.append(_outline(base, selected))
    return alt.LayerChart(layer=layers).properties(
        title=_title("Where the vector brings the answer back", _map_note(rows, metric)),
        height=height or _map_height(n_layers),
    )


def pair_chart(
    pairs: Sequence[PairRow], *, metric: str, selected: Sequence[int] = (), height: int = 360
) -> alt.LayerChart:
    """Each pair as a point: what its two layers do together against the sum of what each does alone."""
    frame = pd.DataFrame([_point(pair) for pair in pairs])
    if frame.empty:
        return empty_chart("Pairs appear here once the map has been measured.")
    ends = [float(frame[["sum", "observed"]].min().min()), float(frame[["sum", "observed"]].max().max())]
    margin = 0.08 * (ends[1] - ends[0]) or 0.1
    scale = alt.Scale(domain=[ends[0] - margin, ends[1] + margin], nice=False, zero=False)
    axis = alt.Axis(tickCount=5, titleFontWeight="normal", format="~g")
    x = alt.X("sum:Q", title=f"sum of the two singles ({UNITS[metric]})", scale=scale, axis=axis)
    y = alt.Y("observed:Q", title="observed, both together", scale=scale, axis=axis)
    line = pd.DataFrame({"sum": scale.domain, "observed": scale.domain})
    diagonal = alt.Chart(line).mark_line(strokeDash=[4, 4], opacity=0.6, color=INK, strokeWidth=1).encode(x=x, y=y)
    base = alt.Chart(frame).encode(x=x, y=y)
    side = alt.Scale(domain=[SIDES[1], SIDES[0], SIDES[-1]], range=[POSITIVE, "gray", NEGATIVE])
    legend = alt.Legend(orient="top-left", title=None, symbolOpacity=1)
    points = base.mark_circle(size=70, opacity=0.8, cursor="pointer").encode(
        color=alt.Color("side:N", scale=side, legend=legend),
        tooltip=[
            alt.Tooltip("layers:N"),
            alt.Tooltip("observed:Q", title="observed together", format="+.4~f"),
            alt.Tooltip("sum:Q", title="sum of the singles", format="+.4~f"),
            alt.Tooltip("excess:Q", title="observed − sum", format="+.4~f"),
        ],
    )
    chosen = base.transform_filter(_is(selected))
    ring = chosen.mark_point(size=190, color=INK, strokeWidth=2, filled=False)
    name = chosen.mark_text(dy=-16, fontWeight="bold", color=INK).encode(text="layers:N")
    return alt.LayerChart(layer=[diagonal, points.add_params(_pick()), ring, name]).properties(
        title=_title("Do two layers do more together than apart?", _pair_note(pairs)), height=height
    )


def empty_chart(message: str, height: int = 160) -> alt.LayerChart:
    """A chart that says why there is nothing to see."""
    text = alt.Chart(pd.DataFrame({"message": [message]})).mark_text(fontSize=13, color="gray", limit=0)
    return alt.LayerChart(layer=[text.encode(text="message:N")]).properties(
        title=_title("Nothing to show yet", []), height=height
    )


def selected_layers(event: Any) -> tuple[int, ...] | None:
    """The set that a click on a chart chose, or None for a click beside the marks."""
    points = (event or {}).get("selection", {}).get(CELL) or []
    if not points:
        return None
    return tuple(sorted({int(points[0]["low"]), int(points[0]["high"])}))


def as_svg(chart: alt.LayerChart, width: int = 560) -> str:
    """The chart as an SVG picture of its own on a white ground."""
    import vl_convert

    picture = chart.properties(width=width).configure(background="white", font="Helvetica, Arial, sans-serif")
    return str(vl_convert.vegalite_to_svg(picture.to_json()))


def _map_height(n_layers: int) -> int:
    """Cells about as high as they are wide in half a page; not so high that a deep model fills the screen."""
    return 130 + min(max(30, 66 - 2 * n_layers) * n_layers, 32 * _FEW_LAYERS)


def _pick() -> alt.Parameter:
    return alt.selection_point(name=CELL, fields=["low", "high"], on="click", clear=False, toggle=False)


def _cell(row: SetRow, metric: str) -> dict[str, object]:
    effect = row.effects[metric]
    return {
        "low": str(row.layers[0]),
        "high": str(row.layers[-1]),
        "layers": and_list(row.layers),
        "effect": effect,
        "label": _short(effect),
        "rank": row.rank,
        "value": reciprocal(row.rr) if metric == "rr" else decimal(getattr(row, metric), 3),
        "recovery": share(row.recoveries[metric]),
    }


def _point(pair: PairRow) -> dict[str, object]:
    low, high = pair.layers
    numbers = {"observed": pair.observed, "sum": pair.sum_of_singles, "excess": pair.excess}
    return {"low": str(low), "high": str(high), "layers": f"{low} and {high}", "side": SIDES[pair.side], **numbers}


def _short(effect: float) -> str:
    """An effect in at most five characters, for the inside of a cell."""
    if abs(effect) < 0.005:
        return "0"
    return signed(effect, 2 if abs(effect) < 1 else 1).replace("0.", ".", 1) if abs(effect) < 100 else signed(effect, 0)


def _tooltips(metric: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("layers:N", title="patched layers"),
        alt.Tooltip("effect:Q", title=UNITS[metric], format="+.4~f"),
        alt.Tooltip("value:N", title=f"{METRIC_NAMES[metric]} when patched"),
        alt.Tooltip("rank:Q", title="rank when patched", format=","),
        alt.Tooltip("recovery:N"),
    ]


def _on_cell(span: float) -> Any:
    """Text that stays readable on the deep ends of the scale; elsewhere the text's own color."""
    return (
        alt.when(alt.datum.effect < -0.6 * span)
        .then(alt.value("white"))
        .when(alt.datum.effect > 0.6 * span)
        .then(alt.value("black"))
        .otherwise(alt.value(INK))
    )


def _outline(base: alt.Chart, selected: Sequence[int]) -> alt.Chart:
    """A frame around the selected cell."""
    frame = base.transform_filter(_is(selected)).mark_rect(fill=None, stroke=INK, strokeWidth=2.5, cornerRadius=3)
    return frame


def _is(selected: Sequence[int]) -> str:
    if not 1 <= len(selected) <= 2:
        return "false"
    return f"datum.low == '{int(min(selected))}' && datum.high == '{int(max(selected))}'"


def _map_note(rows: Sequence[SetRow], metric: str) -> list[str]:
    strongest = max((row for row in rows if 1 <= len(row.layers) <= 2), key=lambda row: row.effects[metric])
    return [
        f"{UNITS[metric][0].upper()}{UNITS[metric][1:]}. Diagonal: one layer. Elsewhere: two at once.",
        f"Strongest: {layer_names(strongest.layers)} ({signed(strongest.effects[metric])}). Click a cell to patch it.",
    ]


def _pair_note(pairs: Sequence[PairRow]) -> list[str]:
    above = sum(pair.side > 0 for pair in pairs)
    return [
        f"{above} of {len(pairs)} pairs lie above the dashed line: superadditive.",
        "Click a point to patch that pair.",
    ]


def _title(text: str, notes: list[str]) -> alt.TitleParams:
    return alt.TitleParams(
        text,
        subtitle=notes,
        anchor="start",
        color=INK,
        fontSize=15,
        subtitleColor=INK,
        subtitleFontSize=12.5,
        subtitleLineHeight=17,
        subtitlePadding=6,
        offset=12,
    )
