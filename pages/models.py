"""Models: which there are, whether they fit, and whether each is measured rightly on this machine."""

from __future__ import annotations

import streamlit as st

from ui import frame, state
from ui.guard import guarded
from ui.link import page_address, report_once, take_link
from ui.models.adding import show_adding
from ui.models.details import show_details
from ui.models.files import models_downloads
from ui.models.form import models_form
from ui.models.help import COMMANDS_NOTE, LINE, READING, TITLE
from ui.models.listing import list_rows, show_list
from ui.models.state import check_command, models_link

link = take_link()
frame.header(TITLE, LINE)
notices = st.container()

with guarded():
    form = models_form()
    inputs = form.inputs
    with notices:
        report_once(state.link_complaints(link, form.options))

    rows = list_rows(inputs)
    show_list(inputs, rows)
    chosen = next((row for row in rows if row.ref == inputs.ref), None)
    if chosen is None:
        st.info("Type the folder or the Hugging Face id of a model above.", icon=":material/keyboard:")
    else:
        show_details(inputs, chosen)
    show_adding()

    address = models_link(page_address(), inputs)
    commands = [check_command(inputs)] if inputs.ref else []
    frame.foot(READING, address, models_downloads(rows, chosen), commands, commands_note=COMMANDS_NOTE)
