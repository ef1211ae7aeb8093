"""The circuit selector: do two instructions use other heads, by more than two halves of one task's prompts do?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd
import streamlit as st

from ..charts import empty_chart
from ..text import and_list, count, decimal, layer_names, markdown, signed
from ..triangle import INK, NEGATIVE, POSITIVE, title
from . import runs as heads_runs
from .help import SELECTOR
from .runs import Side, find_side
from .state import TASKS, HeadsInputs, two_sides

if TYPE_CHECKING:
    from ivcore.heads import SplitHalves

__all__ = ["difference_chart", "likeness_chart", "parted", "selector_heading", "selector_words", "show_selector"]

BETWEEN, WITHIN = "between the two sides", "two halves of one side"


def show_selector(inputs: HeadsInputs, sides: Sequence[Side]) -> None:
    """The test on both sides; of two tasks also on the other stages."""
    from ivcore.errors import InputError

    is_tasks = inputs.by == TASKS
    st.subheader("Circuit selector" if is_tasks else "More than their prompts?", anchor=False)
    try:
        rows = heads_runs.halves(*sides)
    except InputError as err:
        st.info(markdown(err), icon=":material/group:")
        return
    names = sides[0].name, sides[1].name
    st.markdown(f"##### {markdown(selector_heading(rows, names))}")
    st.caption(markdown(selector_words(rows)))
    left, right = st.columns(2, gap="large")
    with left:
        chart = likeness_chart(rows)
        st.altair_chart(chart, width="stretch", alt="Likeness of the heads by layer, and of two halves of one side")
    with right:
        chart = difference_chart(rows)
        st.altair_chart(chart, width="stretch", alt="The difference of the two by layer, with its central 95%")
    st.markdown(SELECTOR)
    if is_tasks and len(inputs.stages) > 1:
        _show_stages(inputs)


def parted(rows: Sequence[SplitHalves]) -> tuple[SplitHalves, ...]:
    """The layers whose interval lies above zero."""
    return tuple(row for row in rows if row.low is not None and row.low > 0)


def selector_heading(rows: Sequence[SplitHalves], names: tuple[str, str]) -> str:
    """Where the two part, if they do."""
    if all(row.difference is None for row in rows):
        return "Not defined: no head is ever used"
    if not (apart := parted(rows)):
        return f"{names[0]} and {names[1]} differ in no layer by more than their prompts do"
    if all(row in apart for row in rows if row.difference is not None):
        return f"{names[0]} and {names[1]} differ in every layer by more than their prompts do"
    return f"{names[0]} and {names[1]} first part in layer {apart[0].layer}"


def selector_words(rows: Sequence[SplitHalves]) -> str:
    """All layers where they part, the largest difference, and what is not defined."""
    parts = []
    if apart := parted(rows):
        most = max(apart, key=lambda row: row.difference or 0.0)
        parts.append(
            f"Above zero in {_layers_words(apart, rows)} of {count(len(rows))}; the largest difference, "
            f"{_difference_words(most)}, is in layer {most.layer}."
        )
    unknown: dict[str, list[int]] = {}
    for row in rows:
        if row.undefined is not None:
            unknown.setdefault(row.undefined, []).append(row.layer)
    parts += [f"Not defined in {layer_names(layers)}: {why}." for why, layers in unknown.items()]
    parts.append("Layers are judged one by one, so of many layers one may stand out by chance.")
    return " ".join(parts)


def likeness_chart(rows: Sequence[SplitHalves]) -> alt.LayerChart:
    """Likeness between the sides, and of two halves of one side, layer by layer."""
    frame = pd.DataFrame(
        [
            {"layer": str(row.layer), "series": series, "likeness": value, "words": decimal(value, 3)}
            for row in rows
            for series, value in ((BETWEEN, row.between), (WITHIN, row.within))
            if value is not None
        ]
    )
    if frame.empty:
        return empty_chart("No head of any layer is ever used.")
    names = [BETWEEN, WITHIN]
    base = alt.Chart(frame).encode(
        x=_layers(rows),
        y=alt.Y(
            "likeness:Q",
            title="likeness (1: the same)",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(titleFontWeight="normal", tickCount=5, gridOpacity=0.6),
        ),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=names, range=[POSITIVE, NEGATIVE]),
            legend=alt.Legend(
                orient="top", title=None, columns=1, symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1
            ),
        ),
        strokeDash=alt.StrokeDash("series:N", scale=alt.Scale(domain=names, range=[[1, 0], [6, 3]]), legend=None),
        tooltip=[alt.Tooltip("layer:N"), alt.Tooltip("series:N", title="of"), alt.Tooltip("words:N", title="likeness")],
    )
    drawn = [base.mark_line(strokeWidth=2.5), base.mark_circle(size=70, opacity=1)]
    return alt.LayerChart(layer=drawn).properties(
        title=title("Below the dashed line: other heads are used", ["Dashed: what other prompts alone change."]),
        height=400,
    )


def difference_chart(rows: Sequence[SplitHalves]) -> alt.LayerChart:
    """Likeness of halves less likeness between the sides, with the central 95% over random splits."""
    frame = pd.DataFrame(
        [
            {
                "layer": str(row.layer),
                "difference": row.difference,
                "low": row.low,
                "high": row.high,
                "parts": row.low is not None and row.low > 0,
                "words": _difference_words(row),
            }
            for row in rows
            if row.difference is not None
        ]
    )
    if frame.empty:
        return empty_chart("No head of any layer is ever used.")
    axis = alt.Axis(titleFontWeight="normal", tickCount=5, gridOpacity=0.6)
    y = alt.Y("difference:Q", title="difference in likeness", axis=axis, scale=alt.Scale(zero=True))
    color = alt.Color("parts:N", scale=alt.Scale(domain=[True, False], range=[POSITIVE, "gray"]), legend=None)
    base = alt.Chart(frame).encode(x=_layers(rows))
    zero = alt.Chart(pd.DataFrame({"difference": [0.0]})).mark_rule(color=INK, strokeDash=[4, 4], opacity=0.7)
    tooltip = [alt.Tooltip("layer:N"), alt.Tooltip("words:N", title="difference")]
    drawn = [
        zero.encode(y=y),
        base.mark_rule(strokeWidth=3).encode(y=alt.Y("low:Q"), y2="high:Q", color=color),
        base.mark_circle(size=80, opacity=1).encode(y=y, color=color, tooltip=tooltip),
    ]
    return alt.LayerChart(layer=drawn).properties(
        title=title("Above zero: more than the prompts change", ["Lines: central 95% over 1,000 random splits."]),
        height=400,
    )


def _show_stages(inputs: HeadsInputs) -> None:
    """The same test on every stage that was computed."""
    rows = [_stage_row(inputs, stage) for stage, _ in inputs.stages]
    st.markdown("**The same on each stage of training**")
    st.dataframe(pd.DataFrame(rows), hide_index=True)


def _stage_row(inputs: HeadsInputs, stage: str) -> dict[str, str]:
    from ivcore.errors import InputError

    row = {"stage": stage, "they part in": "", "largest difference (central 95%)": "", "in layer": "", "n": ""}
    sides = [find_side(wanted, inputs) for wanted in two_sides(replace(inputs, stage=stage))]
    if missing := [side.name for side in sides if side.use is None]:
        return row | {"they part in": f"not computed: {and_list(missing)}"}
    try:
        found = [one for one in heads_runs.halves(*sides) if one.difference is not None]
    except InputError:
        found = []
    if not found:
        return row | {"they part in": "not defined"}
    most, apart = max(found, key=lambda one: one.difference or 0.0), parted(found)
    row |= {"they part in": _layers_words(apart, found), "in layer": str(most.layer)}
    n = [count(len(side.use.shares)) for side in sides if side.use is not None]
    return row | {"largest difference (central 95%)": _difference_words(most), "n": and_list(list(dict.fromkeys(n)))}


def _layers_words(apart: Sequence[SplitHalves], of: Sequence[SplitHalves]) -> str:
    """``layers 1 and 3``, or that it is all of them."""
    return "every layer" if len(apart) == len(of) else layer_names([row.layer for row in apart])


def _difference_words(row: SplitHalves) -> str:
    if row.difference is None or row.low is None or row.high is None:
        return "not defined"
    return f"{signed(row.difference, 3)} ({signed(row.low, 3)} to {signed(row.high, 3)})"


def _layers(rows: Sequence[SplitHalves]) -> alt.X:
    axis = alt.Axis(labelAngle=0, labelOverlap=True, grid=False, titleFontWeight="normal")
    scale = alt.Scale(type="point", padding=0.5, domain=[str(row.layer) for row in rows])
    return alt.X("layer:O", title="layer", axis=axis, scale=scale)
