"""Paths: follow how the instruction reaches the answer, token by token and head by head."""

from __future__ import annotations

import streamlit as st

from ui import frame, state
from ui.guard import guarded
from ui.link import page_address, report_once, take_link
from ui.model_form import stop_if_failed
from ui.paths.form import paths_form
from ui.paths.help import LINE, READING, TITLE
from ui.paths.one import show_one
from ui.paths.run import Badge
from ui.paths.state import TASK, paths_link
from ui.paths.task import show_task
from ui.sweep.state import OWN_FILE

link = take_link()
frame.header(TITLE, LINE)
notices = st.container()

with guarded():
    form = paths_form()
    inputs = form.inputs
    with notices:
        report_once(state.link_complaints(link, form.options))
    if form.missing is not None:
        st.info(form.missing, icon=":material/keyboard:")
        st.stop()

    stop_if_failed([ref for _, ref in inputs.stages], inputs.device, inputs.dtype)
    badge = Badge(form.badge)
    if inputs.view == TASK:
        if form.task is None:
            st.stop()
        shown = show_task(badge, inputs, form.task, notices, link, own=inputs.task == OWN_FILE)
    else:
        shown = show_one(badge, inputs, notices, link)

    address = paths_link(page_address(), shown.inputs) if shown.is_shareable else ""
    frame.foot(READING, address, shown.downloads, shown.commands, commands_note=shown.note)
