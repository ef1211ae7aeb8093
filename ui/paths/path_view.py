"""The high-ranking paths of one prompt as a graph: filters, figures, what is clicked, and the paths as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from ..text import visible
from .coverage import show_coverage
from .details import route_words, show_pick
from .files import path_downloads
from .filters import Filtered, chosen_filters, path_filters
from .graph import path_graph
from .pick import Pick, edge_pick, node_pick, path_pick, pickable
from .picture import draw_paths
from .run import Badge
from .runs import Traced
from .state import MAX_DRAWN, PathsInputs
from .view import View, grid_of, show_with_picks

__all__ = ["show_paths"]


def show_paths(badge: Badge, inputs: PathsInputs, traced: Traced, vocabulary: int | None) -> View:
    """The graph with everything around it."""
    st.subheader("Along which tokens and heads", anchor=False)
    found = path_filters(traced)
    show_coverage(traced, found.rows, vocabulary)
    st.markdown(found.words)
    sources = tuple(int(traced.run.position[row]) for row in found.rows)
    graph = path_graph(found.drawn)
    grid = grid_of(traced, tuple(dict.fromkeys(found.drawn.positions[:, 0].tolist())))
    picture = draw_paths(graph, grid, traced.run.request.max_rank)
    routes = [path_pick(positions) for positions in found.drawn.positions.tolist()]
    places = [*map(node_pick, sorted(graph.nodes)), *(edge_pick(*edge) for edge in sorted(graph.edges))]
    picks = {pick.name: pick for pick in (*routes, *places)}
    if len(found.drawn):
        pick = show_with_picks(picture, picks, "paths graph")
    else:
        pick = None
        st.info("No high-ranking path is left to draw; loosen the filters or raise k.", icon=":material/filter_alt:")
    if pick is not None:
        show_pick(badge, inputs, traced, pick, found.kept, sources)
    if len(found.drawn):
        _table(traced, found, routes)
    drawn = int(st.session_state.get("drawn", inputs.drawn))
    filters = chosen_filters("from", "upto", "head", "moves")
    inputs = replace(inputs, drawn=drawn, pick=pick.name if pick else "", filters=filters)
    offers = path_downloads(inputs, traced, found, picture, graph)
    return View(inputs, offers, {"drawn": range(1, MAX_DRAWN + 1), "pick": tuple(picks)})


def _table(traced: Traced, found: Filtered, routes: list[Pick]) -> None:
    """The drawn paths, largest logit first."""
    drawn, number = found.drawn, st.column_config.NumberColumn
    tokens = traced.info.tokens
    frame = pd.DataFrame(
        {
            "logit": drawn.logits,
            "rank": drawn.ranks,
            "from": [f"{at} {visible(tokens[at])}" for at in drawn.positions[:, 0].tolist()],
            "route": [route_words(traced, positions, drawn) for positions in drawn.positions.tolist()],
        }
    )
    columns: dict[str, Any] = {
        "logit": number(format="%+.4f", help="The answer's logit in this path alone."),
        "rank": number(format="%d", help="The answer's rank in this path alone."),
        "route": st.column_config.TextColumn("where it changes its token, and by which heads", width="large"),
    }
    st.markdown("**The drawn paths**, largest logit first. Choose a row to see it in the graph and step by step.")
    pickable(frame, f"paths table {traced.run.key[:12]} {traced.sample}", routes, columns)
