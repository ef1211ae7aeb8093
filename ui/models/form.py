"""The form of the Models page: which model, on which device, in which number format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from ..model_form import model_chooser, number_settings
from ..state import DEVICES, DTYPES
from .state import ModelsInputs

__all__ = ["ModelsForm", "models_form"]


@dataclass(frozen=True)
class ModelsForm:
    """What the form asks for, and what its choosers offer by URL parameter."""

    inputs: ModelsInputs
    options: dict[str, Sequence[object]]


def models_form() -> ModelsForm:
    """Draw the form and read it."""
    with (
        st.container(border=True),
        st.container(horizontal=True, vertical_alignment="bottom", gap="medium"),
    ):
        chosen = model_chooser()
        with st.container(width=330):
            device, dtype = number_settings()
    options: dict[str, Sequence[object]] = {**chosen.options, "device": DEVICES, "dtype": DTYPES}
    return ModelsForm(ModelsInputs(chosen.family, chosen.stage, chosen.ref, device, dtype), options)
