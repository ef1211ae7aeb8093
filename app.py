"""The app: navigation and the frame around every page.

``python -m ui`` starts it with everything in memory; ``streamlit run app.py`` works as well.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui.guard import guarded

st.set_page_config(
    page_title="Instruction Vector Explorer", page_icon=str(Path(__file__).parent / "ui" / "icon.svg"), layout="wide"
)
page = st.navigation([st.Page("pages/patch.py", title="Patch", default=True)])
with guarded():
    page.run()
