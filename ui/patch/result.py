"""The results of the Patch page: the prompt as tokens, the map, the three measurements, and pairs against singles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls, charts, model_form
from ..cards import cards_html, said_html, tops_html, tracks_html
from ..numbers import PairRow, SetRow, best, no_patch_row, pair_rows, set_rows
from ..state import METRIC_NAMES, PatchInputs
from ..text import and_list, count, markdown, signed
from ..tokens import prompt_html

if TYPE_CHECKING:
    from ivcore.metrics import TokenScore
    from ivcore.models import LoadedModel
    from ivcore.patching import PatchReport
    from ivcore.prompts import Prompt

__all__ = [
    "PatchResult",
    "facts",
    "layer_chooser",
    "measure",
    "metric_chooser",
    "show_map",
    "show_numbers",
    "show_pairs",
    "show_prompt",
    "source_chooser",
    "strongest_button",
]

DEFAULT_LAYERS = (0, 1)
_ASKED = "map asked for"


@dataclass(frozen=True)
class PatchResult:
    """Everything measured for the page's inputs."""

    report: PatchReport
    """The map's sets (where it was computed) and the chosen set."""
    rows: tuple[SetRow, ...]
    """The numbers of ``report.patched``."""
    row: SetRow
    """The chosen set's numbers; those of the target alone where no layer is chosen."""
    top: tuple[TokenScore, ...]
    """The patched prompt's best tokens."""
    has_map: bool
    """Whether all singles and pairs are among the rows."""


def source_chooser(prompt: Prompt, linked: int | None) -> int | None:
    """Let the user move T_inst; None while it stands at the end of the instruction.

    Each instruction has a slider of its own, so that another text starts from its own end again.
    """
    text = f"{prompt.text_full} {prompt.t_inst_default} {prompt.t_last}"
    key = f"t_inst of {sha256(text.encode()).hexdigest()[:16]}"
    start = prompt.t_inst_default if linked is None else linked
    position = st.slider(
        "Read the vector at token",
        0,
        prompt.t_last,
        start,
        key=key,
        width=520,
        help="T_inst: at first the last token of the instruction. Move it to see what the model knew earlier or later.",
    )
    moved = None if position == prompt.t_inst_default else int(position)
    if moved is None:
        st.query_params.pop("t_inst", None)
    elif st.query_params.get("t_inst") != str(moved):
        st.query_params["t_inst"] = str(moved)
    return moved


def layer_chooser(n_layers: int) -> tuple[int, ...]:
    """Any set of layers; a click on a chart sets it too."""
    layers = st.pills(
        "Write the vector at layers",
        range(n_layers),
        selection_mode="multi",
        default=[layer for layer in DEFAULT_LAYERS if layer < n_layers],
        key="layers",
        bind="query-params",
        help="At each chosen layer, the target prompt's state at the filler is replaced by the instruction's vector.",
    )
    return tuple(sorted(layers))


def metric_chooser(place: DeltaGenerator) -> str:
    """By which metric the charts show effects."""
    with place:
        return model_form.metric_chooser("Color the map by")


def strongest_button(place: DeltaGenerator, result: PatchResult, metric: str) -> None:
    """A button that chooses the single layer or pair with the largest effect."""
    row = best([row for row in result.rows if len(row.layers) <= calls.DEPTH], metric)
    if row is not None and result.has_map:
        place.button("Strongest set", on_click=_choose, args=(row.layers,), icon=":material/star:", key="strongest")


def facts(result: PatchResult) -> tuple[str, ...]:
    """What the caption says about the measurement itself."""
    report = result.report
    return (f"{count(len(report.patched))} layer sets in {report.seconds:.2f} s", "one prompt (n = 1), so no interval")


def measure(loaded: LoadedModel, inputs: PatchInputs, prompt: Prompt) -> PatchResult:
    """Patch the chosen set, and the whole map where that is quick or was asked for."""
    asked = replace(inputs, layers=(), metric="")
    has_map = calls.is_quick(loaded, prompt) or st.session_state.get(_ASKED) == asked
    if has_map:
        with st.spinner(f"Measuring {count(calls.n_sets(loaded.n_layers))} layer sets", show_time=True):
            report = calls.map_report(loaded, inputs)
    if not has_map or len(inputs.layers) > calls.DEPTH:
        chosen = calls.report(loaded, inputs, [inputs.layers] if inputs.layers else [])
        report = replace(report, patched=report.patched + chosen.patched) if has_map else chosen
    rows = set_rows(report)
    at = next((i for i, row in enumerate(rows) if row.layers == inputs.layers), None)
    row, top = (no_patch_row(report), report.target.top) if at is None else (rows[at], report.patched[at].top)
    return PatchResult(report, rows, row, top, has_map)


def show_prompt(result: PatchResult) -> None:
    """Both prompts as tokens, and what is unusual about them."""
    report = result.report
    st.html(prompt_html(report.prompt, report.answer, report.full.metrics.rank, report.target.metrics.rank))
    for warning in (*report.prompt.warnings, *report.answer.warnings):
        st.warning(markdown(warning), icon=":material/info:")


def show_map(result: PatchResult, loaded: LoadedModel, inputs: PatchInputs) -> None:
    """The triangle of singles and pairs, or what it would cost."""
    if not result.has_map:
        _offer_map(result, loaded, inputs)
        return
    chart = charts.effect_map(result.rows, loaded.n_layers, metric=inputs.metric, selected=inputs.layers)
    _clickable(chart, "map", "Map of the effect of every single layer and pair")


def show_numbers(result: PatchResult, vocab_size: int) -> None:
    """The finding in words, the three measurements, recovery, and the top tokens."""
    st.html(said_html(result.report, result.row))
    st.html(cards_html(result.report, result.row, vocab_size))
    st.html(tracks_html(result.row))
    st.html(tops_html(result.report, result.row, result.top))


def show_pairs(result: PatchResult, inputs: PatchInputs) -> None:
    """Each pair's observed effect beside the sum of its singles."""
    pairs = pair_rows(result.rows, inputs.metric)
    if not pairs:
        return
    left, right = st.columns([6, 5], gap="medium")
    with left:
        chart = charts.pair_chart(pairs, metric=inputs.metric, selected=inputs.layers)
        _clickable(chart, "pairs", "Observed effect of each pair against the sum of its singles")
    with right:
        st.markdown(_pair_sentence(pairs, inputs))
        st.dataframe(_pair_table(pairs), hide_index=True, height=300, column_config=_pair_columns(inputs.metric))


def _offer_map(result: PatchResult, loaded: LoadedModel, inputs: PatchInputs) -> None:
    """A button for a map that takes its time, with the cost beside it: an upper bound, since sets share their work."""
    n = calls.n_sets(loaded.n_layers)
    seconds = max(1, round(n * result.report.seconds))
    st.info(f"The map of all {count(n)} single layers and pairs takes up to about {count(seconds)} s with this model.")
    if st.button("Measure the map", icon=":material/grid_on:"):
        st.session_state[_ASKED] = replace(inputs, layers=(), metric="")
        st.rerun()


def _clickable(chart: alt.LayerChart, name: str, description: str) -> None:
    """A chart whose clicks choose the layers.

    The key changes with the chosen set, so that a click on the same mark counts again after other layers were chosen.
    """
    key = f"{name} {st.session_state.get('layers')}"

    def choose() -> None:
        if layers := charts.selected_layers(st.session_state.get(key)):
            _choose(layers)

    st.altair_chart(chart, key=key, on_select=choose, alt=description, width="stretch")


def _pair_sentence(pairs: tuple[PairRow, ...], inputs: PatchInputs) -> str:
    """The chosen pair in words."""
    pair = next((pair for pair in pairs if pair.layers == inputs.layers), None)
    if pair is None:
        return "Choose a pair of layers to compare it with its two members."
    compared, verdict = {
        1: ("more than the", f"superadditive by **{signed(pair.excess, 3)}**"),
        0: ("just the", "not superadditive"),
        -1: ("less than the", f"not superadditive (**{signed(pair.excess, 3)}**)"),
    }[pair.side]
    return (
        f"Layers {and_list(pair.layers)} together change the {METRIC_NAMES[inputs.metric]} by "
        f"**{signed(pair.observed, 3)}**, {compared} {signed(pair.sum_of_singles, 3)} that they add up to alone: "
        f"{verdict}."
    )


def _pair_table(pairs: tuple[PairRow, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layers": [f"{low} and {high}" for low, high in (pair.layers for pair in pairs)],
            "observed": [pair.observed for pair in pairs],
            "sum": [pair.sum_of_singles for pair in pairs],
            "excess": [pair.excess for pair in pairs],
            "superadditive": ["yes" if pair.side > 0 else "no" for pair in pairs],
        }
    )


def _pair_columns(metric: str) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "observed": number("observed", format="%+.3f", help=f"{charts.UNITS[metric]} of both layers together"),
        "sum": number(
            "sum of singles", format="%+.3f", help="the two layers' effects when each is patched alone, added"
        ),
        "excess": number("difference", format="%+.3f", help="observed minus sum: above zero is superadditive"),
    }


def _choose(layers: tuple[int, ...]) -> None:
    """Choose these layers, as if they had been picked by hand."""
    st.session_state["layers"] = list(layers)
