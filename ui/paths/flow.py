"""The exact flow of the answer's logit from one source through every edge, over all paths at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from ..text import count, decimal, visible
from .charts import flow_chart
from .coverage import part_words, show_coverage
from .details import model_at_hand, show_pick
from .files import flow_downloads
from .filters import choice, chosen_filters, drawn_chooser, token_name
from .graph import flow_graph, flow_through_edges
from .kept import Paths
from .pick import edge_pick, node_pick, pickable
from .picture import draw_flow
from .run import Badge
from .runs import Traced
from .spoken import source_flow
from .state import MAX_DRAWN, PathsInputs
from .view import View, grid_of, show_with_picks

if TYPE_CHECKING:
    import networkx as nx
    from numpy.typing import NDArray

__all__ = ["show_flow"]


def show_flow(badge: Badge, inputs: PathsInputs, traced: Traced, vocabulary: int | None) -> View:
    """The picture of the flow with everything around it."""
    st.subheader("The answer’s logit as a current, over all paths", anchor=False)
    info = traced.info
    order = [info.t_inst, *(at for at in range(len(info.tokens)) if at != info.t_inst)]
    names = {token_name(traced, at): at for at in order}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        source = names[choice("Flow from", tuple(names), "flowfrom", 190, "T_inst is kept with each run.")]
        most = drawn_chooser("Edges drawn")
    options: dict[str, Sequence[object]] = {"drawn": range(1, MAX_DRAWN + 1), "flowfrom": tuple(names)}
    flow = _flow(badge, inputs, traced, source)
    if flow is None:
        return View(replace(inputs, drawn=most), (), options)
    row = traced.row_of(source)
    kept = traced.paths(() if row is None else (row,))
    listed = flow_through_edges(kept)
    if row is None:
        st.caption("Paths from this token were not followed, so no share of the flow is listed.")
    else:
        show_coverage(traced, (row,), vocabulary)
    graph = flow_graph(flow, listed, most)
    st.markdown(_words(traced, flow, kept, graph))
    picture = draw_flow(graph, grid_of(traced, (source,)))
    edges = [edge_pick(*edge) for edge in sorted(graph.edges, key=lambda edge: -graph.edges[edge]["weight"])]
    picks = {pick.name: pick for pick in (*edges, *map(node_pick, sorted(graph.nodes)))}
    pick = show_with_picks(picture, picks, "flow graph") if edges else None
    if pick is not None:
        show_pick(badge, inputs, traced, pick, kept, (source,))
    st.altair_chart(flow_chart(flow), width="stretch", alt="How much of the flow changes its token in each layer")
    if edges:
        st.markdown("**The drawn edges**, largest flow first. Choose a row to see it in the graph.")
        frame, columns = _table(traced, graph, [pick.nodes for pick in edges])
        pickable(frame, f"flow table {traced.run.key[:12]} {traced.sample} {source}", edges, columns)
    inputs = replace(inputs, drawn=most, pick=pick.name if pick else "", filters=chosen_filters("flowfrom"))
    offers = flow_downloads(inputs, traced, source, flow, listed, picture, graph)
    return View(inputs, offers, options | {"pick": tuple(picks)})


def _flow(badge: Badge, inputs: PathsInputs, traced: Traced, source: int) -> NDArray[np.floating] | None:
    """From T_inst as the run has it; from another token the model works it out."""
    if source == traced.info.t_inst:
        return traced.run.flow(traced.sample)
    loaded = model_at_hand(badge, inputs, traced)
    return None if loaded is None else source_flow(loaded, traced, source)


def _words(traced: Traced, flow: NDArray[np.floating], kept: Paths, graph: nx.DiGraph) -> str:
    """The whole in words, and what of it is drawn and listed."""
    total = float(np.asarray(flow[0], dtype=np.float64).sum())
    answer = float(traced.run.arrays["answer_logit"][traced.sample])
    n_edges = int(np.count_nonzero(flow))
    drawn = sum(edge["weight"] for _, _, edge in graph.edges(data=True))
    size = float(np.abs(np.asarray(flow, dtype=np.float64)).sum())
    part = drawn / size if size else None
    logits = float(kept.logits.sum())
    listed = part_words(logits / total if abs(total) >= 1e-6 else None)
    return (
        f"This token brings **{decimal(total, 3)}** of the answer’s logit of {decimal(answer, 3)}; other tokens and "
        f"biases bring the rest. Of {count(n_edges)} edges with any flow **{count(graph.number_of_edges())}** are "
        f"drawn, with {part_words(part)} of all that flows. The {count(len(kept))} listed paths from here cover "
        f"{listed} of the flow."
    )


def _table(
    traced: Traced, graph: nx.DiGraph, edges: list[tuple[tuple[int, int], ...]]
) -> tuple[pd.DataFrame, dict[str, object]]:
    tokens, number = traced.info.tokens, st.column_config.NumberColumn
    found = [graph.edges[edge] for edge in edges]
    frame = pd.DataFrame(
        {
            "layer": [edge["layer"] for edge in found],
            "from": [f"{before[1]} {visible(tokens[before[1]])}" for before, _ in edges],
            "to": [f"{after[1]} {visible(tokens[after[1]])}" for _, after in edges],
            "flow": [edge["logit"] for edge in found],
            "listed": [edge["listed"] for edge in found],
            "share": [100 * edge["listed"] / edge["logit"] for edge in found],
        }
    )
    columns: dict[str, object] = {
        "flow": number("flow (logits)", format="%+.4f"),
        "listed": number("of it on listed paths", format="%+.4f", help="Summed over the listed high-ranking paths."),
        "share": number("their share", format="%.1f%%"),
    }
    return frame, columns
