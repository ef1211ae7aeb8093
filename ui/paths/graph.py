"""Paths as a graph: residual streams at a token after a layer, and the edges of the blocks between them.

1. ``path_graph``: the union of some paths; an edge sums what runs through it.
2. ``flow_graph``: the strongest edges of the exact flow, with the part of it that listed paths carry.
3. ``pair_graph``: the union of the paths of two prompts, positions counted from each one's T_inst.
4. ``as_graphml``: any of them as a file.

A node is (row, position): row 0 is the embedding, row l + 1 what block l puts out.  Logits are the answer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..text import visible
from .kept import Paths

if TYPE_CHECKING:
    import networkx as nx

__all__ = [
    "BOTH",
    "FIRST",
    "SECOND",
    "Node",
    "as_graphml",
    "flow_graph",
    "flow_through_edges",
    "pair_graph",
    "path_graph",
    "row_name",
]

Node = tuple[int, int]
Tally = dict[str, Any]
FIRST, SECOND, BOTH = "first only", "second only", "shared"


def path_graph(paths: Paths) -> nx.DiGraph:
    """The union of the paths.

    A node and an edge have ``n_paths``, ``logit`` (summed), ``weight`` (sum of absolute logits) and ``best_rank`` of
    the paths through them; an edge also ``layer`` and ``heads``.
    """
    import networkx as nx

    nodes: dict[Node, Tally] = {}
    edges: dict[tuple[Node, Node], Tally] = {}
    logits, ranks = paths.logits.tolist(), paths.ranks.tolist()
    for positions, logit, rank in zip(paths.positions.tolist(), logits, ranks, strict=True):
        places = list(enumerate(positions))
        for place in places:
            nodes[place] = _one_more(nodes.get(place), logit, rank)
        for step in pairwise(places):
            edges[step] = _one_more(edges.get(step), logit, rank)
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes.items())
    for ((layer, j), (row, i)), tally in edges.items():
        graph.add_edge((layer, j), (row, i), **tally, layer=layer, heads=paths.edge_heads(layer, j, i))
    return graph


def flow_graph(flow: NDArray[np.floating], listed: NDArray[np.floating], most: int) -> nx.DiGraph:
    """The ``most`` edges with the largest flow, up or down.

    Args:
        flow: shape (n_layers, n_tokens, n_tokens) as [l, i, j].
        listed: the part that listed paths carry, the same shape.
        most: edges that are kept.

    Returns:
        Edges with ``logit``, ``weight``, ``listed`` and ``layer``; nodes with the ``logit`` of all edges that leave
        them (of the last row: that enter), kept or not.
    """
    import networkx as nx

    graph = nx.DiGraph()
    order = np.argsort(-np.abs(flow), axis=None, kind="stable")[:most]
    n_layers = len(flow)
    leaving = np.concatenate([flow.sum(axis=1), flow[-1:].sum(axis=2)])
    for layer, i, j in zip(*(axis.tolist() for axis in np.unravel_index(order, flow.shape)), strict=True):
        logit = float(flow[layer, i, j])
        if logit == 0.0:
            break
        for row, position in ((layer, j), (layer + 1, i)):
            graph.add_node((row, position), logit=float(leaving[min(row, n_layers), position]))
        named = {"logit": logit, "weight": abs(logit), "listed": float(listed[layer, i, j]), "layer": layer}
        graph.add_edge((layer, j), (layer + 1, i), **named)
    return graph


def flow_through_edges(paths: Paths) -> NDArray[np.float64]:
    """The logit that the paths carry through each edge: shape (n_layers, n_tokens, n_tokens) as [l, i, j]."""
    n_layers, n_tokens = paths.edges.n_layers, paths.edges.n_tokens
    carried = np.zeros((n_layers, n_tokens, n_tokens))
    for layer in range(n_layers):
        np.add.at(carried[layer], (paths.positions[:, layer + 1], paths.positions[:, layer]), paths.logits)
    return carried


def pair_graph(first: Paths, second: Paths, t_inst: tuple[int, int]) -> nx.DiGraph:
    """The union of both; nodes are (row, position as offset from T_inst).

    Edges have ``whose`` (one of ``BOTH``, ``FIRST``, ``SECOND``), ``layer``, ``weight``, and for each of the two
    ``n_paths``, ``logit`` and ``heads`` as ``n_paths_1``, ``n_paths_2`` and so on.
    """
    import networkx as nx

    graph = nx.DiGraph()
    for number, (paths, inst) in enumerate(zip((first, second), t_inst, strict=True), start=1):
        for before, after, edge in path_graph(paths).edges(data=True):
            ends = tuple((row, position - inst) for row, position in (before, after))
            known = graph.get_edge_data(*ends, default={})
            named = {f"{name}_{number}": edge[name] for name in ("n_paths", "logit", "heads")}
            whose = BOTH if known else (FIRST if number == 1 else SECOND)
            weight = known.get("weight", 0.0) + edge["weight"]
            graph.add_edge(*ends, **named, whose=whose, weight=weight, layer=edge["layer"])
    return graph


def row_name(row: int) -> str:
    """What a row of the graph is: ``embedding`` or ``layer 3``."""
    return "embedding" if row == 0 else f"layer {row - 1}"


def as_graphml(graph: nx.DiGraph, tokens: Sequence[str], first: int = 0) -> str:
    """The graph as GraphML; ``first`` is the position that 0 stands for in it."""
    import networkx as nx

    plain = nx.DiGraph()
    for (row, position), named in graph.nodes(data=True):
        at = position + first
        token = visible(tokens[at]) if 0 <= at < len(tokens) else ""
        plain.add_node(f"{row} {position}", row=row, position=position, token=token, **named)
    for before, after, named in graph.edges(data=True):
        told = {key: " ".join(map(str, value)) if isinstance(value, tuple) else value for key, value in named.items()}
        plain.add_edge(" ".join(map(str, before)), " ".join(map(str, after)), **told)
    return "\n".join(nx.generate_graphml(plain))


def _one_more(tally: Tally | None, logit: float, rank: int) -> Tally:
    """One more path through a node or an edge."""
    known = tally or {"n_paths": 0, "logit": 0.0, "weight": 0.0, "best_rank": rank}
    return {
        "n_paths": known["n_paths"] + 1,
        "logit": known["logit"] + logit,
        "weight": known["weight"] + abs(logit),
        "best_rank": min(known["best_rank"], rank),
    }
