"""Geometry: do paraphrases of different instructions lie apart in the model's states, and does that mean anything?"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ui import frame, state
from ui.geometry import closer as geometry_closer
from ui.geometry import points as geometry_points
from ui.geometry import result as geometry_result
from ui.geometry.files import geometry_commands, geometry_downloads
from ui.geometry.form import detail_stage, geometry_form
from ui.geometry.help import COMMANDS_NOTE, LINE, READING, TITLE
from ui.geometry.missing import show_missing
from ui.geometry.runs import find_panels
from ui.geometry.state import VIEWS, geometry_link
from ui.guard import guarded
from ui.link import page_address, report_once, take_link
from ui.model_form import stop_if_failed

link = take_link()
frame.header(TITLE, LINE)
notices = st.container()

with guarded():
    form = geometry_form()
    inputs, request = form.inputs, form.request
    with notices:
        report_once(state.link_complaints(link, form.options | {"view": tuple(VIEWS)}))
    if not inputs.stages:
        st.info("Type the folder or the Hugging Face id of a model above.", icon=":material/keyboard:")
        st.stop()
    if request is None:
        st.stop()

    stop_if_failed([ref for _, ref in inputs.stages], inputs.device, inputs.dtype)
    panels = find_panels(inputs, request)
    missing = [panel for panel in panels if panel.run is None]
    show_missing(form.badge, inputs, panels, geometry_commands(inputs, missing, form.files))
    if len(missing) == len(panels):
        st.info("Nothing is computed yet for these paraphrases.", icon=":material/hourglass_empty:")
        st.stop()

    st.subheader("Is it linear?", anchor=False)
    geometry_result.show_accuracy(panels)

    st.subheader("Where the paraphrases lie", anchor=False)
    layer, view = geometry_points.view_chooser(panels)
    inputs = replace(inputs, layer=layer, view=view)
    geometry_points.show_points(form.badge, inputs, panels)

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        inputs = replace(inputs, stage=detail_stage(inputs))
        panel = next(panel for panel in panels if panel.stage == inputs.stage)
        inputs = replace(inputs, task=geometry_closer.task_chooser(inputs, panel))
    with notices:
        offered = {"layer": geometry_points.layer_options(panels)} | ({"task": inputs.tasks} if inputs.task else {})
        report_once(state.link_complaints(link, offered), "layers")
    if panel.run is None:
        st.info(
            "This stage is not computed yet; choose another or compute it above.", icon=":material/hourglass_empty:"
        )
        panel = next(panel for panel in panels if panel.run is not None)
    else:
        geometry_closer.show_contrast(inputs, panel)
        geometry_closer.show_separation(inputs, panels, panel)

    geometry_result.show_released(form.badge, inputs, panels)
    geometry_result.caption(panel)
    there = [panel for panel in panels if panel.run is not None]
    offers = geometry_downloads(panels, panel, geometry_points.drawings(inputs, there), layer)
    address = geometry_link(page_address(), inputs) if inputs.is_shareable else ""
    commands = geometry_commands(inputs, panels, form.files)
    frame.foot(READING, address, offers, commands, commands_note=COMMANDS_NOTE)
