"""The maps of both sides and their difference, the head that is looked at, and the caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import altair as alt
import numpy as np
import streamlit as st

from ..frame import run_facts
from ..text import and_list, count, duration, markdown
from . import runs as heads_runs
from .maps import active, compared, difference_map, head_map, head_name, head_names, picked_head, scale_end
from .runs import Side
from .state import (
    ACTIVITY,
    KS,
    MOST_THRESHOLD,
    POSITIONS,
    STAGES,
    TASKS,
    VALUES,
    HeadsInputs,
    k_words,
    position_words,
)

__all__ = ["caption", "default_head", "maps_heading", "settings", "shared_words", "show_maps"]

HEAD = "head"
_DEFAULT_THRESHOLD = 0.1


def settings(inputs: HeadsInputs, there: Sequence[Side]) -> tuple[HeadsInputs, dict[str, Sequence[object]]]:
    """The inputs with what the maps show, above which activity a head is active, and the head that is looked at; and
    what was offered, by URL parameter.
    """
    names = head_names(heads_runs.activity(there[0]))
    if st.session_state.get(HEAD, names[0]) not in names:
        del st.session_state[HEAD]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        value = st.segmented_control(
            "Show",
            VALUES,
            default=ACTIVITY,
            required=True,
            key="value",
            bind="query-params",
            help="activity: on what share of the high-ranking paths the head lies. more than chance: less the share "
            "among all paths. p (adjusted): of a test that it is more, after Holm over all heads.",
        )
        threshold = st.number_input(
            "Active above",
            0.0,
            MOST_THRESHOLD,
            _DEFAULT_THRESHOLD,
            0.05,
            key="threshold",
            bind="query-params",
            width=130,
            help="A head is active if its activity is above this; the paper takes 0.1.",
        )
        head = st.selectbox(
            "Head (layer.head)",
            names,
            index=names.index(default_head(there)),
            key=HEAD,
            bind="query-params",
            width=150,
            help="The head that is looked at below. A click on a map chooses one too.",
        )
    inputs = replace(inputs, value=value or ACTIVITY, threshold=float(threshold), head=str(head))
    return inputs, {"value": VALUES, HEAD: names}


def default_head(there: Sequence[Side]) -> str:
    """The head in which two sides differ most; of one side alone that which exceeds chance most."""
    found = [heads_runs.activity(side) for side in there]
    largest = np.abs(found[1].mean - found[0].mean) if len(found) > 1 else found[0].excess
    layer, head = np.unravel_index(int(np.argmax(largest)), largest.shape)
    return head_name(int(layer), int(head))


def show_maps(inputs: HeadsInputs, there: Sequence[Side]) -> None:
    """Both sides on one color scale, and their difference."""
    found = [heads_runs.activity(side) for side in there]
    st.markdown(f"##### {markdown(maps_heading(there, inputs.threshold))}")
    st.caption(markdown(f"{shared_words(inputs)}. Click a cell to look at that head below."))
    end = scale_end(found, inputs.value)
    places = st.columns(3, gap="medium")
    for place, side, one in zip(places, there, found, strict=False):
        drawn = head_map(side.name, one, value=inputs.value, end=end, threshold=inputs.threshold, chosen=inputs.head)
        with place:
            _clickable(drawn, side.name, inputs.head)
    if len(found) == 2:
        names = there[0].name, there[1].name
        with places[2]:
            drawn = difference_map(names, *found, value=inputs.value, chosen=inputs.head)
            _clickable(drawn, "difference", inputs.head)
            if compared(inputs.value) != inputs.value:
                st.caption("Widths and p-values less one another say nothing, so activities are compared.")


def maps_heading(there: Sequence[Side], threshold: float) -> str:
    """How many heads are active in each, and in both."""
    masks = [active(heads_runs.activity(side), threshold) for side in there]
    parts = [f"{side.name} {count(int(mask.sum()))}" for side, mask in zip(there, masks, strict=True)]
    both = f"; {count(int((masks[0] & masks[1]).sum()))} in both" if len(masks) == 2 else ""
    return f"Active heads of {count(masks[0].size)}: {and_list(parts)}{both}"


def shared_words(inputs: HeadsInputs) -> str:
    """What both sides have in common, such as ``SFT, k = 1, from T_inst``."""
    words: Mapping[str, str] = {
        TASKS: inputs.task,
        STAGES: inputs.stage,
        KS: k_words(inputs.top_k),
        POSITIONS: f"from {position_words(inputs.offset)}",
    }
    return ", ".join(word for name, word in words.items() if word and name != inputs.by)


def caption(sides: Sequence[Side]) -> None:
    """What the numbers were computed from, and when."""
    there = [side for side in sides if side.run is not None]
    for side in there:
        run, use = side.run, side.use
        assert run is not None
        n = f"{side.name}: n = {count(0 if use is None else len(use.shares))} prompts"
        if use is not None and use.n_left_out:
            n += f" ({count(use.n_left_out)} left out: no high-ranking path)"
        facts = [
            n,
            f"{run.request.task}, {k_words(run.request.top_k)}, from {position_words(side.wanted.offset)}",
            f"rank at most {count(run.request.max_rank)}",
            "as defined" if run.request.surrogate == "exact" else "as released",
            "95% intervals: bootstrap over prompts, 10,000 resamples",
            *run_facts(run.model),
            f"computed {run.created[:16].replace('T', ' ')} UTC in {duration(run.seconds)}",
            "bundled with the app" if run.bundled else f"run {run.key[:12]}",
        ]
        st.caption(markdown(" · ".join(facts)))


def _clickable(chart: alt.LayerChart, name: str, chosen: str) -> None:
    """A map whose clicks choose a head; its key changes with the head, so that the same cell can be clicked again."""
    key = f"heads map {name} {chosen}"

    def take() -> None:
        if found := picked_head(st.session_state.get(key)):
            st.session_state[HEAD] = found

    st.altair_chart(chart, key=key, on_select=take, alt=f"Heads of {name}, layer by layer", width="stretch")
