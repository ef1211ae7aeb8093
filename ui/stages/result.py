"""The result of the Stages page: a grid of triangles, and the effective number of sets of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import altair as alt
import pandas as pd
import streamlit as st

from ..charts import FAINT
from ..follows import follows_badge
from ..sweep.state import SweepInputs, sweep_command, sweep_parameters
from ..text import and_list, count, markdown, share
from .form import StagesInputs, panel_inputs
from .grid import Difference, Panel, SpreadRow, difference_chart, effect_chart, spread_chart
from .help import SPREAD

__all__ = ["counted", "panel_sweep", "show_differences", "show_effects", "show_spread"]

SWEEP_PAGE = "pages/sweep.py"


def panel_sweep(inputs: StagesInputs, panel: Panel) -> SweepInputs:
    """The sweep that a panel shows, or the one that would fill it."""
    if panel.run is None:
        return panel_inputs(inputs, panel.stage, panel.task, 100, 2, "float32")
    run = panel.run
    dtype = str(run.model["dtype"])
    return panel_inputs(inputs, panel.stage, panel.task, run.n_samples, run.request.depth, dtype)


def show_effects(inputs: StagesInputs, grid: Sequence[Sequence[Panel]]) -> None:
    """A row for each task, a column for each stage."""
    span = max((panel.largest(inputs.metric) for row in grid for panel in row), default=0.0)
    common = max(span, FAINT[inputs.metric]) if inputs.one_scale else None
    for row in grid:
        st.markdown(f"##### {markdown(row[0].task)}")
        for place, panel in zip(st.columns(len(row), gap="medium"), row, strict=True):
            with place:
                if panel.run is None:
                    _missing(inputs, panel)
                else:
                    chart = effect_chart(panel, metric=inputs.metric, span=common)
                    _panel_chart(chart, inputs, panel, f"Effects of {panel.task} on {panel.stage}")


def show_differences(inputs: StagesInputs, grid: Sequence[Sequence[Panel]]) -> None:
    """A row for each task, a column for each pair of stages."""
    rows = [[Difference(*pair) for pair in combinations(row, 2)] for row in grid]
    cells = [one.cells(inputs.metric)["effect"].abs().max() for row in rows for one in row if one.is_there]
    common = max([*cells, FAINT[inputs.metric]]) if inputs.one_scale else None
    for row in rows:
        st.markdown(f"##### {markdown(row[0].after.task)}")
        for place, one in zip(st.columns(len(row), gap="medium"), row, strict=True):
            with place:
                if one.is_there:
                    chart = difference_chart(one, metric=inputs.metric, span=common)
                    _panel_chart(chart, inputs, one.after, f"{one.name} on {one.after.task}")
                else:
                    lacking = [panel.stage for panel in (one.before, one.after) if panel.run is None]
                    with st.container(border=True):
                        st.markdown(f"**{markdown(one.name)}**")
                        st.caption(f"Not computed: {and_list(lacking)}. The view of effects names the command.")


def show_spread(inputs: StagesInputs, grid: Sequence[Sequence[Panel]]) -> None:
    """How localised each panel is, as a number, in a chart and a table."""
    rows = [
        SpreadRow(panel.task, panel.stage, spread)
        for row in grid
        for panel in row
        if (spread := panel.spread(inputs.metric)) is not None
    ]
    if not rows:
        return
    st.divider()
    left, right = st.columns([5, 6], gap="large")
    with left:
        chart = spread_chart(rows, [stage for stage, _ in inputs.stages])
        st.altair_chart(chart, width="stretch", alt="Effective number of layer sets by stage and task")
    with right:
        st.markdown(SPREAD)
        st.dataframe(
            pd.DataFrame(
                {
                    "task": [row.task for row in rows],
                    "stage": [row.stage for row in rows],
                    "sets": [row.spread.effective_sets for row in rows],
                    "of": [row.spread.n_sets for row in rows],
                    "top": [and_list(row.spread.top_layers or ()) for row in rows],
                    "share": [share(row.spread.top_share) for row in rows],
                }
            ),
            hide_index=True,
            column_config={
                "sets": st.column_config.NumberColumn("effective sets", format="%.1f"),
                "top": "strongest set",
                "share": st.column_config.TextColumn("its share", help="Of the summed positive effects."),
            },
        )


def _missing(inputs: StagesInputs, panel: Panel) -> None:
    """What stands where no run is: why, the command that would compute it, and the way to do so here."""
    wanted = panel_sweep(inputs, panel)
    with st.container(border=True):
        st.markdown(f"**{markdown(panel.stage)}** · not computed")
        if panel.damaged:
            st.warning(markdown(panel.damaged), icon=":material/broken_image:")
        st.code(sweep_command(wanted).removesuffix(" --json"), language=None, wrap_lines=True)
        _open(wanted, "Open in Task sweep")


def _panel_chart(chart: alt.LayerChart, inputs: StagesInputs, panel: Panel, description: str) -> None:
    """A chart, and the way to the sweep behind it."""
    st.altair_chart(chart, width="stretch", alt=description)
    wanted = panel_sweep(inputs, panel)
    _open(wanted, "Open this sweep")
    if panel.run is not None:
        instruction = panel.run.request.instruction
        follows_badge(st.container(), inputs.family, panel.stage, wanted.ref, instruction, short=True)


def _open(wanted: SweepInputs, label: str) -> None:
    """A link to the Task sweep page.  What both pages bind has the same value there, so Streamlit may drop it."""
    st.page_link(SWEEP_PAGE, label=label, icon=":material/arrow_forward:", query_params=sweep_parameters(wanted))


def counted(grid: Sequence[Sequence[Panel]]) -> str:
    """How many of the panels were computed."""
    panels = [panel for row in grid for panel in row]
    return f"{count(sum(panel.run is not None for panel in panels))} of {count(len(panels))} panels computed"
