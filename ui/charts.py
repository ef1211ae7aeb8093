"""Charts of the Patch page: pure functions from rows to Altair charts.

1. ``effect_map``: the triangle of all single layers (its diagonal) and pairs, as the paper draws layer tuples.
2. ``pair_chart``: each pair's observed effect against the sum of its singles; above the diagonal is superadditive.
3. ``as_svg``: a chart as a stand-alone picture, drawn without a browser or a network.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from .numbers import PairRow, SetRow
from .state import METRIC_NAMES
from .text import and_list, decimal, layer_names, reciprocal, share, signed
from .triangle import CELL, INK, NEGATIVE, POSITIVE, is_chosen, pick, selected_layers, short, title, triangle

__all__ = [
    "CELL",
    "FAINT",
    "NEGATIVE",
    "POSITIVE",
    "SIDES",
    "UNITS",
    "as_svg",
    "effect_map",
    "empty_chart",
    "pair_chart",
    "selected_layers",
]

UNITS = {"rr": "effect on RR", "logit": "effect on the logit", "logprob": "effect on log-probability (nats)"}
FAINT = {"rr": 0.02, "logit": 0.1, "logprob": 0.1}
"""The color scale reaches at least so far, so that effects of nothing much are not drawn in full color."""

SIDES = {1: "more than the sum", 0: "as much as the sum", -1: "less than the sum"}


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
    drawn = triangle(frame, n_layers, span=span, tooltips=_tooltips(metric), selected=selected, height=height)
    return drawn.properties(title=title("Where the vector brings the answer back", _map_note(rows, metric)))


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
    chosen = base.transform_filter(is_chosen(selected))
    ring = chosen.mark_point(size=190, color=INK, strokeWidth=2, filled=False)
    name = chosen.mark_text(dy=-16, fontWeight="bold", color=INK).encode(text="layers:N")
    return alt.LayerChart(layer=[diagonal, points.add_params(pick(["low", "high"])), ring, name]).properties(
        title=title("Do two layers do more together than apart?", _pair_note(pairs)), height=height
    )


def empty_chart(message: str, height: int = 160) -> alt.LayerChart:
    """A chart that says why there is nothing to see."""
    text = alt.Chart(pd.DataFrame({"message": [message]})).mark_text(fontSize=13, color="gray", limit=0)
    return alt.LayerChart(layer=[text.encode(text="message:N")]).properties(
        title=title("Nothing to show yet", []), height=height
    )


def as_svg(chart: alt.LayerChart, width: int = 560) -> str:
    """The chart as an SVG picture of its own on a white ground."""
    import vl_convert

    picture = chart.properties(width=width).configure(background="white", font="Helvetica, Arial, sans-serif")
    return str(vl_convert.vegalite_to_svg(picture.to_json()))


def _cell(row: SetRow, metric: str) -> dict[str, object]:
    effect = row.effects[metric]
    return {
        "low": str(row.layers[0]),
        "high": str(row.layers[-1]),
        "layers": and_list(row.layers),
        "effect": effect,
        "label": short(effect),
        "rank": row.rank,
        "value": reciprocal(row.rr) if metric == "rr" else decimal(getattr(row, metric), 3),
        "recovery": share(row.recoveries[metric]),
    }


def _point(pair: PairRow) -> dict[str, object]:
    low, high = pair.layers
    numbers = {"observed": pair.observed, "sum": pair.sum_of_singles, "excess": pair.excess}
    return {"low": str(low), "high": str(high), "layers": f"{low} and {high}", "side": SIDES[pair.side], **numbers}


def _tooltips(metric: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("layers:N", title="patched layers"),
        alt.Tooltip("effect:Q", title=UNITS[metric], format="+.4~f"),
        alt.Tooltip("value:N", title=f"{METRIC_NAMES[metric]} when patched"),
        alt.Tooltip("rank:Q", title="rank when patched", format=","),
        alt.Tooltip("recovery:N"),
    ]


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
