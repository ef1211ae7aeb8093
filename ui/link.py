"""What the address asked for when a page was opened, and what of it the page could not give.

Bound widgets take their values from the address themselves and drop silently what they do not know; here the reader is
told.  The address is kept while the page stays open, so that a link still counts after a first model failed to load;
turning to another page is opening it.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

import streamlit as st

from .text import markdown

__all__ = ["is_turned_to", "page_address", "report_once", "take_link", "turn_to"]

_PAGE, _LINK, _TOLD = "page of this session", "link of this session", "told about the link"


def is_turned_to() -> bool:
    """Whether the app called ``turn_to`` in this session."""
    return _PAGE in st.session_state


def turn_to(page: str) -> None:
    """Note which page runs; the app calls this before the page."""
    if st.session_state.get(_PAGE) != page:
        st.session_state[_PAGE] = page
        for name in (_LINK, _TOLD):
            st.session_state.pop(name, None)


def take_link() -> dict[str, list[str]]:
    """The parameters with which this page was opened; call it before any bound widget."""
    if _LINK not in st.session_state:
        st.session_state[_LINK] = {name: st.query_params.get_all(name) for name in st.query_params}
    link: dict[str, list[str]] = st.session_state[_LINK]
    return link


def report_once(complaints: Sequence[str], about: str = "form") -> None:
    """Say which parts of the link were ignored; for each thing that they are about only the first time."""
    told: set[str] = st.session_state.setdefault(_TOLD, set())
    if about not in told:
        for complaint in complaints:
            st.warning(markdown(complaint), icon=":material/link_off:")
    told.add(about)


def page_address() -> str:
    """The address of this page, without parameters."""
    return urlunsplit((*urlsplit(st.context.url or "")[:3], "", ""))
