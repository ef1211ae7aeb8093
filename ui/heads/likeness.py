"""Are the same heads active on both sides?  Spearman's r layer by layer, and the Jaccard index by groups of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from ..charts import empty_chart
from ..text import count, decimal, layer_names, markdown
from ..triangle import INK, NEGATIVE, title
from . import runs as heads_runs
from .runs import Side
from .state import KS, HeadsInputs

if TYPE_CHECKING:
    from ivcore.heads import Agreement, Similarity

__all__ = ["group_name", "jaccard_chart", "jaccard_words", "layer_groups", "show_likeness", "spearman_chart"]

_GROUPS_OF_K = ((0, 1), (4, 5), (14, 15))
"""The groups of the published Tables 3, 20 and 21."""
_PUBLISHED_DEPTH = 16


def show_likeness(inputs: HeadsInputs, sides: Sequence[Side], groups: Sequence[tuple[int, int]]) -> None:
    """Both measures as charts, and in words what is not defined."""
    st.subheader("Are the same heads active?", anchor=False)
    first, second = sides
    ranks = heads_runs.agreements(first, second)
    found = heads_runs.similarities(first, second, groups, inputs.threshold)
    left, right = st.columns(2, gap="large")
    with left:
        st.altair_chart(spearman_chart(ranks), width="stretch", alt="Spearman’s r of the activities by layer")
        if told := _undefined([(layer, one.reason) for layer, one in enumerate(ranks) if one.rho is None]):
            st.caption(markdown(told))
    with right:
        chart = jaccard_chart(found, inputs.threshold)
        st.altair_chart(chart, width="stretch", alt="Jaccard similarity of the active heads by groups of layers")
        st.caption(markdown(" ".join(jaccard_words(one) for one in found)))


def layer_groups(n_layers: int, by: str) -> tuple[tuple[int, int], ...]:
    """First and last layer of each group: those of the published tables for 16 layers, else thirds."""
    from ivcore.heads import LAYER_GROUPS

    if n_layers == _PUBLISHED_DEPTH:
        return _GROUPS_OF_K if by == KS else tuple(LAYER_GROUPS.values())
    thirds = np.array_split(np.arange(n_layers), min(3, n_layers))
    return tuple((int(part[0]), int(part[-1])) for part in thirds)


def group_name(layers: tuple[int, int]) -> str:
    """``0-2``, as the published tables write it; ``3`` for a single layer."""
    return f"{layers[0]}-{layers[1]}" if layers[0] != layers[1] else str(layers[0])


def spearman_chart(rows: Sequence[Agreement]) -> alt.LayerChart:
    """Spearman's r of the heads' activities, layer by layer."""
    frame = pd.DataFrame(
        [
            {
                "layer": str(layer),
                "r": row.rho,
                "low": row.rho if row.low is None else row.low,
                "high": row.rho if row.high is None else row.high,
                "words": _with_interval(row.rho, row.low, row.high),
                "n": row.n,
            }
            for layer, row in enumerate(rows)
            if row.rho is not None
        ]
    )
    if frame.empty:
        return empty_chart("Not defined in any layer.")
    axis = alt.Axis(labelAngle=0, labelOverlap=True, grid=False, titleFontWeight="normal")
    scale = alt.Scale(type="point", padding=0.5, domain=[str(layer) for layer in range(len(rows))])
    base = alt.Chart(frame).encode(
        x=alt.X("layer:O", title="layer", axis=axis, scale=scale),
        y=alt.Y(
            "r:Q",
            title="Spearman’s r",
            scale=alt.Scale(domain=[min(0.0, float(frame["low"].min())), 1]),
            axis=alt.Axis(titleFontWeight="normal", tickCount=5, gridOpacity=0.6),
        ),
        tooltip=[
            alt.Tooltip("layer:N"),
            alt.Tooltip("words:N", title="Spearman’s r (95%)"),
            alt.Tooltip("n:Q", title="heads"),
        ],
    )
    drawn = [
        base.mark_line(color=NEGATIVE, strokeWidth=2, opacity=0.6),
        base.mark_rule(color=INK, strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_circle(size=80, opacity=1),
    ]
    without = any(row.rho is not None and row.low is None for row in rows)
    notes = [
        f"Rank correlation over the {count(rows[0].n)} heads of a layer.",
        "Lines: 95% intervals over prompts" + (", where there is one." if without else "."),
    ]
    return alt.LayerChart(layer=drawn).properties(
        title=title("Do heads keep their order, layer by layer?", notes), height=360
    )


def jaccard_chart(rows: Sequence[Similarity], threshold: float) -> alt.LayerChart:
    """The Jaccard index of the active heads, with its interval, group by group."""
    frame = pd.DataFrame(
        [
            {
                "layers": group_name(row.layers),
                "jaccard": row.value,
                "low": row.value if row.low is None else row.low,
                "high": row.value if row.high is None else row.high,
                "words": _value_words(row),
                "active": f"{row.n_active[0]} and {row.n_active[1]}",
            }
            for row in rows
            if row.value is not None
        ]
    )
    if frame.empty:
        return empty_chart("No head is active in any group of layers.")
    axis = alt.Axis(labelAngle=0, grid=False, titleFontWeight="normal")
    scale = alt.Scale(type="point", padding=0.5, domain=[group_name(row.layers) for row in rows])
    y = alt.Y(
        "jaccard:Q",
        title="Jaccard similarity",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(titleFontWeight="normal", tickCount=5, gridOpacity=0.6),
    )
    base = alt.Chart(frame).encode(x=alt.X("layers:O", sort=None, title="layers", axis=axis, scale=scale))
    tooltip = [
        alt.Tooltip("layers:N"),
        alt.Tooltip("words:N", title="Jaccard (95%)"),
        alt.Tooltip("active:N", title="active heads"),
    ]
    drawn = [
        base.mark_rule(color=INK, strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_circle(size=110, opacity=1, color=NEGATIVE).encode(y=y, tooltip=tooltip),
    ]
    notes = [f"Shared of all active heads (above {threshold:g}).", "Lines: 95% intervals over prompts."]
    return alt.LayerChart(layer=drawn).properties(title=title("How many active heads are shared?", notes), height=360)


def jaccard_words(row: Similarity) -> str:
    """One group in a sentence."""
    name = f"Layers {group_name(row.layers)}"
    if row.undefined is not None:
        return f"{name}: not defined, {row.undefined}."
    return f"{name}: {_value_words(row)}, of {row.n_active[0]} and {row.n_active[1]} active heads."


def _value_words(row: Similarity) -> str:
    if row.value is None:
        return "not defined"
    return _with_interval(row.value, row.low, row.high)


def _with_interval(value: float, low: float | None, high: float | None) -> str:
    interval = "no interval" if low is None or high is None else f"{decimal(low, 2)} to {decimal(high, 2)}"
    return f"{decimal(value, 2)} ({interval})"


def _undefined(rows: Sequence[tuple[int, str | None]]) -> str:
    """Which layers have no value, and why."""
    why: dict[str, list[int]] = {}
    for layer, reason in rows:
        why.setdefault(reason or "", []).append(layer)
    return " ".join(f"Not defined in {layer_names(layers)}: {reason}." for reason, layers in why.items())
