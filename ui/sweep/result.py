"""The result of the Task sweep page: the finding in words, the map, the chosen set, the ranking, the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import runs
from ..charts import UNITS
from ..state import METRIC_NAMES
from ..text import and_list, count, decimal, layer_names, markdown, share, signed, visible
from ..triangle import selected_layers
from . import charts as sweep_charts
from .charts import interval
from .numbers import sample_rows
from .state import set_name, set_names, set_of

if TYPE_CHECKING:
    from ivcore.patching import HeldOut, SetEffect
    from ivcore.runs import SweepRun

__all__ = [
    "SweepResult",
    "choose",
    "clickable",
    "pickable",
    "set_chooser",
    "show_finding",
    "show_map",
    "show_ranking",
    "show_samples",
    "show_set",
]

_TIE = 1e-9
SET = "set"
"""Widget key and URL parameter of the set that is looked at."""


@dataclass(frozen=True)
class SweepResult:
    """A finished sweep seen by one metric, with the set that is looked at."""

    run: SweepRun
    metric: str
    layers: tuple[int, ...] = ()

    @property
    def n_layers(self) -> int:
        """Layers of the model."""
        return int(self.run.model["n_layers"])

    @cached_property
    def ranked(self) -> tuple[SetEffect, ...]:
        """All sets, highest mean first."""
        return runs.ranking(self.run, self.metric)

    @property
    def best(self) -> SetEffect:
        """The strongest set."""
        return self.ranked[0]

    @property
    def row(self) -> SetEffect:
        """The set that is looked at."""
        return next(row for row in self.ranked if row.layers == self.layers)

    @cached_property
    def recoveries(self) -> dict[tuple[int, ...], float | None]:
        """Recovery of every set."""
        from ivcore.stats import ratio

        span = float(self.run.span(self.metric).mean())
        return {row.layers: ratio(row.mean, span) for row in self.ranked}


def set_chooser(place: DeltaGenerator, run: SweepRun, metric: str) -> SweepResult:
    """Which set to look at: any of the sweep's, the strongest where none is chosen."""
    result = SweepResult(run, metric)
    names = set_names(run)
    name = place.selectbox(
        "Look at the set",
        names,
        index=None,
        key=SET,
        bind="query-params",
        placeholder=f"strongest: {set_name(result.best.layers)}",
        width=220,
        help="The layers that are patched at once. A click on any chart or table below chooses as well.",
    )
    return SweepResult(run, metric, set_of(name) if name in names else result.best.layers)


def show_finding(result: SweepResult) -> None:
    """What the sweep found, in words, and how far the best of so many sets is flattered."""
    run, metric, best = result.run, METRIC_NAMES[result.metric], result.best
    convention = run.request.convention
    full = float(run.full.values(result.metric, convention).mean())
    target = float(run.target.values(result.metric, convention).mean())
    st.markdown(
        f"On average over **{count(run.n_samples)} samples** the answer’s {metric} is **{decimal(full, 3)}** with the "
        f"instruction and **{decimal(target, 3)}** with only the query. Of {count(len(run.sets))} sets, "
        f"**{layer_names(best.layers)}** bring{'s' if len(best.layers) == 1 else ''} back most: "
        f"**{signed(best.mean, 3)}** (95% interval {interval(best.low, best.high)}), "
        f"a recovery of {_recovery(result, best.layers)}."
    )
    st.markdown(_caution(result, runs.halves(run, result.metric)))


def show_map(result: SweepResult) -> None:
    """The triangle of singles and pairs."""
    chart = sweep_charts.sweep_map(
        result.ranked,
        result.n_layers,
        metric=result.metric,
        selected=result.layers,
        recoveries=result.recoveries,
    )
    clickable(chart, "sweep map", "Map of the mean effect of every single layer and pair", result.layers)


def show_set(result: SweepResult) -> None:
    """The chosen set: its numbers, and its effect on every sample."""
    row, unit = result.row, UNITS[result.metric]
    rank = 1 + sum(other.mean > row.mean + _TIE for other in result.ranked)
    with st.container(horizontal=True):
        st.metric(f"Mean {unit}", signed(row.mean, 3), border=True)
        st.metric("Recovery", share(result.recoveries[row.layers]), border=True)
        st.metric("Place", f"{count(rank)} of {count(len(result.ranked))}", border=True)
    st.caption(
        f"{layer_names(row.layers).capitalize()}: 95% interval {interval(row.low, row.high)}, "
        f"recovery {_recovery(result, row.layers)}, n = {count(row.n)}."
    )
    rows = sample_rows(result.run, row.layers, result.metric)
    chart = sweep_charts.strip_chart(rows, row, metric=result.metric)
    st.altair_chart(chart, width="stretch", alt="Effect of the chosen set on every sample")


def show_ranking(result: SweepResult) -> None:
    """All sets as a table, the strongest as a chart."""
    left, right = st.columns([6, 5], gap="medium")
    with left:
        chart = sweep_charts.ranking_chart(result.ranked, metric=result.metric, selected=result.layers)
        clickable(chart, "sweep ranking", "The strongest sets with their intervals", result.layers)
    with right:
        frame = pd.DataFrame(
            {
                "layers": [and_list(row.layers) for row in result.ranked],
                "mean": [row.mean for row in result.ranked],
                "low": [row.low for row in result.ranked],
                "high": [row.high for row in result.ranked],
                "recovery": [_percent(result.recoveries[row.layers]) for row in result.ranked],
            }
        )
        pickable(frame, "sweep table", [row.layers for row in result.ranked], result.layers, _columns())


def show_samples(result: SweepResult) -> None:
    """Every sample of the chosen set, with its words."""
    rows = sample_rows(result.run, result.layers, result.metric)
    name = METRIC_NAMES[result.metric]
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(
            {
                "query": [row.query for row in rows],
                "answer": [row.answer for row in rows],
                "token": [visible(row.token) for row in rows],
                "rank_full": [row.rank_full for row in rows],
                "rank_target": [row.rank_target for row in rows],
                "rank_patched": [row.rank_patched for row in rows],
                "full": [row.full for row in rows],
                "target": [row.target for row in rows],
                "patched": [row.patched for row in rows],
                "effect": [row.effect for row in rows],
            }
        ),
        hide_index=True,
        height=420,
        column_config={
            "token": st.column_config.TextColumn("token measured", help="The first token of the answer."),
            "rank_full": number("rank, full prompt", format="%d"),
            "rank_target": number("rank, target alone", format="%d"),
            "rank_patched": number("rank, patched", format="%d"),
            "full": number(f"{name}, full prompt", format="%.3f"),
            "target": number(f"{name}, target alone", format="%.3f"),
            "patched": number(f"{name}, patched", format="%.3f"),
            "effect": number("effect", format="%+.3f"),
        },
    )
    st.caption(
        f"The instruction of every prompt: “{markdown(result.run.request.instruction)}”. "
        f"Patched: {layer_names(result.layers)}."
    )


def clickable(chart: alt.LayerChart, name: str, description: str, chosen: Sequence[int]) -> None:
    """A chart whose clicks choose the set.

    The key changes with the chosen set, so that a click on the same mark counts again after another set was chosen.
    """
    key = f"{name} {set_name(tuple(chosen))}"

    def take() -> None:
        if layers := selected_layers(st.session_state.get(key)):
            choose(layers)

    st.altair_chart(chart, key=key, on_select=take, alt=description, width="stretch")


def pickable(
    frame: pd.DataFrame,
    name: str,
    sets: Sequence[tuple[int, ...]],
    chosen: Sequence[int],
    columns: dict[str, Any],
    height: int = 430,
) -> None:
    """A table, one row for each of ``sets``; picking a row chooses its set."""
    key = f"{name} {set_name(tuple(chosen))}"

    def take() -> None:
        picked = st.session_state[key]["selection"]["rows"]
        if picked and picked[0] < len(sets):
            choose(sets[picked[0]])

    st.dataframe(
        frame,
        hide_index=True,
        height=height,
        column_config=columns,
        key=key,
        on_select=take,
        selection_mode="single-row",
    )


def choose(layers: tuple[int, ...]) -> None:
    """Look at this set, as if it had been picked by hand."""
    st.session_state[SET] = set_name(layers)


def _columns() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "mean": number("mean effect", format="%+.3f"),
        "low": number("95% from", format="%+.3f", help="Bootstrap over the samples, 10,000 resamples."),
        "high": number("to", format="%+.3f"),
        "recovery": number("recovery", format="%.0f%%", help="Effect as a share of what the instruction does."),
    }


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _recovery(result: SweepResult, layers: tuple[int, ...]) -> str:
    """Recovery with its interval, in words."""
    found = runs.ratio(result.run, layers, result.metric)
    if found.value is None:
        return "not defined, since the instruction changes nothing here"
    if found.low is None or found.high is None:
        return f"{share(found.value)} (no interval)"
    return f"{share(found.value)} ({share(found.low)} to {share(found.high)})"


def _caution(result: SweepResult, halves: tuple[HeldOut, ...]) -> str:
    """The best set's effect where it had no part in being chosen."""
    if not halves:
        return (
            f":gray[The strongest of {count(len(result.run.sets))} sets, chosen on the very samples that measure it, "
            "is flattered; there are too few samples to choose on some and measure on others.]"
        )
    parts = [
        f"one half ({half.n_chosen_on} samples) chooses {layer_names(half.effect.layers)}, whose effect on the other "
        f"{half.effect.n} is {signed(half.effect.mean, 3)} ({interval(half.effect.low, half.effect.high)}), "
        f"recovery {share(half.recovery)}"
        for half in halves
    ]
    return (
        f":gray[The strongest of {count(len(result.run.sets))} sets is flattered by the samples that chose it. Chosen "
        f"and measured on different samples: {parts[0]}; the other way round, {parts[1]}.]"
    )
