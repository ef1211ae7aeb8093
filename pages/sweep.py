"""Task sweep: patch every set of layers over many samples of a task, with statistics that hold."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ui import frame, state
from ui.follows import follows_badge
from ui.guard import guarded
from ui.link import page_address, report_once, take_link
from ui.model_form import metric_chooser, stop_if_failed
from ui.sweep import panels as sweep_panels
from ui.sweep import result as sweep_result
from ui.sweep.files import sweep_downloads
from ui.sweep.form import sweep_form
from ui.sweep.help import LINE, READING, TITLE
from ui.sweep.run import caption, other_convention, show_badge, stored_or_started
from ui.sweep.state import set_names, sweep_command, sweep_link

link = take_link()
frame.header(TITLE, LINE)
notices = st.container()

with guarded():
    form = sweep_form()
    inputs, request = form.inputs, form.request
    with notices:
        report_once(state.link_complaints(link, form.options))
    if request is None:
        st.stop()
    if inputs.family == state.OTHER and not inputs.ref:
        st.info("Type the folder or the Hugging Face id of a model above.", icon=":material/keyboard:")
        st.stop()

    stop_if_failed((inputs.ref,), inputs.device, inputs.dtype)
    follows_badge(notices, inputs.family, inputs.stage, inputs.ref, request.instruction)
    run = stored_or_started(form.badge, inputs, request)
    tools = st.container(horizontal=True, vertical_alignment="bottom")
    with tools:
        metric = metric_chooser()
    result = sweep_result.set_chooser(tools, run, metric)
    with notices:
        report_once(state.link_complaints(link, {"set": set_names(run)}), "set")
    inputs = replace(inputs, metric=metric, layers=result.layers)

    sweep_result.show_finding(result)
    left, right = st.columns([6, 5], gap="large")
    with left:
        sweep_result.show_map(result)
    with right:
        sweep_result.show_set(result)
    ranking, excesses, samples, triples, conventions = st.tabs(
        ["Ranking", "More than the sum", "Samples", "Triples", "As released"]
    )
    with ranking:
        sweep_result.show_ranking(result)
    with excesses:
        sweep_panels.show_excesses(result)
    with samples:
        sweep_result.show_samples(result)
    with triples:
        sweep_panels.show_triples(result)
    with conventions:
        other_convention(inputs, result)

    caption(run)
    commands = [sweep_command(inputs, form.flags)] if form.flags or inputs.is_shareable else []
    address = sweep_link(page_address(), inputs) if inputs.is_shareable else ""
    frame.foot(READING, address, sweep_downloads(result), commands)
    show_badge(form.badge, inputs)
