"""Whether the compared models follow the compared instructions at all."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ..follows import follows_badge
from ..text import markdown
from .state import STAGES, TASKS, HeadsInputs, Wanted

__all__ = ["show_follows"]


def show_follows(place: DeltaGenerator, inputs: HeadsInputs, wanted: Sequence[Wanted]) -> None:
    """One badge for each model and task, named where there are two."""
    from ivcore.prompts.tasks import load_task

    with place:
        for side in {(side.ref, side.task): side for side in wanted}.values():
            row = st.container(horizontal=True, vertical_alignment="center", gap="small")
            if inputs.by in (TASKS, STAGES):
                row.markdown(f"**{markdown(side.name)}**", width="content")
            badge = row.container(width="content")
            follows_badge(badge, inputs.family, side.stage, side.ref, load_task(side.task).instruction)
