"""Stages: where a model keeps its instruction before and after training on instructions, task by task."""

from __future__ import annotations

import streamlit as st

from ui import frame, state
from ui.guard import guarded
from ui.link import page_address, report_once, take_link
from ui.model_form import stop_if_failed
from ui.stages import result as stages_result
from ui.stages.files import caption, stages_downloads
from ui.stages.form import stages_commands, stages_form, stages_link
from ui.stages.grid import find_panels
from ui.stages.help import LINE, READING, TITLE

link = take_link()
frame.header(TITLE, LINE)
notices = st.container()

with guarded():
    form = stages_form()
    inputs = form.inputs
    with notices:
        report_once(state.link_complaints(link, form.options))
    if not inputs.tasks:
        st.info("Choose at least one task above.", icon=":material/checklist:")
        st.stop()

    grid = find_panels(inputs.stages, inputs.tasks, inputs.convention)
    for dtype in sorted({str(panel.run.model["dtype"]) for row in grid for panel in row if panel.run is not None}):
        stop_if_failed([ref for _, ref in inputs.stages], "auto", dtype)
    if inputs.differences:
        stages_result.show_differences(inputs, grid)
    else:
        stages_result.show_effects(inputs, grid)
    stages_result.show_spread(inputs, grid)

    caption(grid)
    sweeps = [stages_result.panel_sweep(inputs, panel) for row in grid for panel in row]
    address = stages_link(page_address(), inputs)
    frame.foot(READING, address, stages_downloads(grid, inputs.metric), stages_commands(inputs, sweeps))
