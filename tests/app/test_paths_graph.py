"""Paths as a graph and as a picture: sums that can be worked out by hand, fixed places, and texts that stay texts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from ivcore.paths import Edges
from tests.app.traces import LOGITS, RANKS, ROUTES, TOKENS, make_paths, make_traced
from ui.paths import picture
from ui.paths.files import paths_csv, trace_json
from ui.paths.graph import (
    BOTH,
    FIRST,
    SECOND,
    as_graphml,
    flow_graph,
    flow_through_edges,
    pair_graph,
    path_graph,
    row_name,
)
from ui.paths.kept import Paths
from ui.paths.pick import edge_pick, node_pick, path_pick, pick_named
from ui.paths.picture import Grid, draw_flow, draw_pair, draw_paths, script, shared_script, stand_alone
from ui.paths.view import grid_of

SCRIPT = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\u2028&"


def grid(tokens: tuple[str, ...] = TOKENS, n_layers: int = 2) -> Grid:
    return Grid(dict(enumerate(tokens)), n_layers, 1, len(tokens) - 1, " small", (1,))


# ---- which paths


def test_masks_name_the_paths_that_go_there() -> None:
    paths = make_paths()
    assert paths.through_place(1, 3).tolist() == [False, True, False]
    assert paths.through_edge(1, 2, 3).tolist() == [True, False, False]
    assert paths.through_head(1, 0).tolist() == [True, True, False] and not paths.through_head(0, 0)[0]
    assert paths.moves(0).tolist() == [True, True, False]
    assert paths.from_source(1).all() and not paths.from_source(2).any()
    assert paths.edges.head_use(paths.positions).tolist() == [[1, 1], [2, 2]]
    assert paths.edge_heads(1, 3, 3) == (0, 1) and paths.edge_heads(0, 1, 1) == ()
    assert paths.strongest(2).route(0) == ROUTES[0] and paths.strongest(2).route(1) == ROUTES[1]
    assert len(paths.take(paths.ranks <= 5)) == 2


# ---- graphs


def test_edges_and_nodes_sum_their_paths() -> None:
    graph = path_graph(make_paths())
    assert set(graph.nodes) == {(row, at) for route in ROUTES for row, at in enumerate(route)}
    end = graph.nodes[2, 3]
    assert (end["n_paths"], end["logit"], end["weight"], end["best_rank"]) == (3, sum(LOGITS), 3.5, 1)
    edge = graph.edges[(0, 1), (1, 3)]
    assert (edge["logit"], edge["best_rank"], edge["heads"], edge["layer"]) == (-1.0, 5, (0,), 0)
    for layer in range(2):
        inside = [edge["logit"] for _, _, edge in graph.edges(data=True) if edge["layer"] == layer]
        assert sum(inside) == pytest.approx(sum(LOGITS)), "every layer passes on the same"


def test_the_flow_keeps_the_largest_edges_and_knows_what_paths_carry() -> None:
    traced, paths = make_traced(), make_paths()
    flow, listed = traced.run.flow(0), flow_through_edges(paths)
    assert listed[0, 2, 1] == 2.0 and listed[1, 3, 3] == -1.0 and listed.sum() == pytest.approx(2 * sum(LOGITS))
    graph = flow_graph(flow, listed, 4)
    assert {(before, after) for before, after in graph.edges} == {
        ((0, 1), (1, 2)),
        ((0, 1), (1, 3)),
        ((1, 2), (2, 3)),
        ((1, 3), (2, 3)),
    }
    assert graph.edges[(0, 1), (1, 2)]["listed"] == 2.0
    assert graph.nodes[0, 1]["logit"] == 2.0 == graph.nodes[2, 3]["logit"], "edges that are not kept count too"
    assert flow_graph(flow, listed, 300).number_of_edges() == 6, "no edge without flow"


def test_two_instructions_share_what_stands_at_the_same_offset() -> None:
    first, second = make_paths([0, 2]), make_paths([1, 2])
    graph = pair_graph(first, Paths(second.positions, second.ranks, second.logits, second.edges), (1, 1))
    whose = {(before, after): named["whose"] for before, after, named in graph.edges(data=True)}
    assert whose[(0, 0), (1, 0)] == BOTH and whose[(1, 0), (2, 2)] == BOTH
    assert whose[(0, 0), (1, 1)] == FIRST and whose[(0, 0), (1, 2)] == SECOND
    assert all(position in range(0, 3) for _, position in graph.nodes)
    moved = pair_graph(first, first, (1, 0))
    assert BOTH not in {named["whose"] for *_, named in moved.edges(data=True)}, "control: other places are not shared"


def test_graphml_reads_back() -> None:
    tokens = ("Say", ".\x00", SCRIPT, ":")
    found = nx.parse_graphml(as_graphml(path_graph(make_paths()), tokens))
    assert found.number_of_edges() == 6 and found.nodes["1 2"]["token"].startswith("</script>")
    assert found.edges["1 3", "2 3"]["heads"] == "0 1" and found.edges["0 1", "1 2"]["logit"] == 2.0
    assert as_graphml(pair_graph(make_paths([0]), make_paths([1]), (1, 1)), tokens, 1)


# ---- pictures


def test_everything_stands_at_its_place() -> None:
    drawn = draw_paths(path_graph(make_paths()), grid(), 100)
    places = {node["id"]: (node["x"], node["y"]) for node in drawn["nodes"]}
    assert len(places) == len(drawn["nodes"]), "names are different"
    columns = [places[f"x {at}"][0] for at in (1, 2, 3)]
    assert columns == sorted(set(columns)) and "x 0" not in places, "tokens before the source are left out"
    for row, at in {(row, at) for route in ROUTES for row, at in enumerate(route)}:
        assert places[f"n {row} {at}"][0] == places[f"x {at}"][0]
        assert places[f"n {row} {at}"][1] == places[f"y {row}"][1]
    heights = [places[f"y {row}"][1] for row in range(3)]
    assert heights == sorted(heights, reverse=True), "layers go up"
    widths = {edge["id"]: edge["width"] for edge in drawn["edges"]}
    assert widths["e 0 1 2"] == max(widths.values()) > widths["e 0 1 3"] > widths["e 0 1 1"] >= 1
    colors = {edge["id"]: edge["color"] for edge in drawn["edges"]}
    assert colors["e 0 1 2"] != colors["e 0 1 3"] and colors["e 0 1 2"] == drawn["legend"][0]["color"]
    assert drawn["end"] == places["x 3"][0] and json.dumps(drawn, allow_nan=False)
    labels = {node["id"]: node["label"] for node in drawn["nodes"]}
    assert "T_inst" in labels["x 1"] and "T_last" in labels["x 3"] and "␣small" in labels["answer"]
    assert labels["y 0"] == "embedding" == row_name(0) and row_name(2) == "layer 1"


@pytest.mark.parametrize(
    ("limit", "last"), [(100, "31 to 100"), (10, "4 to 10"), (2, "best rank 2"), (1, "best rank 1")]
)
def test_the_legend_ends_at_the_limit(limit: int, last: str) -> None:
    labels = [line["label"] for line in draw_paths(path_graph(make_paths()), grid(), limit)["legend"]]
    assert labels[0] == "best rank 1" and labels[-1] == last


def test_of_many_tokens_only_those_used_have_a_column() -> None:
    tokens = ("Say", ".", *["x"] * 100, ":")
    paths = Paths(
        np.array([[1, 50, 102]], dtype=np.int16),
        np.array([1]),
        np.array([1.0]),
        Edges(np.zeros((2, 1, 103, 103), bool)),
    )
    drawn = draw_paths(path_graph(paths), grid(tokens), 100)
    assert [node["id"] for node in drawn["nodes"] if node["id"].startswith("x ")] == ["x 1", "x 50", "x 102"]


def test_deep_models_fit() -> None:
    assert grid(n_layers=64).height < 2200 and grid(n_layers=8).height < 800


def test_flow_is_colored_by_its_sign_and_two_instructions_by_whose() -> None:
    traced = make_traced()
    flow = draw_flow(flow_graph(traced.run.flow(0), flow_through_edges(make_paths()), 9), grid_of(traced, (1,)))
    colors = {edge["id"]: edge["color"] for edge in flow["edges"]}
    assert colors["e 0 1 2"] == flow["legend"][0]["color"] and colors["e 0 1 3"] == flow["legend"][1]["color"]
    offsets = Grid({0: ".", 1: " big", 2: ":"}, 2, 0, 2, " small", (0,))
    pair = draw_pair(pair_graph(make_paths([0, 2]), make_paths([1, 2]), (1, 1)), offsets, ("one", "two"))
    colors = {edge["id"]: edge["color"] for edge in pair["edges"]}
    assert len({colors["e 0 0 0"], colors["e 0 0 1"], colors["e 0 0 2"]}) == 3
    assert [line["label"] for line in pair["legend"]] == ["under both", "only one", "only two"]


def test_a_file_of_its_own_asks_nobody_and_runs_no_token() -> None:
    drawn = draw_paths(path_graph(make_paths()), grid(("Say", SCRIPT, SCRIPT, ":")), 100)
    page = stand_alone(drawn, SCRIPT, [SCRIPT])
    assert not re.search(r"<(link|img|iframe|script)[^>]*\s(src|href)=", page)
    assert page.count("</script>") == 3 and "<!--" not in page
    data = re.search(r'<script type="application/json" id="picture">(.*?)</script>', page, re.DOTALL)
    assert data is not None and not set("<>&\u2028") & set(data.group(1))
    assert json.loads(data.group(1)) == json.loads(json.dumps(drawn))
    assert "sourceMappingURL" not in page and "default-src 'none'" in page
    assert "export default" in shared_script() and "new vis.Network" in shared_script()
    assert "export default" in script() and len(script()) < 3000, "what is sent with every change"


def test_the_script_never_writes_html() -> None:
    for path in Path(picture.__file__).parent.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", path.read_text())


# ---- what is picked


def test_a_pick_is_found_by_what_was_clicked() -> None:
    places = [node_pick((1, 2)), edge_pick((0, 1), (1, 2)), path_pick(ROUTES[0])]
    picks = {pick.name: pick for pick in places}
    assert len(picks) == 3 and [pick.kind for pick in places] == ["place", "edge", "path"]
    assert pick_named(picks, "n 1 2") == places[0] and pick_named(picks, "e 0 1 2") == places[1]
    assert pick_named(picks, "e 9 9 9") is None and pick_named(picks, "x 1") is None
    assert places[2].drawn == {"nodes": [], "edges": ["e 0 1 2", "e 1 2 3"]}
    assert places[0].name == "token 2 after layer 0" and places[1].name == "layer 0: 1 to 2"


# ---- files


def test_the_files_hold_the_paths() -> None:
    traced = make_traced()
    lines = paths_csv(traced, traced.paths()).splitlines()
    assert lines[0] == "source,rank,logit,positions,heads" and len(lines) == 4
    assert lines[2] == f"1,{RANKS[1]},{LOGITS[1]},1 3 3,0 0+1" and lines[3].endswith(",1 1 3,- 1")
    document = json.loads(trace_json(traced))
    assert [source["position"] for source in document["sources"]] == [1, 2]
    assert document["sources"][0]["paths"][0] == {"positions": [1, 2, 3], "heads": [[1], [0]], "rank": 1, "logit": 2.0}
