"""One's own runs beside a published list: which there are, what they say, and how far both agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from ..guard import say_error
from ..sweep.state import convention_name
from ..text import and_list, decimal, markdown
from ..verdicts import failures
from .files import plan_text, queries_of
from .form import PublishedInputs

if TYPE_CHECKING:
    from ivcore.published import Agreement, LayerSet, Table, TupleRow
    from ivcore.runs import SweepSummary

__all__ = ["OwnRanking", "offer_plan", "own_ranking", "own_top", "show_agreement"]


@dataclass(frozen=True)
class OwnRanking:
    """One's own run of a published model and task, by one metric."""

    name: str
    """What tells it from other runs: samples, convention, number format, date."""
    n_layers: int
    means: dict[LayerSet, float]
    """Mean effect of every set of the run, in the metric's unit."""


def own_ranking(entry: Table, inputs: PublishedInputs) -> OwnRanking | None:
    """The finished run of the chosen model and task, chosen by hand where there are several; None where there is none.

    A damaged run is reported in its place.
    """
    from ivcore.errors import ExplorerError

    try:
        found = _summaries(entry, inputs)
        if not found:
            return None
        names = [_name(summary) for summary in found]
        at = st.selectbox("Your run", range(len(found)), format_func=names.__getitem__) if len(found) > 1 else 0
        return _opened(found[at], entry.metric or "")
    except ExplorerError as err:
        say_error(err)
        return None


def own_top(rows: tuple[TupleRow, ...], own: OwnRanking) -> tuple[TupleRow, ...]:
    """One's own ten strongest sets of the sizes that the list ranks, in the form of the printed ones."""
    ranked = [(-mean, layers) for layers, mean in own.means.items() if rows[0].is_ranked(layers)]
    return tuple(
        replace(rows[0], place=place, layers=layers, value=-minus)
        for place, (minus, layers) in enumerate(sorted(ranked)[:10], start=1)
    )


def show_agreement(rows: tuple[TupleRow, ...], own: OwnRanking) -> None:
    """Overlap and rank correlation, each with what it is to be held against."""
    from ivcore.published import compare

    found: Agreement = compare(rows, list(own.means.items()))
    left, right = st.columns(2)
    left.metric(
        f"Top {found.k} in common",
        f"{found.overlap} of {found.k}",
        help=f"How many of the first {found.k} sets of both lists are the same. A random order of the {found.n_sets} "
        f"sets would share {found.expected:.1f} on average.",
    )
    left.caption(f"{found.expected:.1f} by chance, of {found.n_sets} sets")
    right.metric(
        "Rank correlation",
        "not defined" if found.spearman is None else decimal(found.spearman),
        help="Spearman, over the published sets only: do they come in the same order in your run?",
    )
    right.caption(markdown(found.reason or f"over the {found.n} published sets that your run has"))
    st.caption(markdown(f"Your run: {own.name}"))


def offer_plan(entry: Table, inputs: PublishedInputs) -> None:
    """What is missing beside the printed list, and how to get it."""
    from ivcore.published import file_name

    with st.container(border=True):
        st.markdown("**Your own run would stand here**")
        st.markdown(
            f"No finished run of OLMo-2 {entry.size} {inputs.stage} on this task is kept by this app yet. The plan "
            f"computes all models and tasks of Table {entry.number} with `python -m ivcore precompute`, best on a "
            "machine with a GPU. The comparison then appears here: your map, the overlap of the two top tens, and "
            "their rank correlation."
        )
        if text := plan_text(entry):
            st.download_button(
                f"Plan for Table {entry.number}",
                text,
                file_name(entry),
                "application/toml",
                on_click="ignore",
                icon=":material/playlist_play:",
                key="plan beside the table",
            )
        fewer = [f"{task} ({n})" for task, n in queries_of(entry.tasks).items() if n < 100]
        if fewer:
            st.caption(markdown(f"Fewer than the paper's 100 samples are bundled of {and_list(fewer)}."))


def _summaries(entry: Table, inputs: PublishedInputs) -> list[SweepSummary]:
    """The finished sweeps of the chosen model and task that are as deep as the table, newest first; none of a model
    that is known to fail its self-check.
    """
    from .. import runs

    if entry.size is None or entry.depth is None or inputs.task is None:
        return []
    found = runs.own_sweeps(entry.size, inputs.stage_key, inputs.task)
    return _trusted([summary for summary in found if summary.request.depth >= entry.depth])


def _trusted(found: Sequence[SweepSummary]) -> list[SweepSummary]:
    """Those of models that are not known to fail their self-check; says which are left out."""
    failed = {one.key: failures((one.ref,), "auto", one.dtype) for one in found}
    for name in dict.fromkeys(one.ref for one in found if failed[one.key]):
        st.error(
            f"Runs of {markdown(name)} are not shown, since it fails its self-check; the Models page has the report.",
            icon=":material/gpp_bad:",
        )
    return [one for one in found if not failed[one.key]]


def _opened(summary: SweepSummary, metric: str) -> OwnRanking:
    from .. import runs

    run = runs.opened(summary.key)
    means = run.effects(metric).mean(axis=1).tolist()
    return OwnRanking(_name(summary), int(run.model["n_layers"]), dict(zip(run.sets, means, strict=True)))


def _name(summary: SweepSummary) -> str:
    """``100 samples, up to 2 layers, as defined, float32, 2026-11-21``."""
    request = summary.request
    words = [f"{len(request.items)} samples", f"up to {request.depth} layers", convention_name(request.convention)]
    return ", ".join([*words, summary.dtype, summary.created[:10]])
