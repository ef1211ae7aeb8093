"""The result of the Behaviour page in words and charts: all shares, then one task on one stage."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from ..frame import run_facts
from ..state import OTHER
from ..text import and_list, count, duration, markdown
from .charts import SHARES_NOTE, confusion_chart, picked, share_words, shares_chart, whole
from .help import RULES_FILE
from .runs import Panel
from .state import BehaviourInputs

if TYPE_CHECKING:
    from ivcore.behaviour import Confusion
    from ivcore.runs import BehaviourRun

__all__ = ["caption", "confused_heading", "confusions_of", "shares_heading", "show_answers", "show_shares"]

GOOD = 0.9
_LINE = 44
"""Characters of a chart's headline that fit on a phone."""


def show_shares(inputs: BehaviourInputs, panels: Sequence[Panel]) -> None:
    """Bars for every task and stage; a click chooses what is looked at closely."""
    for damaged in dict.fromkeys(panel.damaged for panel in panels if panel.damaged):
        st.warning(f"{markdown(damaged)} It is not shown.", icon=":material/broken_image:")
    key = f"shares {inputs.task} {inputs.stage}"

    def take() -> None:
        if found := picked(st.session_state.get(key)):
            st.session_state["task"] = found[0]
            if inputs.family != OTHER:
                st.session_state["stage"] = found[1]

    st.markdown(f"##### {markdown(shares_heading(inputs, panels))}")
    st.caption(f"{SHARES_NOTE} Click a bar to look closely.")
    chart = shares_chart(panels, task=inputs.task, stage=inputs.stage)
    described = "How often each answer is right, and of the right kind, by task and stage"
    st.altair_chart(chart, key=key, on_select=take, alt=described, width="stretch")


def shares_heading(inputs: BehaviourInputs, panels: Sequence[Panel]) -> str:
    """On how many tasks each stage is right most of the time."""
    parts = []
    for stage, _ in inputs.stages:
        shares = [panel.run.adherence.ema.share or 0.0 for panel in panels if panel.stage == stage and panel.run]
        if shares:
            parts.append(f"{stage} in {sum(share >= GOOD for share in shares)} of {len(shares)}")
    if not parts:
        return "No answers yet"
    return f"Right at least {whole(GOOD)} of the time: {and_list(parts)} task{'s' if len(inputs.tasks) > 1 else ''}"


def show_answers(panel: Panel) -> None:
    """What was found for one task on one stage."""
    run = panel.run
    assert run is not None
    found, request, pair = run.adherence, run.request, _pair(panel)
    left, right = st.columns([6, 5], gap="large")
    with left:
        with st.container(horizontal=True):
            st.metric("Right (EMA)", whole(found.ema.share or 0.0), border=True)
            st.metric("Of the right kind (IA)", whole(found.ia.share or 0.0), border=True)
        st.markdown(
            f"Told “{markdown(request.instruction)}”, **{markdown(panel.stage)}** gives the right answer to "
            f"{count(found.ema.hits)} of {count(found.ema.n)} prompts: **{share_words(found.ema)}**. "
            f"{_of_kind(run)}"
        )
        st.caption(
            f"An answer of the right kind is {markdown(request.rule.in_words())}. In brackets: 95% intervals. "
            f"The rules stand in {markdown(RULES_FILE)} and can be changed there."
        )
    with right:
        rows = confusions_of(run, pair)
        if not any(row.share.n for row in rows):
            st.caption("No other task here asks something different of the same queries, so none can be confused.")
            return
        chart = confusion_chart(rows, _wrapped(confused_heading(rows)), pair=pair)
        st.altair_chart(chart, width="stretch", alt="How often the answer is what another task asks for")


def confusions_of(run: BehaviourRun, pair: str | None) -> tuple[Confusion, ...]:
    """The contrastive task first, then the most frequent."""
    return tuple(sorted(run.adherence.confusions, key=lambda row: (row.task != pair, -(row.share.share or 0.0))))


def confused_heading(rows: Sequence[Confusion]) -> str:
    """The most frequent confusion in words."""
    asked = [row for row in rows if row.share.n]
    most = max(asked, key=lambda row: row.share.share or 0.0)
    if not most.share.hits:
        return "Never does what another task asks for"
    return f"Does {most.task} instead in {whole(most.share.share or 0.0)} of the prompts on which the two differ"


def caption(run: BehaviourRun) -> None:
    """What the answers were given by, and when."""
    facts = [
        f"n = {count(run.n_samples)} prompts",
        "95% intervals: Wilson",
        f"greedy answers of up to {run.request.max_tokens} tokens",
        *run_facts(run.model),
        f"computed {run.created[:16].replace('T', ' ')} UTC in {duration(run.seconds)}",
        "bundled with the app" if run.bundled else f"run {run.key[:12]}",
    ]
    st.caption(markdown(" · ".join(facts)))


def _pair(panel: Panel) -> str | None:
    """The task that the paper sets against this one."""
    from ivcore.prompts.tasks import all_task_names, load_task

    return load_task(panel.task).pair if panel.task in all_task_names() else None


def _of_kind(run: BehaviourRun) -> str:
    found = run.adherence
    if found.ia.hits == found.ema.hits:
        if found.ema.hits == found.ema.n:
            return "So every answer is of the right kind as well."
        return "No wrong answer is of the right kind."
    said = f"{count(found.ia.hits)} are of the right kind, right or wrong: **{share_words(found.ia)}**."
    return f"Of all answers, {said}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _LINE) or [text]
