"""What the address asked for when the page was opened, and what of it the page could not give.

Bound widgets take their values from the address themselves and drop silently what they do not know; here the reader is
told.  The address is kept for the session, so that a link still counts after a first model failed to load.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from .text import markdown

__all__ = ["report_once", "take_link"]

_LINK, _TOLD = "link of this session", "told about the link"


def take_link() -> dict[str, list[str]]:
    """The parameters with which this session was opened; call it before any bound widget."""
    if _LINK not in st.session_state:
        st.session_state[_LINK] = {name: st.query_params.get_all(name) for name in st.query_params}
    link: dict[str, list[str]] = st.session_state[_LINK]
    return link


def report_once(complaints: Sequence[str]) -> None:
    """Say, on the first complete page of the session only, which parts of the link were ignored."""
    if complaints and not st.session_state.get(_TOLD):
        for complaint in complaints:
            st.warning(markdown(complaint), icon=":material/link_off:")
    st.session_state[_TOLD] = True
