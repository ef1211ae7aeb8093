"""The results of the Published page: the printed figures as charts and tables, and one's own run beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd
import streamlit as st

from ..state import METRIC_NAMES
from ..text import and_list, layer_names, markdown, signed
from ..triangle import selected_layers
from . import charts as charts
from .form import PublishedInputs
from .head_charts import head_chart, hours_chart
from .help import TESTS
from .own import OwnRanking, offer_plan, own_ranking, own_top, show_agreement
from .rows import (
    Records,
    chosen_plain,
    chosen_sets,
    chosen_tests,
    holding_words,
    t_words,
    whole_plain,
)

if TYPE_CHECKING:
    from ivcore.published import Table, TestRow, TupleRow

__all__ = ["caption", "show", "whole_table"]

_PICKED = "published set"
_CHOSEN = ("size", "task", "k", "k_a", "k_b", "offset_from_t_inst")
"""Columns that the form or the table's title already says."""


def show(inputs: PublishedInputs) -> None:
    """The chosen part of the chosen table."""
    from ivcore.published import gap, table

    entry = table(inputs.table)
    if inputs.task is not None and (missing := gap(entry.number, inputs.stage_key, inputs.task)):
        st.info(markdown(f"{missing} So there is nothing to show here; choose another stage or task."))
    elif entry.kind == "sets":
        _show_sets(entry, inputs)
    elif entry.kind == "tests":
        _show_tests(inputs)
    else:
        _show_plain(entry, inputs)


def caption(entry: Table, inputs: PublishedInputs) -> str:
    """Where the figures come from, and on what they were measured."""
    model = f"OLMo-2 {entry.size}" if entry.size else "OLMo-2 1B and 7B"
    parts = ["arXiv 2602.07930 v2 (CC BY 4.0)", f"Table {entry.number}", f"{model} {inputs.stage or ''}".strip()]
    if entry.depth is not None:
        parts += ["n = 100 samples a figure", "printed without intervals", "device and number format not stated"]
    return " · ".join(parts)


def whole_table(number: int) -> None:
    """Every row of the table as printed, folded away."""
    rows = whole_plain(number)
    with st.expander(f"All of Table {number} as printed ({len(rows)} rows)", icon=":material/table_rows:"):
        st.dataframe(_frame(rows), hide_index=True, height=min(420, 40 + 35 * len(rows)))


def _show_sets(entry: Table, inputs: PublishedInputs) -> None:
    """The printed top ten, one's own run beside it, and both in one table."""
    rows = chosen_sets(inputs)
    left, right = st.columns(2, gap="large")
    with right:
        own = own_ranking(entry, inputs)
    span = charts.effect_span(rows, [] if own is None else list(own.means.values()))
    picked = _picked(inputs)
    with left:
        _show_published(entry, inputs, rows, span, picked)
    with right:
        if own is None:
            offer_plan(entry, inputs)
        else:
            _show_own(entry, inputs, rows, own, span, picked)
    with right if own is None else st.container():
        if picked:
            st.markdown(_set_sentence(picked, rows, own))
        columns = _set_columns(rows)
        st.dataframe(_set_table(rows, own), hide_index=True, height=38 + 35 * len(rows), column_config=columns)


def _show_published(
    entry: Table, inputs: PublishedInputs, rows: tuple[TupleRow, ...], span: float, picked: tuple[int, ...]
) -> None:
    """The printed list as a chart, and what is wrong with it."""
    from ivcore.published import N_LAYERS, last_layer_conflicts

    n_layers = N_LAYERS[rows[0].size]
    if entry.depth == 3:
        st.altair_chart(charts.triples_chart(rows, n_layers, span=span), width="stretch", alt=entry.title)
    else:
        chart = charts.published_map(rows, n_layers, span=span, selected=picked)
        _clickable(chart, "published map", inputs, picked, "Map of the published top ten layer sets")
    if conflicts := last_layer_conflicts(rows):
        told = "; ".join(
            f"{layer_names(odd.layers)} {signed(odd.value)} where {layer_names(odd.without)} has {signed(odd.expected)}"
            for odd in conflicts
        )
        st.warning(
            markdown(
                f"Printed figures that no patch can have: {told}. Patching the last layer, {n_layers - 1}, adds "
                "nothing, because no later layer reads the filler."
            ),
            icon=":material/report:",
        )


def _show_own(
    entry: Table,
    inputs: PublishedInputs,
    rows: tuple[TupleRow, ...],
    own: OwnRanking,
    span: float,
    picked: tuple[int, ...],
) -> None:
    """One's own run on the same color scale, and how far it agrees."""
    if entry.depth == 3:
        chart = charts.triples_chart(own_top(rows, own), own.n_layers, span=span, own=True)
        st.altair_chart(chart, width="stretch", alt="Your own strongest triples")
    else:
        chart = charts.own_map(own.means, rows, own.n_layers, span=span, selected=picked)
        _clickable(chart, "own map", inputs, picked, "Map of your own run")
    show_agreement(rows, own)


def _picked(inputs: PublishedInputs) -> tuple[int, ...]:
    """The set that was clicked on while this part of the table was shown."""
    shown, layers = st.session_state.get(_PICKED, (None, ()))
    return layers if shown == inputs else ()


def _clickable(
    chart: alt.LayerChart, name: str, inputs: PublishedInputs, picked: tuple[int, ...], description: str
) -> None:
    """A map whose clicks pick a set; the key changes with it, so that the same cell can be clicked again later."""
    key = f"{name} {inputs} {picked}"

    def pick() -> None:
        if layers := selected_layers(st.session_state.get(key)):
            st.session_state[_PICKED] = (inputs, layers)

    st.altair_chart(chart, key=key, on_select=pick, alt=description, width="stretch")


def _set_sentence(picked: tuple[int, ...], rows: tuple[TupleRow, ...], own: OwnRanking | None) -> str:
    """The picked set in words: printed, and in one's own run."""
    row = next((row for row in rows if row.layers == picked), None)
    name = layer_names(picked)
    said = f"{name[0].upper()}{name[1:]}: "
    said += f"published at place {row.place} with **{signed(row.value)}**" if row else "**not published**"
    if own is not None and picked in own.means:
        said += f"; in your run **{signed(own.means[picked], 3)}**"
    return f"{said} ({METRIC_NAMES[rows[0].metric]})."


def _set_table(rows: tuple[TupleRow, ...], own: OwnRanking | None) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "place": [row.place for row in rows],
            "layers": [and_list(row.layers) for row in rows],
            "effect": [row.value for row in rows],
        }
    )
    if own is None:
        return frame
    order = sorted(filter(rows[0].is_ranked, own.means), key=lambda layers: (-own.means[layers], layers))
    places = {layers: place for place, layers in enumerate(order, start=1)}
    frame["your place"] = [places.get(row.layers) for row in rows]
    frame["your effect"] = [own.means.get(row.layers) for row in rows]
    return frame


def _set_columns(rows: tuple[TupleRow, ...]) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    unit = charts.UNITS[rows[0].metric]
    return {
        "place": number("place", help="as printed; sets of the same printed value follow their layers' numbers"),
        "effect": number("published effect", format="%+.2f", help=f"{unit}, mean over 100 samples"),
        "your place": number("your place", help="in your run, among the sets that the list ranks"),
        "your effect": number("your effect", format="%+.3f", help=f"{unit}, mean over your samples"),
    }


def _show_tests(inputs: PublishedInputs) -> None:
    """The printed tests, what they can say, and why no more."""
    from ivcore.published import holding_counts, t_against_fifty

    rows = chosen_tests(inputs)
    counts = [holding_counts(row) for row in rows]
    left, right = st.columns(2, gap="large")
    with left:
        curve = [t_against_fifty(k) for k in range(1, 100)]
        st.altair_chart(charts.tests_chart(rows, counts, curve), width="stretch", alt="Printed t values")
        st.dataframe(_test_table(rows, counts), hide_index=True, column_config=_test_columns())
    with right, st.container(border=True):
        st.markdown(TESTS)


def _test_table(rows: tuple[TestRow, ...], counts: list[tuple[int, ...]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layers": [and_list(row.layers) for row in rows],
            "t": [t_words(row.t) for row in rows],
            "p": [f"{row.p:.1e}" if row.p else "0" for row in rows],
            "holding": [holding_words(found) for found in counts],
        }
    )


def _test_columns() -> dict[str, Any]:
    text = st.column_config.TextColumn
    return {
        "t": text("t, as printed"),
        "p": text("p, as printed", help="two-sided; 0 where it is too small to be written"),
        "holding": text(
            "samples that hold",
            help="Not printed: read back from t and p. In so many samples the set did at least the sum of its single "
            "layers; several numbers where the figures fit each of them.",
        ),
    }


def _show_plain(entry: Table, inputs: PublishedInputs) -> None:
    """Heads and run times: one chart and the rows behind it."""
    rows = chosen_plain(inputs)
    left, right = st.columns([3, 2], gap="large")
    with left:
        chart = hours_chart(rows) if entry.kind == "runtimes" else head_chart(entry, rows)
        st.altair_chart(chart, width="stretch", alt=entry.title)
    with right:
        shown = [{name: row[name] for name in row if name not in _CHOSEN} for row in rows]
        st.dataframe(_frame(shown), hide_index=True, height=min(400, 38 + 35 * len(rows)))


def _frame(rows: Records) -> pd.DataFrame:
    """Rows as a table; a column of numbers and words becomes words."""
    frame = pd.DataFrame(rows)
    for name in frame:
        kinds = {type(value) for value in frame[name] if value is not None}
        if str in kinds and len(kinds) > 1:
            frame[name] = ["" if value is None else str(value) for value in frame[name]]
    return frame
