"""The paper's tables on heads beside the reader's own numbers, where both are of the same thing; else the way there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from ..published.rows import whole_plain
from ..text import decimal, markdown
from . import runs as heads_runs
from .likeness import group_name
from .runs import Side
from .state import KS, TASKS, HeadsInputs

__all__ = ["Beside", "beside", "matching_tables", "show_published"]

PUBLISHED_PAGE = "pages/published.py"
GROUP = "OLMo-2 1B"
"""The only model of the tables on heads."""
_TASKS = {"adj_comp", "adj_ant"}
_OF_K = {(1, 2): (2, 3), (1, 3): (20,), (2, 3): (21,)}
_OF_TASKS = {1: 22, 2: 23, 3: 24}
_THRESHOLD = 0.1


@dataclass(frozen=True)
class Beside:
    """One printed number and one's own."""

    where: str
    """A layer or a group of layers."""
    published: float | None
    own: str
    """With its interval, or why there is none."""


def show_published(inputs: HeadsInputs, sides: Sequence[Side], groups: Sequence[tuple[int, int]]) -> None:
    """The tables that print this very comparison beside one's own numbers; else the link to all of them."""
    numbers = matching_tables(inputs)
    if not numbers:
        number = 3 if inputs.by == KS else 22
        st.page_link(
            PUBLISHED_PAGE,
            label="The paper’s tables on heads (2, 3, 20 to 24; OLMo-2 1B)",
            icon=":material/arrow_forward:",
            query_params={"table": str(number)},
        )
        return
    st.subheader("Published beside yours", anchor=False)
    if inputs.threshold != _THRESHOLD:
        st.caption(f"The paper takes {_THRESHOLD} as the threshold of an active head; yours is {inputs.threshold:g}.")
    for place, number in zip(st.columns(2, gap="large"), numbers, strict=False):
        with place:
            _show_table(inputs, sides, groups, number)


def matching_tables(inputs: HeadsInputs) -> tuple[int, ...]:
    """The published tables that hold this comparison; none for another model or another pair of tasks."""
    if inputs.family != GROUP or inputs.task not in _TASKS:
        return ()
    if inputs.by == KS and inputs.offset == 0:
        first, second = sorted((inputs.top_k, inputs.other_k))
        return _OF_K.get((first, second), ())
    if inputs.by == TASKS and inputs.other_task in _TASKS and inputs.top_k in _OF_TASKS:
        return (_OF_TASKS[inputs.top_k],)
    return ()


def beside(inputs: HeadsInputs, number: int, own: Sequence[tuple[str, str]]) -> tuple[Beside, ...]:
    """The rows of a table that are about this comparison.

    Args:
        inputs: of the page.
        number: of the table.
        own: (layer or group of layers, one's own number in words).
    """
    mine = dict(own)
    found = []
    for row in whole_plain(number):
        if row["stage"] != inputs.stage.lower():
            continue
        if number in _OF_TASKS.values():
            if row["offset_from_t_inst"] != inputs.offset:
                continue
        elif row["task"] != inputs.task:
            continue
        where = str(row["layer"] if "layer" in row else row["layers"])
        value = row["r"] if "r" in row else row["jaccard"]
        found.append(Beside(where, value, mine.get(where, "not computed")))
    return tuple(found)


def _show_table(inputs: HeadsInputs, sides: Sequence[Side], groups: Sequence[tuple[int, int]], number: int) -> None:
    rows = beside(inputs, number, _own(inputs, sides, groups, number))
    st.markdown(f"**Table {number}**")
    if not rows:
        st.caption(f"Table {number} has nothing of {markdown(inputs.stage)}.")
    else:
        shown = {
            "layers": [row.where for row in rows],
            "published": ["not printed" if row.published is None else decimal(row.published, 2) for row in rows],
            "yours": [row.own for row in rows],
        }
        st.dataframe(pd.DataFrame(shown), hide_index=True)
    named = {"table": str(number), "task": inputs.task, "stage": inputs.stage, "offset": str(inputs.offset)}
    st.page_link(PUBLISHED_PAGE, label="The whole table", icon=":material/arrow_forward:", query_params=named)


def _own(
    inputs: HeadsInputs, sides: Sequence[Side], groups: Sequence[tuple[int, int]], number: int
) -> list[tuple[str, str]]:
    """One's own numbers by layer (Table 2) or by group of layers."""
    if len(sides) < 2:
        return []
    if number == 2:
        ranks = heads_runs.agreements(*sides)
        return [
            (str(layer), f"not defined: {row.reason}" if row.rho is None else decimal(row.rho, 2))
            for layer, row in enumerate(ranks)
        ]
    words = []
    for row in heads_runs.similarities(sides[0], sides[1], groups, inputs.threshold):
        interval = "" if row.low is None or row.high is None else f" ({row.low:.2f} to {row.high:.2f})"
        said = f"not defined: {row.undefined}" if row.value is None else f"{row.value:.2f}{interval}"
        words.append((group_name(row.layers), said))
    return words
