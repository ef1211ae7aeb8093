"""The paraphrases of one layer as points, stage beside stage; what is selected is listed below.

The pictures and the list are a fragment: selecting redraws nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import calls
from ..behaviour.charts import share_words, whole
from ..guard import guarded
from ..state import OTHER
from ..text import and_list, count, html, markdown, visible
from . import runs as geometry_runs
from .charts import BRUSH, CLASS_COLORS, CLASS_SHAPES, POINT, picked_points, points_chart
from .help import VIEW_NOTES
from .missing import checked_model
from .runs import Panel
from .state import BUNDLED, EMBEDDING, VIEWS, GeometryInputs, layer_name, layer_words

if TYPE_CHECKING:
    from ivcore.probes import LayerGeometry, View
    from ivcore.runs import GeometryRun

__all__ = [
    "Drawing",
    "drawings",
    "layer_options",
    "layer_row",
    "patch_parameters",
    "points_heading",
    "show_points",
    "view_chooser",
]

PATCH_PAGE = "pages/patch.py"
_GLYPHS = dict(zip(CLASS_SHAPES, "●■▲◆✚▼▶◀", strict=True))
_LISTED = 400


@dataclass(frozen=True)
class Drawing:
    """One stage's points, ready to be drawn."""

    stage: str
    ref: str
    run: GeometryRun
    view: View
    notes: tuple[str, ...]


def layer_options(panels: Sequence[Panel]) -> tuple[str, ...]:
    """The layers of the runs that are there, as the slider names them."""
    run = next((panel.run for panel in panels if panel.run is not None), None)
    return () if run is None else tuple(layer_name(row.layer) for row in run.rows)


def view_chooser(panels: Sequence[Panel]) -> tuple[str, str]:
    """Name of the layer and of the view to draw."""
    options = layer_options(panels)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        view = st.segmented_control("View", tuple(VIEWS), default="LDA", required=True, key="view", bind="query-params")
        if st.session_state.get("layer", options[0]) not in options:
            del st.session_state["layer"]
        layer = st.select_slider(
            "Layer",
            options,
            value=options[len(options) // 2],
            key="layer",
            bind="query-params",
            width=420,
            help="All layers are in the run, so moving this computes nothing.",
        )
    return str(layer), VIEWS[view or "LDA"]


def layer_row(run: GeometryRun, layer: str) -> LayerGeometry:
    """The run's row of a layer as the slider names it."""
    return geometry_runs.row_of(run, None if layer == EMBEDDING else int(layer))


def show_points(badge: DeltaGenerator, inputs: GeometryInputs, panels: Sequence[Panel]) -> None:
    """The pictures of the chosen layer, or the way to draw those that no run holds."""
    there = [panel for panel in panels if panel.run is not None]
    if inputs.view in ("tsne", "released") and not _all_drawn(badge, inputs, there):
        return
    found = drawings(inputs, there)
    st.markdown(f"##### {markdown(points_heading(inputs, found))}")
    st.caption(VIEW_NOTES[inputs.view])
    _points(inputs, found)


def drawings(inputs: GeometryInputs, panels: Sequence[Panel]) -> tuple[Drawing, ...]:
    """The chosen view of every stage; one that was not drawn yet is left out."""
    found = []
    for panel in panels:
        assert panel.run is not None
        row = layer_row(panel.run, inputs.layer)
        if inputs.view == "lda":
            notes = (f"held out: {share_words(row.lda_heldout)}",)
            found.append(Drawing(panel.stage, panel.ref, panel.run, row.lda, notes))
        elif inputs.view == "pca":
            found.append(Drawing(panel.stage, panel.ref, panel.run, row.pca, ()))
        elif (kept := geometry_runs.drawn(inputs.view, panel.run, row.layer)) is not None:
            found.append(_on_demand(panel, kept))
    return tuple(found)


def points_heading(inputs: GeometryInputs, found: Sequence[Drawing]) -> str:
    """The finding of the pictures in numbers."""
    place = layer_words(inputs.layer)
    if inputs.view == "lda":
        shares = [f"{one.stage} {whole(layer_row(one.run, inputs.layer).lda_heldout.share or 0.0)}" for one in found]
        return f"At {place} LDA tells this share of held-out paraphrases right: {and_list(shares)}"
    if inputs.view == "pca":
        shares = [f"{one.stage} {whole(sum(one.view.explained or (0.0, 0.0)))}" for one in found]
        return f"At {place} the two strongest directions hold this share of all variance: {and_list(shares)}"
    if inputs.view == "tsne":
        return f"Neighbors at {place}, by t-SNE"
    return f"At {place} as released: LDA drawn on its own training points"


def patch_parameters(inputs: GeometryInputs, stage: str, ref: str, text: str, task: str) -> dict[str, str]:
    """The Patch page's URL parameters for one paraphrase, with a query of its task where the app has one."""
    named = {"model": inputs.family} | ({"ref": ref} if inputs.family == OTHER else {"stage": stage})
    named |= {"instruction": text}
    if inputs.source == BUNDLED:
        from ivcore.prompts.tasks import load_task, query_text

        found = load_task(task)
        named |= {"query": query_text(found.field, found.queries[0]), "answer": found.answers[0]}
    return named | {"device": inputs.device, "dtype": inputs.dtype}


def _on_demand(panel: Panel, kept: Any) -> Drawing:
    from ivcore.probes import View

    assert panel.run is not None
    if isinstance(kept, View):
        return Drawing(panel.stage, panel.ref, panel.run, kept, ())
    notes = (
        f"on its own points: {share_words(kept.training_accuracy)}",
        f"held out: {share_words(kept.heldout_accuracy)}",
    )
    return Drawing(panel.stage, panel.ref, panel.run, kept.view, notes)


def _all_drawn(badge: DeltaGenerator, inputs: GeometryInputs, there: Sequence[Panel]) -> bool:
    """Whether every stage's view was drawn; else offer to draw."""
    layer = None if inputs.layer == EMBEDDING else int(inputs.layer)
    absent = [panel for panel in there if panel.run and geometry_runs.drawn(inputs.view, panel.run, layer) is None]
    if not absent:
        return True
    names = and_list([panel.stage for panel in absent])
    name = "t-SNE" if inputs.view == "tsne" else "LDA on its own training points"
    st.markdown(f"**{name} of {layer_words(inputs.layer)} is not drawn yet** for {markdown(names)}.")
    st.caption(VIEW_NOTES[inputs.view])
    if far := [panel.ref for panel in absent if calls.is_to_download(panel.ref)]:
        st.caption(
            f"It needs the model, and {markdown(and_list(far))} is not on this machine; the Patch page fetches it."
        )
        return False
    n = len(there[0].request.texts)
    place = st.container(horizontal=True, vertical_alignment="center")
    pressed = place.button("Draw it", type="primary", icon=":material/scatter_plot:", key=f"draw {inputs.view}")
    place.caption(f"The model reads {count(n)} paraphrases for each stage; some seconds a stage for a small model.")
    if pressed:
        for panel in absent:
            loaded = checked_model(badge, inputs, panel.ref)
            with st.spinner(f"Drawing {markdown(panel.stage)}", show_time=True):
                assert panel.run is not None
                geometry_runs.draw(inputs.view, loaded, panel.run, layer)
        st.rerun()
    return False


@st.fragment
def _points(inputs: GeometryInputs, found: Sequence[Drawing]) -> None:
    with guarded():
        st.html(_legend(found[0]))
        picked: list[tuple[Drawing, int]] = []
        for place, one in zip(st.columns(max(2, len(found)), gap="small"), found, strict=False):
            chart = points_chart(one.run, one.view, one.stage, one.notes)
            event = place.altair_chart(
                chart,
                width="stretch",
                key=f"points {one.run.key[:12]} {inputs.layer} {inputs.view}",
                on_select="rerun",
                selection_mode=[BRUSH, POINT],
                alt=f"Paraphrases at {layer_words(inputs.layer)} of {one.stage}, {inputs.view}",
            )
            picked += [(one, i) for i in picked_points(event, one.view.points)]
        if picked:
            _listed(inputs, picked)
        else:
            st.caption("Click a point, or drag a rectangle of them, to list the paraphrases; a double click clears.")


def _listed(inputs: GeometryInputs, picked: Sequence[tuple[Drawing, int]]) -> None:
    """The selected paraphrases, and the way from one of them to the Patch page."""
    shown = picked[:_LISTED]
    table = pd.DataFrame(
        {
            "paraphrase": [visible_text(one.run.request.texts[i]) for one, i in shown],
            "task": [_task(one, i) for one, i in shown],
            "stage": [one.stage for one, _ in shown],
            "held out": ["yes" if one.view.held_out[i] else "no" for one, i in shown],
        }
    )
    cut = f", of which {count(_LISTED)} are listed" if len(picked) > _LISTED else ""
    n = len(picked)
    st.markdown(f"**{count(n)} point{'s' if n > 1 else ''} selected{cut}.** Choose a row to patch with it.")
    event = st.dataframe(
        table,
        hide_index=True,
        height=min(320, 38 + 35 * len(shown)),
        on_select="rerun",
        selection_mode="single-row",
        column_config={"paraphrase": st.column_config.TextColumn("paraphrase", width="large")},
        key=f"selected {inputs.layer} {inputs.view} {hash(tuple((one.stage, i) for one, i in shown))}",
    )
    rows = event.selection.rows if event else []
    at = rows[0] if rows and rows[0] < n else 0
    one, i = picked[at]
    text = one.run.request.texts[i]
    st.page_link(
        PATCH_PAGE,
        label=f"Patch with “{markdown(_short(text))}” on {markdown(one.stage)}",
        icon=":material/arrow_forward:",
        query_params=patch_parameters(inputs, one.stage, one.ref, text, _task(one, i)),
    )


def visible_text(text: str) -> str:
    """A paraphrase with controls and direction marks spelled out."""
    return text if text.isprintable() else "".join(c if c.isprintable() else visible(c) for c in text)


def _task(one: Drawing, i: int) -> str:
    return one.run.result.names[one.run.request.labels[i]]


def _short(text: str) -> str:
    shown = visible_text(text)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _legend(one: Drawing) -> str:
    """Sign and color of every class, and what filled and hollow mean."""
    parts = [
        f'<span style="white-space:nowrap"><b style="color:{color}">{_GLYPHS[shape]}</b> {html(name[:40])}</span>'
        for name, color, shape in zip(one.run.result.names, CLASS_COLORS, CLASS_SHAPES, strict=False)
    ]
    n_held = int(one.view.held_out.sum())
    fitted = len(one.view.held_out) - n_held
    if n_held:
        said = f"filled: {count(n_held)} held out · hollow: {count(fitted)} that the view was fitted on"
    else:
        said = f"all {count(fitted)} points are those that the view was fitted on"
    style = "display:flex;flex-wrap:wrap;gap:0.1rem 1rem;font-size:0.88rem"
    return f'<div class="iv" style="{style}">{"".join(parts)}<span class="faint">{said}</span></div>'
