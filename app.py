"""The app: navigation and the frame around every page.

``python -m ui`` starts it with everything in memory; ``streamlit run app.py`` works as well.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui.guard import guarded
from ui.link import turn_to
from ui.navigation import navigation

st.set_page_config(
    page_title="Instruction Vector Explorer", page_icon=str(Path(__file__).parent / "ui" / "icon.svg"), layout="wide"
)
page = navigation()
turn_to(page.url_path)
with guarded():
    page.run()
