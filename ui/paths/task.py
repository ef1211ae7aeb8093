"""A whole task: which token sends out the paths, stage beside stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls
from ..behaviour.progress import watch
from ..follows import follows_badge
from ..frame import run_facts
from ..link import report_once
from ..state import link_complaints
from ..text import and_list, count, decimal, duration, markdown, percent, visible
from ..under_way import under_way
from . import runs as paths_runs
from .charts import COUNTS, SHARES, emitters_chart
from .emitters import Emitter, emitters
from .files import task_downloads
from .filters import chosen_filters
from .help import PLAN_NOTE
from .run import Badge, compute, show_badge, tell_damaged
from .shown import Shown
from .state import EMIT, ONE, PathsInputs, plan_command

if TYPE_CHECKING:
    from ivcore.prompts.tasks import Task
    from ivcore.runs import PathsRequest, PathsRun

__all__ = ["show_task"]

Link = Mapping[str, Sequence[str]]
ALL = "all samples"


@dataclass(frozen=True)
class Panel:
    """One stage of the model."""

    stage: str
    ref: str
    run: PathsRun | None
    """None where it was not computed, or is damaged."""


def show_task(
    badge: Badge, inputs: PathsInputs, task: Task, notices: DeltaGenerator, link: Link, *, own: bool
) -> Shown:
    """Everything about one task. ``own``: it comes from the user's own file."""
    from ivcore.runs import sources_cover

    follows_badge(notices, inputs.family, inputs.stage, inputs.ref, task.instruction)
    request = _request(inputs, task)
    panels = tuple(_panel(stage, ref, inputs, request) for stage, ref in inputs.stages)
    _missing(badge, inputs, panels, request)
    there = [(panel, panel.run) for panel in panels if panel.run is not None]
    commands = [] if own else [plan_command(inputs)]
    if not there:
        st.info("Nothing is computed yet for this task and these settings.", icon=":material/hourglass_empty:")
        return Shown(inputs, (), commands, PLAN_NOTE, not own)
    looked_at, run = next((pair for pair in there if pair[0].stage == inputs.stage), there[0])
    if not sources_cover(run.request.sources, request.sources):
        names = {engine: name for name, engine in EMIT.items()}
        st.caption(f"Computed so far: paths that begin at {names[run.request.sources]}.")
    sample = _sample_chooser(run)
    found = [(panel.stage, one, _places(one, sample, request.sources)) for panel, one in there]
    _words(found)
    vocabulary = paths_runs.vocabulary_size(looked_at.ref)
    chance = None if vocabulary is None else min(1.0, inputs.max_rank / vocabulary)
    for what, told in ((COUNTS, "Number of high-ranking paths"), (SHARES, "Share of high-ranking paths")):
        chart = emitters_chart(
            [(stage, places) for stage, _, places in found], what, max_rank=inputs.max_rank, chance=chance
        )
        st.altair_chart(chart, width="stretch", alt=f"{told} by source token and stage")
    _table(found)
    if sample is not None and not own:
        _open_button(inputs, run, sample)
    with notices:
        report_once(link_complaints(link, {"sample": (ALL, *_names(run))}), "sample")
    _caption(looked_at, run, sample)
    show_badge(badge, replace(inputs, ref=looked_at.ref))
    inputs = replace(inputs, filters=chosen_filters("sample"))
    return Shown(inputs, task_downloads(found, inputs.max_rank, chance), commands, PLAN_NOTE, not own)


def _request(inputs: PathsInputs, task: Task) -> PathsRequest:
    from ivcore.runs import task_paths_request

    return task_paths_request(
        task,
        inputs.samples,
        inputs.top_k,
        sources=inputs.sources,
        max_rank=inputs.max_rank,
        surrogate=inputs.surrogate,
    )


def _panel(stage: str, ref: str, inputs: PathsInputs, request: PathsRequest) -> Panel:
    run, damaged = paths_runs.stored_task(ref, inputs.dtype, request)
    tell_damaged(damaged)
    return Panel(stage, ref, run)


def _places(run: PathsRun, sample: int | None, sources: str) -> tuple[Emitter, ...]:
    """The places that were asked for, of those that the run has."""
    kept = {"t_inst": (0, 0), "from_t_inst": (0, math.inf), "from_before": (-1, math.inf)}.get(
        sources, (-math.inf, math.inf)
    )
    return tuple(one for one in emitters(run, sample) if kept[0] <= one.offset <= kept[1])


def _missing(badge: Badge, inputs: PathsInputs, panels: Sequence[Panel], request: PathsRequest) -> None:
    """What is not computed, with its cost and a button for each stage; or the progress of what is under way."""
    from ivcore.runs import sources_cover

    jobs = [paths_runs.job(panel.ref, inputs.dtype, request) for panel in panels]
    if going := under_way(jobs):
        watch(going, "Following the paths of", "samples")
        return
    wanted = request.sources
    lacking = [p for p in panels if p.run is None or not sources_cover(p.run.request.sources, wanted)]
    if not lacking:
        return
    with st.expander(
        f"{count(len(lacking))} of {count(len(panels))} stages not computed with these settings: "
        f"{markdown(and_list([panel.stage for panel in lacking]))}",
        expanded=not any(panel.run for panel in panels),
        icon=":material/hourglass_empty:",
    ):
        stages = [panel.stage for panel in lacking]
        stage = stages[0]
        if len(stages) > 1:
            chosen = st.segmented_control("Stage to compute", stages, default=stage, required=True, key="paths stage")
            stage = chosen if chosen in stages else stage
        panel = next(panel for panel in lacking if panel.stage == stage)
        _compute(badge, replace(inputs, ref=panel.ref), request)


def _compute(badge: Badge, inputs: PathsInputs, request: PathsRequest) -> None:
    """The offer to compute one stage; a model that is not light is loaded only when asked for."""
    if not calls.is_to_download(inputs.ref) and not calls.is_light(inputs.ref):
        asked = f"paths: load {inputs.ref}"
        if not st.session_state.get(asked):
            if st.button("Load the model and count its paths", icon=":material/memory:"):
                st.session_state[asked] = True
                st.rerun()
            return
    compute(badge, inputs, request, "task")


def _names(run: PathsRun) -> tuple[str, ...]:
    """The samples as the chooser names them."""
    return tuple(f"{i + 1}: {query}" for i, (query, _) in enumerate(run.request.items))


def _sample_chooser(run: PathsRun) -> int | None:
    """One of the samples, or None for all of them."""
    names = _names(run)
    options = (ALL, *names)
    if st.session_state.get("sample", ALL) not in options:
        del st.session_state["sample"]
    chosen = st.selectbox("Count the paths of", options, key="sample", bind="query-params", width=360)
    return names.index(chosen) if chosen in names else None


def _words(found: Sequence[tuple[str, PathsRun, Sequence[Emitter]]]) -> None:
    """For each stage the token that sends out most, and how T_inst compares."""
    lines = []
    for stage, _, places in found:
        ordered = sorted(places, key=lambda one: -one.high.mean)
        inst = next((one for one in places if one.offset == 0), None)
        line = f"- **{markdown(stage)}**: {_place(ordered[0])} sends out most, {_amount(ordered[0])}"
        if inst is not None and inst is not ordered[0]:
            line += f"; T_inst {_amount(inst)}, place {ordered.index(inst) + 1} of {len(ordered)}"
        lines.append(f"{line}.")
    st.markdown("High-ranking paths by the token where they begin:\n" + "\n".join(lines))


def _place(one: Emitter) -> str:
    token = f" “{markdown(visible(one.token))}”" if one.token else ""
    return f"T_inst{token}" if one.offset == 0 else f"token {markdown(one.label.split(' ', 1)[0])}{token}"


def _amount(one: Emitter) -> str:
    high = one.high
    interval = "" if high.low is None or high.high is None else f" ({decimal(high.low, 1)} to {decimal(high.high, 1)})"
    share = "" if one.share.value is None else f", {percent(one.share.value)} of its paths"
    return f"**{decimal(high.mean, 1)}** a sample{interval}{share}, n = {count(high.n)}"


def _table(found: Sequence[tuple[str, PathsRun, Sequence[Emitter]]]) -> None:
    number = st.column_config.NumberColumn
    rows = [
        {
            "stage": stage,
            "source": one.label,
            "n": one.high.n,
            "high": one.high.mean,
            "high low": one.high.low,
            "high high": one.high.high,
            "paths": one.paths,
            "share": _points(one.share.value),
            "share low": _points(one.share.low),
            "share high": _points(one.share.high),
        }
        for stage, _, places in found
        for one in places
    ]
    with st.expander("The same as a table", icon=":material/table:"):
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            height=360,
            column_config={
                "n": number("samples", format="%d"),
                "high": number("high-ranking", format="%.1f", help="Mean of a sample."),
                "high low": number("95% from", format="%.1f"),
                "high high": number("to", format="%.1f"),
                "paths": number("all paths", format="%.1f"),
                "share": number("share", format="%.2f%%"),
                "share low": number("95% from", format="%.2f%%"),
                "share high": number("to", format="%.2f%%"),
            },
        )


def _points(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _open_button(inputs: PathsInputs, run: PathsRun, sample: int) -> None:
    """The way from a sample to its graph."""
    query, answer = run.request.items[sample]

    def take() -> None:
        st.session_state["look"] = ONE
        st.session_state["instruction"] = run.request.instruction
        st.session_state["query"], st.session_state["answer"] = query, answer

    st.button("See the paths of this sample", icon=":material/account_tree:", on_click=take, key="open sample")


def _caption(panel: Panel, run: PathsRun, sample: int | None) -> None:
    request = run.request
    facts = [
        f"n = {count(run.n_samples)} samples" if sample is None else "one sample (n = 1), so no interval",
        "95% intervals: bootstrap over samples, 10,000 resamples, seed 0",
        *run_facts(run.model),
        f"k = {request.top_k}",
        f"{'as defined' if request.surrogate == 'exact' else 'as released'}",
        f"computed {run.created[:16].replace('T', ' ')} UTC in {duration(run.seconds)}",
        "bundled with the app" if run.bundled else f"run {run.key[:12]}",
    ]
    st.caption(markdown(" · ".join(facts)))
