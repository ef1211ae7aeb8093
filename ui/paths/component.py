"""The interactive picture on the page: what is clicked in it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import streamlit as st

from .picture import script, shared_script, styles

__all__ = ["show_picture"]


def show_picture(picture: Mapping[str, Any], key: str) -> str | None:
    """Draw the picture; the name of the node or edge that was clicked just now, else None."""
    with st.container(key="graph_drawing"):  # takes no room, see style.css
        _drawing()(key="graph drawing")
    shown = _component()(key=key, data=dict(picture), on_picked_change=_nothing)
    picked = shown.picked
    return picked if isinstance(picked, str) else None


@cache
def _component() -> Any:
    return st.components.v2.component("iv_paths_graph", js=script(), css=styles())


@cache
def _drawing() -> Any:
    return st.components.v2.component("iv_paths_drawing", js=shared_script())


def _nothing() -> None:
    """Streamlit wants a callback for each thing that may come back; the value is read where the picture is drawn."""
