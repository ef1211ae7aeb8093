"""Published: the paper's tables, and one's own runs of the same models and tasks beside them."""

from __future__ import annotations

import streamlit as st

from ui import frame, state
from ui.guard import guarded
from ui.link import page_address, report_once, take_link
from ui.published import form as published_form
from ui.published import result as published_result
from ui.published.files import published_downloads, queries_of
from ui.published.help import LINE, READING, TITLE
from ui.text import markdown

link = take_link()
frame.header(TITLE, LINE)

with guarded():
    from ivcore.published import N_SAMPLES, table

    form = published_form.published_form(link)
    inputs, entry = form.inputs, table(form.inputs.table)
    report_once(state.link_complaints(link, form.options))

    published_result.show(inputs)
    st.caption(markdown(published_result.caption(entry, inputs)))
    published_result.whole_table(entry.number)

    n_samples = min(N_SAMPLES, queries_of(entry.tasks).get(inputs.task or "", N_SAMPLES))
    frame.foot(
        READING,
        published_form.permalink(page_address(), inputs),
        published_downloads(entry, inputs),
        published_form.commands(inputs, n_samples),
        commands_note="computes the chosen part with this app’s engine, then the whole table from the plan",
    )
