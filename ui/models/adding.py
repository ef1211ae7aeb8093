"""How any other model is opened, and what is refused."""

from __future__ import annotations

import streamlit as st

from .. import calls
from ..state import OTHER
from ..text import markdown
from .help import ADDING, CLOSED, REFUSED

__all__ = ["show_adding"]


def show_adding() -> None:
    """The section, with the families that the engine knows."""
    from ivcore.models import FAMILIES

    st.subheader("Add a model", anchor=False)
    if not calls.others_allowed():
        st.caption(CLOSED)
        return
    st.markdown(ADDING)
    st.button("Choose another model", icon=":material/add:", on_click=_choose_other)
    with st.expander("What is refused, and why", icon=":material/block:"):
        known = [f"  - {one.name}, `{one.architecture}`. {markdown(one.differs)}" for one in FAMILIES.values()]
        st.markdown("\n".join([REFUSED.strip(), *known]))


def _choose_other() -> None:
    st.session_state["model"] = OTHER
