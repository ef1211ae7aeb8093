"""Every prompt with its answer: a table that can be filtered by verdict and searched.

It is a fragment: filtering redraws nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from ..guard import guarded
from ..text import count, markdown, visible
from .help import VERDICTS_HELP

if TYPE_CHECKING:
    from ivcore.runs import BehaviourRun, Judged

__all__ = ["AnswerRow", "answer_rows", "filtered", "show_table", "verdict_names"]

ALL, RIGHT, RIGHT_KIND, WRONG_KIND = "all", "right", "right kind", "wrong kind"
ANSWERS = "answers "


@dataclass(frozen=True)
class AnswerRow:
    """One prompt and its answer."""

    query: str
    expected: str
    answer: str
    """As the model wrote it, with white space and controls drawn."""
    normalised: str
    verdicts: tuple[str, ...]
    """Right, right kind or wrong kind; then ``answers <task>`` for each other task that it answers."""


def answer_rows(run: BehaviourRun) -> tuple[AnswerRow, ...]:
    """Every prompt, in the run's order."""
    rows = zip(run.request.items, run.answers, run.adherence.verdicts, strict=True)
    return tuple(
        AnswerRow(
            query,
            expected,
            visible(answer),
            verdict.answer,
            (
                RIGHT if verdict.exact else RIGHT_KIND if verdict.valid else WRONG_KIND,
                *(f"{ANSWERS}{task}" for task in verdict.answers),
            ),
        )
        for (query, expected), answer, verdict in rows
    )


def verdict_names(run: BehaviourRun) -> tuple[str, ...]:
    """What the table can be filtered by."""
    named = (f"{ANSWERS}{row.task}" for row in run.adherence.confusions if row.share.hits)
    return (ALL, RIGHT, RIGHT_KIND, WRONG_KIND, *named)


def filtered(rows: Sequence[AnswerRow], verdict: str, text: str) -> tuple[int, ...]:
    """Places of the rows with this verdict that hold ``text`` in any column, whatever its case."""
    wanted = text.strip().casefold()

    def holds(row: AnswerRow) -> bool:
        return not wanted or any(wanted in cell.casefold() for cell in (row.query, row.expected, row.answer))

    return tuple(i for i, row in enumerate(rows) if (verdict == ALL or verdict in row.verdicts) and holds(row))


@st.fragment
def show_table(run: BehaviourRun, judged: Judged | None = None) -> None:
    """The table with its filters; with the verdicts of another language model where it was asked."""
    with guarded():
        rows, names = answer_rows(run), verdict_names(run)
        counts = {name: len(filtered(rows, name, "")) for name in names}
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            chosen = st.pills(
                "Show",
                names,
                default=ALL,
                required=True,
                format_func=lambda name: f"{markdown(name)} · {count(counts[name])}",
                key=f"verdict of {run.key}",
                wrap=True,
                help=VERDICTS_HELP,
            )
            text = st.text_input("Search", key="search answers", placeholder="any word or sign", width=220)
        places = filtered(rows, chosen if chosen in names else ALL, text)
        if len(places) < len(rows):
            st.caption(f"{count(len(places))} of {count(len(rows))} prompts.")
        st.dataframe(
            _table(rows, places, judged),
            hide_index=True,
            height=min(420, 38 + 35 * max(1, len(places))),
            column_config=_columns(),
            key=f"answers of {run.key[:12]}",
        )


def _table(rows: Sequence[AnswerRow], places: Sequence[int], judged: Judged | None) -> pd.DataFrame:
    shown = [rows[i] for i in places]
    columns: dict[str, list[str]] = {
        "query": [row.query for row in shown],
        "expected": [row.expected for row in shown],
        "answer": [row.answer for row in shown],
        "normalised": [row.normalised for row in shown],
        "verdict": [" · ".join(row.verdicts) for row in shown],
    }
    if judged is not None:
        said = {True: "right kind", False: "wrong kind", None: "no verdict"}
        columns["judged"] = [said[judged.judgements[i].valid] for i in places]
    return pd.DataFrame(columns, dtype=str)


def _columns() -> dict[str, Any]:
    text = st.column_config.TextColumn
    return {
        "query": text("query", width="medium"),
        "expected": text("right answer", width="small"),
        "answer": text("the model’s answer", help="As written: ␣ is a space, ↵ a line break, ∅ nothing at all."),
        "normalised": text("normalised", width="small", help="What is compared with the right answer."),
        "verdict": text("verdict", width=230, help="By the rule of the task."),
        "judged": text("the judge says", help="What the other language model said."),
    }
