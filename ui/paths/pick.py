"""What in the graph is looked at closely: one path, one place or one edge, by a name that people can read.

The chooser is the single place that holds the choice, and stands in the address; clicks on the graph and rows of the
tables set it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd
import streamlit as st

from .graph import Node, row_name
from .picture import edge_id, node_id

__all__ = ["Pick", "edge_pick", "node_pick", "path_pick", "pick_chooser", "pick_named", "pick_now", "pickable"]

KEY = "pick"
"""Widget key and URL parameter."""


@dataclass(frozen=True)
class Pick:
    """A path, a place (a token after a layer) or an edge."""

    nodes: tuple[Node, ...]
    """One for a place, two for an edge, n_layers + 1 for a path."""

    @property
    def kind(self) -> str:
        """``place``, ``edge`` or ``path``."""
        return {1: "place", 2: "edge"}.get(len(self.nodes), "path")

    @property
    def name(self) -> str:
        """How the chooser and the address write it."""
        if self.kind == "place":
            ((row, at),) = self.nodes
            return f"token {at} after {row_name(row)}" if row else f"token {at} at the embedding"
        if self.kind == "edge":
            (row, j), (_, i) = self.nodes
            return f"layer {row}: {j} to {i}"
        return f"path {' '.join(str(at) for _, at in self.nodes)}"

    @property
    def drawn_as(self) -> str:
        """The name of a place or an edge in the picture."""
        return node_id(self.nodes[0]) if self.kind == "place" else edge_id(self.nodes[0], self.nodes[1])

    @property
    def drawn(self) -> dict[str, list[str]]:
        """Its nodes and edges in the picture."""
        if self.kind == "place":
            return {"nodes": [node_id(self.nodes[0])], "edges": []}
        return {"nodes": [], "edges": [edge_id(*step) for step in pairwise(self.nodes)]}


def node_pick(node: Node) -> Pick:
    """A place."""
    return Pick((node,))


def edge_pick(before: Node, after: Node) -> Pick:
    """An edge."""
    return Pick((before, after))


def path_pick(positions: Iterable[int]) -> Pick:
    """A path."""
    return Pick(tuple(enumerate(positions)))


def pick_named(picks: Mapping[str, Pick], clicked: str) -> Pick | None:
    """The pick that stands under a name of the picture (``n 3 10``, ``e 2 8 10``), if it is among ``picks``."""
    return next((pick for pick in picks.values() if pick.kind != "path" and pick.drawn_as == clicked), None)


def pick_now(picks: Mapping[str, Pick]) -> Pick | None:
    """The choice as it stands before the chooser is drawn."""
    name = st.session_state.get(KEY, st.query_params.get(KEY))
    return picks.get(str(name))


def pick_chooser(picks: Mapping[str, Pick], clicked: str | None) -> Pick | None:
    """Choose by name; ``clicked`` is what was clicked in the picture just now."""
    if clicked is not None and (pick := pick_named(picks, clicked)) is not None:
        st.session_state[KEY] = pick.name
    if st.session_state.get(KEY, None) not in (None, *picks):
        del st.session_state[KEY]
    name = st.selectbox(
        "Look closely at",
        list(picks),
        index=None,
        key=KEY,
        bind="query-params",
        placeholder="click in the graph or a row of the table, or choose here",
        help="A path, a place (a token after a layer) or an edge of the graph.",
    )
    return picks.get(name) if name else None


def pickable(frame: pd.DataFrame, name: str, picks: Sequence[Pick], columns: dict[str, Any], height: int = 320) -> None:
    """A table with one row for each of ``picks``; choosing a row chooses its pick.

    The key changes with the choice, so that the same row counts again after something else was chosen.
    """
    key = f"{name} {st.session_state.get(KEY)}"

    def take() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows and rows[0] < len(picks):
            st.session_state[KEY] = picks[rows[0]].name

    st.dataframe(
        frame,
        hide_index=True,
        height=min(height, 38 + 35 * max(1, len(frame))),
        column_config=columns,
        key=key,
        on_select=take,
        selection_mode="single-row",
    )
