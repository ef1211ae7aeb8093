"""The app: navigation and the frame around every page.  Start it with ``streamlit run app.py``."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui import calls
from ui.guard import guarded
from ui.patch_form import DEFAULT_MODEL

st.set_page_config(
    page_title="Instruction Vector Explorer", page_icon=str(Path(__file__).parent / "ui" / "icon.svg"), layout="wide"
)
page = st.navigation([st.Page("pages/patch.py", title="Patch", default=True)])
calls.warm(DEFAULT_MODEL)
with guarded():
    page.run()
