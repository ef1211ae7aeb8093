"""Heads: which attention heads the paths use, more than chance, and whether the instruction chooses them."""

from __future__ import annotations

import streamlit as st

from ui import calls, frame, state
from ui.guard import guarded
from ui.heads.detail import show_head
from ui.heads.files import heads_commands, heads_downloads
from ui.heads.follows import show_follows
from ui.heads.form import heads_form
from ui.heads.help import COMMANDS_NOTE, LINE, READING, TITLE
from ui.heads.likeness import layer_groups, show_likeness
from ui.heads.missing import Models, show_missing
from ui.heads.published import show_published
from ui.heads.result import caption, settings, show_maps
from ui.heads.runs import activity, find_side
from ui.heads.selector import show_selector
from ui.heads.state import heads_link, threshold_complaints, two_sides
from ui.link import page_address, report_once, take_link
from ui.model_form import stop_if_failed

link = take_link()
frame.header(TITLE, LINE)
notices = st.container()

with guarded():
    form = heads_form()
    inputs = form.inputs
    with notices:
        report_once([*state.link_complaints(link, form.options), *threshold_complaints(link)])
    if form.missing is not None:
        st.info(form.missing, icon=":material/keyboard:")
        st.stop()

    wanted = two_sides(inputs)
    stop_if_failed([side.ref for side in wanted], inputs.device, inputs.dtype)
    show_follows(notices, inputs, wanted)
    models = Models(form.badge, inputs)
    sides = tuple(find_side(side, inputs) for side in wanted)
    show_missing(models, inputs, sides)
    there = [side for side in sides if side.use is not None]
    if not there:
        st.info("No activity of heads to show yet.", icon=":material/hourglass_empty:")
        st.stop()

    st.subheader("Which heads the paths use", anchor=False)
    inputs, offered = settings(inputs, there)
    with notices:
        report_once(state.link_complaints(link, offered), "maps")
    show_maps(inputs, there)
    inputs = show_head(models, inputs, there, link)

    groups = layer_groups(len(activity(there[0]).mean), inputs.by)
    if len(there) == 2:
        show_selector(inputs, there)
        show_likeness(inputs, there, groups)
    show_published(inputs, there, groups)
    caption(sides)
    for ref in dict.fromkeys(side.wanted.ref for side in there):
        if calls.is_light(ref):
            models.load(ref)
    address = heads_link(page_address(), inputs)
    offers = heads_downloads(inputs, there, groups)
    frame.foot(READING, address, offers, heads_commands(inputs, sides), commands_note=COMMANDS_NOTE)
