"""Patch: write an instruction's vector into a prompt that has no instruction, and see what comes back."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ui import calls, frame, state
from ui.follows import follows_badge
from ui.guard import guarded
from ui.link import report_once, take_link
from ui.model_form import agreed_to_download, check_badge
from ui.patch import result as patch_result
from ui.patch.files import patch_downloads
from ui.patch.form import patch_form
from ui.patch.help import LINE, READING, TITLE

link = take_link()
frame.header(TITLE, LINE)
form = patch_form()
notices = st.container()

with guarded():
    inputs = form.inputs
    if inputs.family == state.OTHER and not inputs.ref:
        st.info("Type the folder or the Hugging Face id of a model above.", icon=":material/keyboard:")
        st.stop()
    if calls.is_to_download(inputs.ref) and not agreed_to_download(inputs.ref):
        st.stop()
    with st.spinner("Loading and checking the model", show_time=True):
        loaded = calls.model(inputs.ref, inputs.device, inputs.dtype)
        verdict = calls.verdict(loaded, loaded.fingerprint, loaded.device, loaded.dtype)
    check_badge(form.badge, verdict)
    follows_badge(notices, inputs.family, inputs.stage, inputs.ref, inputs.instruction)

    # T_inst and the layers are chosen once the prompt's tokens and the model's layers are known.
    prompt = calls.prompt(loaded, inputs)
    drawing = st.container()
    linked, complaint = state.link_position(link, "t_inst", len(prompt.ids_full))
    t_inst = patch_result.source_chooser(prompt, linked)
    left, right = st.columns([5, 6], gap="large")
    with left:
        layers = patch_result.layer_chooser(loaded.n_layers)
        tools = st.container(horizontal=True, vertical_alignment="bottom")
        metric = patch_result.metric_chooser(tools)
    inputs = replace(inputs, t_inst=t_inst, layers=layers, metric=metric)

    result = patch_result.measure(loaded, inputs, prompt)

    with drawing:
        patch_result.show_prompt(result)
    patch_result.strongest_button(tools, result, metric)
    with left:
        patch_result.show_map(result, loaded, inputs)
    with right:
        patch_result.show_numbers(result, loaded.vocab_size)
    patch_result.show_pairs(result, inputs)

    frame.model_caption(loaded, *patch_result.facts(result))
    options = form.options | {"layers": range(loaded.n_layers), "metric": tuple(state.METRICS)}
    with notices:
        report_once([*state.link_complaints(link, options), *([complaint] if complaint else [])])
    link_now = state.permalink(st.context.url or "", inputs)
    downloads = patch_downloads(result, loaded, inputs)
    frame.foot(READING, link_now, downloads, state.commands(inputs, inputs.answer_or_none))
