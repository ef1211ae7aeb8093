"""Further panels of the Task sweep page: more than the sum, triples, and what the released code would have said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from .. import runs
from ..charts import UNITS
from ..state import METRIC_NAMES
from ..text import and_list, count, layer_names, markdown, p_value, share, signed
from . import charts as sweep_charts
from .charts import interval
from .result import SweepResult, clickable, pickable
from .state import convention_name

if TYPE_CHECKING:
    from ivcore.patching import Superadditivity
    from ivcore.runs import SweepRun

__all__ = ["show_both_conventions", "show_excesses", "show_released_test", "show_triples"]

LEVEL = 0.05
_TOP = 10


def show_excesses(result: SweepResult) -> None:
    """Observed against sum of singles, and a test for every set."""
    rows = runs.excesses(result.run, result.metric)
    if not rows:
        st.info("Sets of two or more layers were not swept; choose a depth of 2 or 3.")
        return
    means = {row.layers: row.mean for row in result.ranked}
    left, right = st.columns([6, 7], gap="medium")
    with left:
        chart = sweep_charts.sum_chart(rows, means, metric=result.metric, selected=result.layers)
        clickable(chart, "sweep sums", "Observed effect of each set against the sum of its singles", result.layers)
    with right:
        st.markdown(_excess_sentence(rows))
        ordered = sorted(rows, key=lambda row: -row.mean)
        pickable(
            _excess_table(ordered), "sweep tests", [r.layers for r in ordered], result.layers, _excess_columns(), 360
        )
        st.caption(
            "One-sided paired t-test and Wilcoxon signed-rank test over the samples: is the difference above zero? "
            "Holm and Benjamini–Hochberg adjust for testing so many sets."
        )


def show_triples(result: SweepResult) -> None:
    """Triples as a ranked list and as slices."""
    triples = [row for row in result.ranked if len(row.layers) == 3]
    if not triples:
        st.info("Triples were not swept; choose a depth of 3.")
        return
    left, right = st.columns([6, 7], gap="medium")
    with left:
        layer = st.select_slider(
            "Show the slice of all sets with layer",
            range(result.n_layers),
            value=triples[0].layers[0],
            key="slice",
        )
        chart = sweep_charts.slice_map(
            result.ranked, result.n_layers, layer, metric=result.metric, selected=result.layers
        )
        clickable(chart, f"sweep slice {layer}", f"Effect of every set that holds layer {layer}", result.layers)
    with right:
        st.markdown(f"**All {count(len(triples))} triples, strongest first**")
        tests = {row.layers: row for row in runs.excesses(result.run, result.metric)}
        third = [tests[row.layers].third_order if row.layers in tests else None for row in triples]
        frame = pd.DataFrame(
            {
                "layers": [and_list(row.layers) for row in triples],
                "mean": [row.mean for row in triples],
                "interval": [interval(row.low, row.high) for row in triples],
                "excess": [tests[row.layers].mean if row.layers in tests else None for row in triples],
                "third": [None if order is None else order.mean for order in third],
                "third_interval": ["" if order is None else interval(order.low, order.high) for order in third],
            }
        )
        pickable(frame, "sweep triples", [row.layers for row in triples], result.layers, _triple_columns())


def show_released_test(result: SweepResult) -> None:
    """The released code's superadditivity test on these very numbers, beside the test as defined."""
    rows = list(runs.released_tests(result.run, result.metric))
    if not rows:
        return
    ours = {row.layers: row for row in runs.excesses(result.run, result.metric)}
    top = [row.layers for row in result.ranked if len(row.layers) <= 2][:_TOP]
    theirs = {_as_set(row.layers): row for row in rows}
    n = result.run.n_samples
    st.markdown(
        f"**The superadditivity test.** The released code tests the truth values of “together at least as much as the "
        f"sum” against a mean of 50, so its t is hugely negative and its p tiny whatever the data. In these numbers "
        f"its t lies between {_t(min(_number(row.t) for row in rows))} and {_t(max(_number(row.t) for row in rows))}. "
        f"As defined, {_clear(list(ours.values()))}."
    )
    st.dataframe(
        pd.DataFrame(
            {
                "layers": [and_list(layers) for layers in top],
                "holds": [f"{theirs[layers].n_holding} of {n}" for layers in top],
                "t released": [_t(theirs[layers].t) for layers in top],
                "p released": [p_value(theirs[layers].p) for layers in top],
                "t as defined": [_t(ours[layers].t) if layers in ours else "one layer" for layers in top],
                "p, Holm": [p_value(ours[layers].p_holm) if layers in ours else "one layer" for layers in top],
            }
        ),
        hide_index=True,
        column_config={"holds": st.column_config.TextColumn("at least the sum in", help="Equality counts.")},
    )
    st.caption("The strongest singles and pairs. The released code tests a single layer as a pair with itself.")


def show_both_conventions(result: SweepResult, other: SweepRun) -> None:
    """The same sweep under both conventions: do they find the same layers?"""
    from ivcore.stats import rank_agreement, top_overlap

    there = SweepResult(other, result.metric)
    mine, theirs = ([row.layers for row in side.ranked] for side in (result, there))
    means = [{row.layers: row.mean for row in side.ranked} for side in (result, there)]
    sets = result.run.sets
    agreement = rank_agreement([means[0][layers] for layers in sets], [means[1][layers] for layers in sets])
    shared = top_overlap(mine, theirs, _TOP)
    names = [convention_name(side.run.request.convention) for side in (result, there)]
    rho = "not defined" if agreement.rho is None else f"{agreement.rho:.2f}"
    st.markdown(
        f"**The effects.** The strongest set is {layer_names(result.best.layers)} {names[0]} and "
        f"{layer_names(there.best.layers)} {names[1]}. The two top tens share **{shared} of {_TOP}** sets; the rank "
        f"correlation over all {count(len(sets))} sets is **{rho}** (Spearman)."
    )
    shown = list(dict.fromkeys([*mine[:_TOP], *theirs[:_TOP]]))
    columns: dict[str, list[object]] = {"layers": [and_list(layers) for layers in shown]}
    for name, order, mean in zip(names, (mine, theirs), means, strict=True):
        columns[f"{name}: place"] = [order.index(layers) + 1 for layers in shown]
        columns[f"{name}: mean"] = [mean[layers] for layers in shown]
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(columns),
        hide_index=True,
        height=330,
        column_config={f"{name}: mean": number(f"{name}: {UNITS[result.metric]}", format="%+.3f") for name in names},
    )
    st.caption(f"The ten strongest sets of each, by mean {markdown(METRIC_NAMES[result.metric])}.")


def _excess_sentence(rows: Sequence[Superadditivity]) -> str:
    largest = max(rows, key=lambda row: row.mean)
    sentence = _clear(rows)
    return (
        f"{sentence[:1].upper()}{sentence[1:]}. The largest difference is that of **{layer_names(largest.layers)}**: "
        f"**{signed(largest.mean, 3)}** ({interval(largest.low, largest.high)}), above zero in "
        f"{share(largest.share)} of the samples."
    )


def _clear(rows: Sequence[Superadditivity]) -> str:
    tested = [row for row in rows if row.p_holm is not None]
    if not tested:
        return "no set can be tested"
    passed = sum(row.p_holm is not None and row.p_holm < LEVEL for row in tested)
    return f"{count(passed)} of {count(len(tested))} sets exceed the sum of their singles (Holm-adjusted p < {LEVEL})"


def _excess_table(rows: Sequence[Superadditivity]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layers": [and_list(row.layers) for row in rows],
            "mean": [row.mean for row in rows],
            "interval": [interval(row.low, row.high) for row in rows],
            "share": [None if row.share is None else 100 * row.share for row in rows],
            "p": [p_value(row.p) for row in rows],
            "holm": [p_value(row.p_holm) for row in rows],
            "bh": [p_value(row.p_bh) for row in rows],
            "wilcoxon": [p_value(row.p_wilcoxon) for row in rows],
            "note": [row.undefined or "" for row in rows],
        }
    )


def _excess_columns() -> dict[str, Any]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "mean": number("difference", format="%+.3f", help="Observed together minus the sum of the singles, mean."),
        "interval": text("95% interval"),
        "share": number("above zero", format="%.0f%%", help="Share of the samples with a difference above zero."),
        "p": text("p (t-test)"),
        "holm": text("p, Holm"),
        "bh": text("p, BH"),
        "wilcoxon": text("p (Wilcoxon)"),
        "note": text("not defined because", width="medium"),
    }


def _triple_columns() -> dict[str, Any]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "mean": number("mean effect", format="%+.3f"),
        "interval": text("95% interval"),
        "excess": number("minus singles", format="%+.3f", help="Effect minus the sum of the three singles."),
        "third": number(
            "all three only", format="%+.3f", help="What is left when also every pair is accounted for: third order."
        ),
        "third_interval": text("95% interval of that"),
    }


def _as_set(layers: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(set(layers)))


def _number(t: float | None) -> float:
    return 0.0 if t is None else t


def _t(value: float | None) -> str:
    if value is None:
        return "not defined"
    return "minus infinity" if value == float("-inf") else f"{value:,.1f}".replace("-", "\u2212")
