"""The sides that were not computed: cost in words, commands and a button; and models, loaded and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls
from ..behaviour.progress import said, watch
from ..guard import say_error
from ..model_form import agreed_to_download, check_badge
from ..paths import runs as paths_runs
from ..paths.state import PathsInputs, plan_command
from ..text import and_list, count, markdown
from ..under_way import under_way
from . import runs as heads_runs
from .runs import Side
from .state import HeadsInputs

if TYPE_CHECKING:
    from ivcore.models import LoadedModel

__all__ = ["Models", "show_missing"]

_KEPT = "Prompts that were finished are kept: it goes on from there."


class Models:
    """The models of one page run; the verdict of each one's self-check is shown once."""

    def __init__(self, place: DeltaGenerator, inputs: HeadsInputs) -> None:
        self._place, self._inputs = place, inputs
        self._shown: set[str] = set()

    def load(self, ref: str) -> LoadedModel:
        """The model, checked."""
        with st.spinner("Loading and checking the model", show_time=True):
            loaded = calls.model(ref, self._inputs.device, self._inputs.dtype)
            report = calls.verdict(loaded, loaded.fingerprint, loaded.device, loaded.dtype)
        if ref not in self._shown:
            self._shown.add(ref)
            check_badge(self._place, report)
        return loaded


def show_missing(models: Models, inputs: HeadsInputs, sides: Sequence[Side]) -> None:
    """Nothing where both sides were computed; else the way to get them."""
    for told in dict.fromkeys(told for side in sides for told in side.trouble):
        st.warning(markdown(told), icon=":material/broken_image:")
    missing = [side for side in sides if side.run is None]
    if not missing or _watched(inputs, missing):
        return
    with st.container(border=True):
        names = and_list([side.name for side in missing])
        st.markdown(f"**{count(len(missing))} of {count(len(sides))} not computed**: {markdown(names)}.")
        _offer(models, inputs, missing)
        with st.expander("Or on the command line", icon=":material/terminal:"):
            st.code("\n".join(_plan(inputs, side) for side in missing), language=None, wrap_lines=True)


def _watched(inputs: HeadsInputs, missing: Sequence[Side]) -> bool:
    """Show the progress of jobs that run, or how the last ones ended; whether any runs."""
    jobs = [job for side in missing if (job := heads_runs.job(side, inputs.dtype)) is not None]
    if running := under_way(jobs):
        watch(running, "Following the paths of", "prompts")
        return True
    said(jobs, _KEPT)
    return False


def _offer(models: Models, inputs: HeadsInputs, missing: Sequence[Side]) -> None:
    """What one press would start, and the button; of models that load slowly one at a time."""
    ref = missing[0].wanted.ref
    wanted: Sequence[Side] = missing
    if not all(calls.is_light(side.wanted.ref) for side in missing):
        wanted = [side for side in missing if side.wanted.ref == ref]
        if calls.is_to_download(ref) and not agreed_to_download(ref):
            return
    if (cost := _cost_words(models, wanted)) is None:
        return
    place = st.container(horizontal=True, vertical_alignment="center")
    pressed = place.button("Compute what is missing", type="primary", icon=":material/play_arrow:")
    place.caption(cost)
    if pressed:
        for side in wanted:
            heads_runs.start(models.load(side.wanted.ref), side)
        st.rerun()


def _cost_words(models: Models, wanted: Sequence[Side]) -> str | None:
    """What one press would follow; None, with the reason shown, where it cannot be computed.

    Paths are counted on the first prompt, for which the model must be loaded; so only where that takes a moment.
    """
    from ivcore.errors import InputError

    n = sum(len(side.request.items) for side in wanted)
    text = f"{count(n)} prompts, paths from the token before T_inst and from all after it."
    if all(calls.is_light(side.wanted.ref) for side in wanted):
        try:
            found = [paths_runs.expected(models.load(side.wanted.ref), side.request) for side in wanted]
        except InputError as err:
            say_error(err)
            return None
        paths = sum(one.forecast.total * len(side.request.items) for one, side in zip(found, wanted, strict=True))
        text += f" About {count(paths)} paths, going by the first prompt."
    return f"{text} It runs in the background, can be stopped and resumed, and is kept once it is done."


def _plan(inputs: HeadsInputs, side: Side) -> str:
    """The lines for a shell that compute one side ahead of time."""
    wanted = side.wanted
    return plan_command(
        PathsInputs(
            inputs.family,
            ((wanted.stage, wanted.ref),),
            wanted.stage,
            wanted.ref,
            task=wanted.task,
            samples=len(side.request.items),
            top_k=wanted.top_k,
            sources=side.request.sources,
            surrogate=inputs.surrogate,
            device=inputs.device,
            dtype=inputs.dtype,
        )
    )
