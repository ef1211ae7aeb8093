"""Behaviour: does the model follow the instruction at all, task by task and stage by stage?"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ui import frame, state
from ui.behaviour import result as behaviour_result
from ui.behaviour.ask import asked_prompt, show_ask
from ui.behaviour.files import behaviour_commands, behaviour_downloads, command_of
from ui.behaviour.form import behaviour_form, detail_chooser
from ui.behaviour.help import COMMANDS_NOTE, LINE, READING, TITLE
from ui.behaviour.judge import judged_before, show_judge
from ui.behaviour.missing import show_missing
from ui.behaviour.runs import find_panels
from ui.behaviour.state import behaviour_link
from ui.behaviour.table import show_table
from ui.guard import guarded
from ui.link import page_address, report_once, take_link
from ui.model_form import stop_if_failed
from ui.sweep.state import OWN_FILE

link = take_link()
frame.header(TITLE, LINE)
notices = st.container()

with guarded():
    form = behaviour_form()
    inputs = form.inputs
    with notices:
        report_once(state.link_complaints(link, form.options))
    if not inputs.stages:
        st.info("Type the folder or the Hugging Face id of a model above.", icon=":material/keyboard:")
        st.stop()
    if not form.requests:
        st.info("Choose at least one task above.", icon=":material/checklist:")
        st.stop()

    stop_if_failed([ref for _, ref in inputs.stages], inputs.device, inputs.dtype)
    inputs = replace(inputs, tasks=tuple(form.requests))
    panels = find_panels(inputs, form.requests)
    shares, missing, details = st.container(), st.container(), st.container()
    inputs = detail_chooser(details, inputs)
    with notices:
        report_once(state.link_complaints(link, {"task": inputs.tasks}), "task")
    with shares:
        behaviour_result.show_shares(inputs, panels)
    with missing:
        show_missing(form.badge, inputs, panels, form.flags)

    judged, panel = None, next(one for one in panels if (one.task, one.stage) == (inputs.task, inputs.stage))
    if panel.run is None:
        st.info("These prompts have not been answered yet.", icon=":material/hourglass_empty:")
    else:
        behaviour_result.show_answers(panel)
        judged = judged_before(panel.run)
        show_table(panel.run, judged)
        behaviour_result.caption(panel.run)
        show_judge(panel.run, command_of(inputs, panel, form.flags))
    ask = st.container()
    inputs = replace(inputs, prompt=asked_prompt())
    address = "" if OWN_FILE in inputs.tasks else behaviour_link(page_address(), inputs)
    commands = behaviour_commands(inputs, panels, form.flags)
    offers = behaviour_downloads(inputs, panels, panel.run, judged)
    frame.foot(READING, address, offers, commands, commands_note=COMMANDS_NOTE)
    with ask:
        show_ask(form.badge, inputs, panels, link)
