"""The app's pages.

Streamlit takes a folder ``pages/`` for pages of its own making until ``st.navigation`` was called once in the server.
A first visitor who opens a page by its own address would then see the bare file; ``in_frame`` mends that.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from .link import is_turned_to

__all__ = ["in_frame", "navigation"]

PAGES = {
    "pages/patch.py": "Patch",
    "pages/behaviour.py": "Behaviour",
    "pages/sweep.py": "Task sweep",
    "pages/stages.py": "Stages",
    "pages/geometry.py": "Geometry",
    "pages/paths.py": "Paths",
    "pages/heads.py": "Heads",
    "pages/published.py": "Published",
    "pages/models.py": "Models",
}
"""File to title; the first is the page at the root."""


_ROOT = Path(__file__).resolve().parents[1]
_TRIED = "started over in the frame"


def navigation() -> st.Page:
    """The page that the address names."""
    first = next(iter(PAGES))
    return st.navigation([st.Page(_ROOT / file, title=title, default=file == first) for file, title in PAGES.items()])


def in_frame() -> None:
    """Start over within the app's frame, once, where Streamlit ran the page's file by itself."""
    if not is_turned_to() and not st.session_state.get(_TRIED):
        st.session_state[_TRIED] = True
        navigation()
        st.rerun()
