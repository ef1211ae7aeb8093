"""Charts of a finished sweep: pure functions from its numbers to Altair charts.

1. ``sweep_map``: the triangle of mean effects; ``slice_map``: the same with one more layer always patched.
2. ``ranking_chart``: the strongest sets as dots with their 95% intervals.
3. ``sum_chart``: each set's mean effect against the sum of its singles'.
4. ``strip_chart``: the effect of one set on every sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd

from ..charts import FAINT, UNITS, empty_chart
from ..text import and_list, layer_names, share, signed
from ..triangle import INK, NEGATIVE, POSITIVE, pick, short, title, triangle
from .numbers import SampleRow
from .state import set_name

if TYPE_CHECKING:
    from ivcore.patching import SetEffect, Superadditivity

__all__ = ["interval", "ranking_chart", "set_cells", "slice_map", "strip_chart", "sum_chart", "sweep_map"]

SIDES = ("more than the sum", "not clear", "less than the sum")
"""By the 95% interval of the difference: above zero, on both sides of it, below."""

_GOLDEN = (5**0.5 - 1) / 2


def sweep_map(
    ranked: Sequence[SetEffect],
    n_layers: int,
    *,
    metric: str,
    selected: Sequence[int] = (),
    span: float | None = None,
    recoveries: Mapping[tuple[int, ...], float | None] | None = None,
) -> alt.LayerChart:
    """Mean effect of every single layer and pair.

    Args:
        ranked: sets with their mean effects; those of more than two layers are left out.
        n_layers: of the model.
        metric: ``rr``, ``logit`` or ``logprob``.
        selected: the set that is outlined.
        span: where the color scale ends; by default at the largest effect.
        recoveries: set to recovery, for the tooltip.
    """
    cells = set_cells([row for row in ranked if len(row.layers) <= 2], recoveries or {})
    span = span or max(float(cells["effect"].abs().max()), FAINT[metric])
    drawn = triangle(cells, n_layers, span=span, tooltips=_tooltips(metric), selected=selected)
    best = max((row for row in ranked if len(row.layers) <= 2), key=lambda row: row.mean)
    notes = [
        f"Mean {UNITS[metric]}, n = {best.n}. Diagonal: one layer, elsewhere two.",
        f"Strongest: {layer_names(best.layers)} ({signed(best.mean, 3)}). Click a cell to look at it.",
    ]
    return drawn.properties(title=title("Where the vectors bring the answers back", notes))


def slice_map(
    ranked: Sequence[SetEffect], n_layers: int, layer: int, *, metric: str, selected: Sequence[int] = ()
) -> alt.LayerChart:
    """Mean effect of every set that holds ``layer`` and one or two more, on the scale of all sets."""
    cells = []
    for row in ranked:
        others = [other for other in row.layers if other != layer]
        if len(others) < len(row.layers):
            low, high = (others[0], others[-1]) if others else (layer, layer)
            cells.append(_cell(row, low, high, None))
    span = max((abs(row.mean) for row in ranked), default=0.0)
    drawn = triangle(
        pd.DataFrame(cells), n_layers, span=max(span, FAINT[metric]), tooltips=_tooltips(metric), selected=selected
    )
    notes = [
        f"Layer {layer} and two more; on the diagonal one more; at {layer} none.",
        "The color scale is that of all sets.",
    ]
    return drawn.properties(title=title(f"Every set that holds layer {layer}", notes))


def set_cells(
    ranked: Sequence[SetEffect], recoveries: Mapping[tuple[int, ...], float | None] | None = None
) -> pd.DataFrame:
    """The cells of a triangle: one for each set of one or two layers."""
    known = recoveries or {}
    return pd.DataFrame([_cell(row, row.layers[0], row.layers[-1], known.get(row.layers)) for row in ranked])


def ranking_chart(
    ranked: Sequence[SetEffect], *, metric: str, selected: Sequence[int] = (), most: int = 20
) -> alt.LayerChart:
    """The strongest sets, best on top: mean and interval."""
    shown = list(ranked[:most])
    if not shown:
        return empty_chart("The ranking appears here once the sweep is done.")
    if selected and all(row.layers != tuple(selected) for row in shown):
        shown += [row for row in ranked if row.layers == tuple(selected)]
    frame = pd.DataFrame([_ranked(row) for row in shown])
    order = frame["layers"].tolist()
    y = alt.Y("layers:N", sort=order, title=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=140))
    x_axis = alt.Axis(tickCount=5, titleFontWeight="normal", format="~g")
    base = alt.Chart(frame).encode(y=y)
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=INK, opacity=0.4).encode(x="zero:Q")
    bars = base.mark_rule(strokeWidth=2, color=POSITIVE, opacity=0.7).encode(
        x=alt.X("from:Q", title=f"{UNITS[metric]}, mean and 95% interval", axis=x_axis), x2="to:Q"
    )
    dots = base.mark_circle(size=80, color=POSITIVE, opacity=1, cursor="pointer").encode(
        x="mean:Q",
        tooltip=[
            alt.Tooltip("layers:N", title="patched layers"),
            alt.Tooltip("mean:Q", title=UNITS[metric], format="+.4~f"),
            alt.Tooltip("interval:N", title="95% interval"),
            alt.Tooltip("n:Q", title="samples"),
        ],
    )
    chosen = base.transform_filter(f"datum.set == '{set_name(tuple(selected))}'")
    ring = chosen.mark_point(size=220, color=INK, strokeWidth=2, filled=False).encode(x="mean:Q")
    notes = [f"{min(most, len(ranked))} of {len(ranked):,} sets, highest mean first. Click a dot to look at it."]
    return alt.LayerChart(layer=[zero, bars, dots.add_params(pick(["set"])), ring]).properties(
        title=title("The strongest sets", notes), height=30 + 21 * len(shown)
    )


def sum_chart(
    excesses: Sequence[Superadditivity],
    means: Mapping[tuple[int, ...], float],
    *,
    metric: str,
    selected: Sequence[int] = (),
    height: int = 400,
) -> alt.LayerChart:
    """Each set's mean effect against the sum of its singles' mean effects."""
    frame = pd.DataFrame([_summed(row, means[row.layers]) for row in excesses])
    if frame.empty:
        return empty_chart("Sets of two or three layers appear here; sweep with a depth of 2 or more.")
    ends = [float(frame[["sum", "observed"]].min().min()), float(frame[["sum", "observed"]].max().max())]
    margin = 0.08 * (ends[1] - ends[0]) or 0.1
    scale = alt.Scale(domain=[ends[0] - margin, ends[1] + margin], nice=False, zero=False)
    axis = alt.Axis(tickCount=5, titleFontWeight="normal", format="~g")
    x = alt.X("sum:Q", title=f"sum of the singles ({UNITS[metric]})", scale=scale, axis=axis)
    y = alt.Y("observed:Q", title="observed, all together", scale=scale, axis=axis)
    line = pd.DataFrame({"sum": scale.domain, "observed": scale.domain})
    diagonal = alt.Chart(line).mark_line(strokeDash=[4, 4], opacity=0.6, color=INK, strokeWidth=1).encode(x=x, y=y)
    base = alt.Chart(frame).encode(x=x, y=y)
    triples = bool((frame["size"] == "3 layers").any())
    shape = alt.Shape(
        "size:N",
        scale=alt.Scale(domain=["2 layers", "3 layers"], range=["circle", "triangle"]),
        legend=alt.Legend(orient="bottom-right", title=None) if triples else None,
    )
    points = base.mark_point(size=60, opacity=0.75, filled=True, cursor="pointer").encode(
        shape=shape,
        color=alt.Color(
            "side:N",
            scale=alt.Scale(domain=list(SIDES), range=[POSITIVE, "gray", NEGATIVE]),
            legend=alt.Legend(orient="top-left", title=None, symbolOpacity=1),
        ),
        tooltip=[
            alt.Tooltip("layers:N", title="patched layers"),
            alt.Tooltip("observed:Q", title="observed together", format="+.4~f"),
            alt.Tooltip("sum:Q", title="sum of the singles", format="+.4~f"),
            alt.Tooltip("excess:Q", title="difference", format="+.4~f"),
            alt.Tooltip("interval:N", title="95% interval"),
        ],
    )
    chosen = base.transform_filter(f"datum.set == '{set_name(tuple(selected))}'")
    ring = chosen.mark_point(size=190, color=INK, strokeWidth=2, filled=False)
    name = chosen.mark_text(dy=-16, fontWeight="bold", color=INK).encode(text="layers:N")
    clear = int((frame["side"] == SIDES[0]).sum())
    notes = [
        f"{clear} of {len(frame):,} sets clearly exceed the sum (interval above zero).",
        "Above the dashed line: superadditive. Click a point to look at it.",
    ]
    return alt.LayerChart(layer=[diagonal, points.add_params(pick(["set"])), ring, name]).properties(
        title=title("Do layers do more together than apart?", notes), height=height
    )


def strip_chart(rows: Sequence[SampleRow], row: SetEffect, *, metric: str, height: int = 230) -> alt.LayerChart:
    """The effect on every sample as a dot; the mean as a line in its interval."""
    frame = pd.DataFrame(
        {
            "effect": [sample.effect for sample in rows],
            "query": [sample.query for sample in rows],
            "answer": [sample.answer for sample in rows],
            "ranks": [f"{s.rank_full:,} / {s.rank_target:,} / {s.rank_patched:,}" for s in rows],
            "place": [(i * _GOLDEN) % 1.0 for i in range(len(rows))],
        }
    )
    axis = alt.Axis(tickCount=6, titleFontWeight="normal", format="~g", grid=False)
    x = alt.X("effect:Q", title=f"{UNITS[metric]}, one dot a sample", axis=axis)
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.05, 1.05]))
    mean = pd.DataFrame({"mean": [row.mean], "from": [row.low], "to": [row.high]})
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=INK, opacity=0.4).encode(x="zero:Q")
    band = alt.Chart(mean).mark_rect(color=POSITIVE, opacity=0.2).encode(x="from:Q", x2="to:Q")
    center = alt.Chart(mean).mark_rule(color=POSITIVE, strokeWidth=2).encode(x="mean:Q")
    dots = (
        alt.Chart(frame)
        .mark_circle(size=45, opacity=0.6, color=NEGATIVE)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("query:N"),
                alt.Tooltip("answer:N"),
                alt.Tooltip("effect:Q", format="+.4~f"),
                alt.Tooltip("ranks:N", title="rank full / target / patched"),
            ],
        )
    )
    layers = [zero, dots, center] if row.low is None else [zero, band, dots, center]
    effects = np.array([sample.effect for sample in rows])
    notes = [
        f"Above zero in {share(float((effects > 0).mean()))} of the samples.",
        "Line: mean. Band: its 95% interval.",
    ]
    return alt.LayerChart(layer=layers).properties(
        title=title(f"Sample by sample, {layer_names(row.layers)}", notes), height=height
    )


def interval(low: float | None, high: float | None, places: int = 3) -> str:
    """A 95% interval in words, also where there is none."""
    return "not defined" if low is None or high is None else f"{signed(low, places)} to {signed(high, places)}"


def _cell(row: SetEffect, low: int, high: int, recovery: float | None) -> dict[str, object]:
    return {
        "low": str(low),
        "high": str(high),
        "set": set_name(row.layers),
        "layers": and_list(row.layers),
        "effect": row.mean,
        "label": short(row.mean),
        "interval": interval(row.low, row.high),
        "recovery": share(recovery),
        "n": row.n,
    }


def _tooltips(metric: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("layers:N", title="patched layers"),
        alt.Tooltip("effect:Q", title=f"mean {UNITS[metric]}", format="+.4~f"),
        alt.Tooltip("interval:N", title="95% interval"),
        alt.Tooltip("n:Q", title="samples"),
    ]


def _ranked(row: SetEffect) -> dict[str, object]:
    low, high = (row.mean if end is None else end for end in (row.low, row.high))
    return {
        "layers": and_list(row.layers),
        "set": set_name(row.layers),
        "mean": row.mean,
        "from": low,
        "to": high,
        "interval": interval(row.low, row.high),
        "n": row.n,
    }


def _summed(row: Superadditivity, observed: float) -> dict[str, object]:
    side = 0 if row.low is not None and row.low > 0 else 2 if row.high is not None and row.high < 0 else 1
    return {
        "layers": and_list(row.layers),
        "set": set_name(row.layers),
        "size": f"{len(row.layers)} layers",
        "observed": observed,
        "sum": observed - row.mean,
        "excess": row.mean,
        "interval": interval(row.low, row.high),
        "side": SIDES[side],
    }
