"""One head looked at closely, on both sides: its numbers, the kept paths that use it, and where it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st

from ..link import report_once
from ..paths.details import route_words
from ..paths.kept import Paths
from ..paths.runs import Traced
from ..state import link_complaints
from ..text import count, decimal, markdown, p_value, percent, signed, visible
from . import runs as heads_runs
from .attention import attention_chart, attention_of
from .maps import interval_words
from .missing import Models
from .runs import Side
from .state import HeadsInputs

__all__ = ["HeadPath", "facts_words", "head_paths", "paths_table", "show_head"]

MOST_LISTED = 20


@dataclass(frozen=True)
class HeadPath:
    """A kept path that uses the head."""

    sample: int
    """Of the run, from 0."""
    words: str
    """Where the path changes its token, and by which heads."""
    rank: int
    """The answer's."""
    logit: float
    """The answer's."""


def show_head(
    models: Models, inputs: HeadsInputs, there: Sequence[Side], link: Mapping[str, Sequence[str]]
) -> HeadsInputs:
    """The head on each side; the inputs with the prompt that is looked at."""
    layer, head = (int(part) for part in inputs.head.split("."))
    st.subheader(f"Head {layer}.{head}", anchor=False)
    for place, side in zip(st.columns(len(there), gap="large"), there, strict=True):
        with place:
            st.markdown(f"**{markdown(side.name)}**: {markdown(facts_words(side, layer, head))}")
            _show_paths(side, layer, head)
    n_listed = max(_n_listed(side) for side in there)
    if not n_listed:
        return inputs
    inputs = replace(inputs, sample=_sample_chooser(n_listed))
    report_once(link_complaints(link, {"sample": range(1, n_listed + 1)}), "sample")
    for place, side in zip(st.columns(len(there), gap="large"), there, strict=True):
        with place:
            _show_attention(models, side, layer, head, inputs.sample - 1)
    return inputs


def facts_words(side: Side, layer: int, head: int) -> str:
    """The head's activity with interval, chance and test."""
    found, at = heads_runs.activity(side), (layer, head)
    interval = interval_words(float(found.low[at]), float(found.high[at]))
    p = float(found.p_adjusted[at]) if np.isfinite(found.p_adjusted[at]) else None
    return (
        f"on {percent(float(found.mean[at]))} of the high-ranking paths (activity {decimal(float(found.mean[at]), 3)}, "
        f"95% {interval}); by chance {decimal(float(found.chance[at]), 3)}, so {signed(float(found.excess[at]), 3)} "
        f"beyond it; p {p_value(p)} after Holm over {count(found.mean.size)} heads; n = {count(found.n)}. Its "
        f"activity is at most 0.1 in {percent(float(found.not_active[at]))} of the bootstrap’s resamples."
    )


def head_paths(side: Side, layer: int, head: int) -> tuple[HeadPath, ...]:
    """The kept paths from the side's source that use the head, best rank first; of equals the larger logit."""
    run = side.run
    assert run is not None
    found: list[tuple[int, float, int, Traced, Paths, int]] = []
    for sample in range(_n_listed(side)):
        wanted = run.samples[sample].t_inst + side.wanted.offset
        rows = tuple(row for row in run.rows_of(sample).tolist() if int(run.position[row]) == wanted)
        traced = Traced(run, sample, rows)
        kept = traced.paths()
        mine = kept.take(kept.through_head(layer, head))
        found += [(int(mine.ranks[i]), float(mine.logits[i]), sample, traced, mine, i) for i in range(len(mine))]
    found.sort(key=lambda one: (one[0], -abs(one[1])))
    return tuple(
        HeadPath(sample, route_words(traced, mine.route(i), mine) if place < MOST_LISTED else "", rank, logit)
        for place, (rank, logit, sample, traced, mine, i) in enumerate(found)
    )


def paths_table(paths: Sequence[HeadPath]) -> pd.DataFrame:
    """The first paths as a table."""
    first = paths[:MOST_LISTED]
    return pd.DataFrame(
        {
            "prompt": [path.sample + 1 for path in first],
            "rank": [path.rank for path in first],
            "logit": [path.logit for path in first],
            "path": [path.words for path in first],
        }
    )


def _show_paths(side: Side, layer: int, head: int) -> None:
    run = side.run
    assert run is not None
    if not _n_listed(side):
        st.caption("This run kept no paths, so those that use the head cannot be listed.")
        return
    paths = head_paths(side, layer, head)
    kept = "all high-ranking paths" if run.request.max_listed is None else f"{count(run.request.max_listed)} paths"
    source = f"the first {count(_n_listed(side))} prompts, of each source {kept}, were kept"
    if not paths:
        st.caption(f"No kept path uses this head ({source}).")
        return
    shown = f"the {count(MOST_LISTED)} of best rank" if len(paths) > MOST_LISTED else "best rank first"
    st.caption(f"{count(len(paths))} kept path{'' if len(paths) == 1 else 's'} use it ({source}); {shown}.")
    st.dataframe(
        paths_table(paths),
        hide_index=True,
        height=min(38 + 35 * min(len(paths), MOST_LISTED), 320),
        column_config={
            "prompt": st.column_config.NumberColumn(width="small"),
            "path": st.column_config.TextColumn("path (token, layer and heads → token)", width="large"),
            "rank": st.column_config.NumberColumn("answer’s rank", width="small"),
            "logit": st.column_config.NumberColumn("its logit", format="%+.4f", width="small"),
        },
    )


def _sample_chooser(most: int) -> int:
    if isinstance(asked := st.session_state.get("sample"), int) and not 1 <= asked <= most:
        del st.session_state["sample"]
    return int(
        st.number_input(
            f"Prompt (1 to {most})",
            1,
            most,
            1,
            key="sample",
            bind="query-params",
            width=150,
            help="One of those whose paths were kept: where the head looks on it.",
        )
    )


def _show_attention(models: Models, side: Side, layer: int, head: int, sample: int) -> None:
    run = side.run
    assert run is not None
    if sample >= _n_listed(side):
        st.caption(f"{markdown(side.name)}: the paths of this prompt were not kept.")
        return
    query, answer = run.request.items[sample]
    st.caption(markdown(f"{side.name}: {query} {visible(answer)}"))
    patterns = attention_of(models, side, sample)
    if patterns is None:
        return
    edges = run.edges(sample).heads[layer, head]
    chart = attention_chart(
        run.samples[sample].tokens, patterns[layer, head], edges, f"Where head {layer}.{head} looks: {side.name}"
    )
    st.altair_chart(chart, width="stretch", alt=f"Attention of head {layer}.{head} from token to token")


def _n_listed(side: Side) -> int:
    assert side.run is not None
    return min(side.run.request.n_listed, side.run.n_samples)
