"""A graph as a picture: tokens side by side, layers above one another, everything at its fixed place.

1. ``Grid``: the columns, the labels, and what is marked.
2. ``draw_paths``, ``draw_flow``, ``draw_pair``: pyvis lays the nodes and edges of vis-network out; widths by weight.
3. ``stand_alone``: the picture as one HTML file that asks nobody for anything.

Texts stay data: they reach the page as JSON and are drawn on a canvas or set as text, never read as HTML.  pyvis' own
template is not used, since it loads styles from another host and does not escape its headings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..text import and_list, count, html, signed, visible
from .graph import BOTH, FIRST, SECOND, Node, row_name

if TYPE_CHECKING:
    import networkx as nx

__all__ = [
    "Grid",
    "draw_flow",
    "draw_pair",
    "draw_paths",
    "edge_id",
    "node_id",
    "script",
    "shared_script",
    "stand_alone",
    "styles",
]

Picture = dict[str, Any]

RANKS = ((1, "#d55e00"), (3, "#e69f00"), (10, "#009e73"), (30, "#0072b2"))
"""The worst rank of each color; beyond the last the color is ``FAINT``.  Okabe and Ito's set, safe for color-blind."""
FAINT, UP, DOWN = "#8a9097", "#d55e00", "#0072b2"
INST, LAST = "#b4500a", "#0f6f68"
DARK = {"#0072b2": "#56b4e9", "#009e73": "#2fc29a", INST: "#ffab66", LAST: "#5fd3c6", "#d55e00": "#f08a3c"}
"""What stands for a color on a dark ground."""
WHOSE = {BOTH: FAINT, FIRST: UP, SECOND: DOWN}

_FEW_COLUMNS = 32
_DX, _LABEL = 78, 11
"""Width of a column, and characters of a token that fit above and below those of its neighbors."""
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Grid:
    """Where everything stands."""

    tokens: Mapping[int, str]
    """Column to token; columns are positions, or offsets from T_inst."""
    n_layers: int
    t_inst: int
    t_last: int
    answer: str
    """The answer token."""
    sources: tuple[int, ...] = ()
    """Columns where paths begin."""

    @property
    def dy(self) -> int:
        """Height of a row: lower for deep models, so that all layers fit."""
        return max(30, min(62, 640 // (self.n_layers + 1)))

    @property
    def height(self) -> int:
        """Of the whole picture, in pixels."""
        return self.dy * self.n_layers + 190

    def columns(self, graph: nx.DiGraph) -> dict[int, int]:
        """Column to place from the left: all from the first one used on, or only those used where they are many."""
        used = {position for _, position in graph.nodes} | {self.t_inst, self.t_last, *self.sources}
        shown = [at for at in self.tokens if at >= min(used)]
        if len(shown) > _FEW_COLUMNS:
            shown = [at for at in shown if at in used]
        return {at: place for place, at in enumerate(sorted(shown))}


def node_id(node: Node) -> str:
    """The name of a node in the picture."""
    return f"n {node[0]} {node[1]}"


def edge_id(before: Node, after: Node) -> str:
    """The name of an edge in the picture."""
    return f"e {before[0]} {before[1]} {after[1]}"


def draw_paths(graph: nx.DiGraph, grid: Grid, max_rank: int) -> Picture:
    """The union of paths: width by the logit through an edge, color by the best rank."""

    def told(edge: Mapping[str, Any]) -> tuple[str, str]:
        words = f"{_paths(edge['n_paths'])}, logit {signed(edge['logit'], 3)}\nbest rank {edge['best_rank']}"
        return _rank_color(edge["best_rank"]), f"{_heads(edge['heads'])}\n{words}"

    return _picture(graph, grid, told, _rank_legend(max_rank))


def draw_flow(graph: nx.DiGraph, grid: Grid) -> Picture:
    """The exact flow: width by its size, color by its sign."""

    def told(edge: Mapping[str, Any]) -> tuple[str, str]:
        words = f"flow {signed(edge['logit'], 3)} logits\nof it on listed paths {signed(edge['listed'], 3)}"
        return UP if edge["logit"] > 0 else DOWN, words

    return _picture(graph, grid, told, [(UP, "raises the answer"), (DOWN, "lowers the answer")])


def draw_pair(graph: nx.DiGraph, grid: Grid, names: tuple[str, str]) -> Picture:
    """The paths of two instructions: color by whose they are."""

    def told(edge: Mapping[str, Any]) -> tuple[str, str]:
        lines = [
            f"{name}: {_paths(edge[f'n_paths_{number}'])}, {_heads(edge[f'heads_{number}'])}"
            for number, name in enumerate(names, start=1)
            if f"n_paths_{number}" in edge
        ]
        return WHOSE[edge["whose"]], "\n".join(lines)

    legend = [(WHOSE[BOTH], "under both"), (WHOSE[FIRST], f"only {names[0]}"), (WHOSE[SECOND], f"only {names[1]}")]
    return _picture(graph, grid, told, legend)


def stand_alone(picture: Picture, title: str, lines: Sequence[str]) -> str:
    """The picture as an HTML file of its own."""
    told = "".join(f"<p>{html(line)}</p>" for line in lines)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{html(title)}</title><style>:root{{color-scheme:light dark}}body{{font:15px/1.5 system-ui,sans-serif;"
        f"margin:1.5rem;color:CanvasText;background:Canvas}}{styles()}</style></head><body><h1>{html(title)}</h1>{told}"
        f'<div id="graph"></div><script type="application/json" id="picture">{_json_in_html(picture)}</script>'
        f"<script>{_library()}</script><script>{_drawing()}\n"
        'drawPicture(document.getElementById("graph"), JSON.parse(document.getElementById("picture").textContent), '
        "() => {});</script></body></html>\n"
    )


@cache
def script() -> str:
    """The JavaScript module that shows a picture inside the app and reports clicks; ``shared_script`` draws it."""
    return (_FOLDER / "mount.js").read_text(encoding="utf-8")


@cache
def shared_script() -> str:
    """The JavaScript module with what draws pictures, the same for all of them."""
    return f"{_library()}\n{_drawing()}\n{(_FOLDER / 'share.js').read_text(encoding='utf-8')}"


@cache
def styles() -> str:
    """The few styles that a picture needs."""
    return (_FOLDER / "graph.css").read_text(encoding="utf-8")


@cache
def _library() -> str:
    """vis-network, as pyvis brings it; without the line that would make a browser look for its source map."""
    import pyvis

    file = Path(pyvis.__file__).parent / "lib" / "vis-9.1.2" / "vis-network.min.js"
    return file.read_text(encoding="utf-8").rpartition("//# sourceMappingURL")[0]


@cache
def _drawing() -> str:
    return (_FOLDER / "graph.js").read_text(encoding="utf-8")


def _picture(
    graph: nx.DiGraph,
    grid: Grid,
    told: Callable[[Mapping[str, Any]], tuple[str, str]],
    legend: Sequence[tuple[str, str]],
) -> Picture:
    """All of it for the browser; ``told`` gives an edge's color and what hovering says of it."""
    from pyvis.network import Network

    network = Network(directed=True)
    place = grid.columns(graph)
    _labels(network, grid, place)
    most = max((edge["weight"] for _, _, edge in graph.edges(data=True)), default=0.0)
    for node in graph.nodes:
        row, at = node
        network.add_node(
            node_id(node),
            label=" ",
            shape="dot",
            size=7,
            color=INST if at in grid.sources and row == 0 else FAINT,
            title=f"{row_name(row)}, token {at} “{_token(grid, at)}”",
            x=_DX * place[at],
            y=-grid.dy * row,
        )
    # Thin edges are drawn last, on top of thick ones.
    for before, after, edge in sorted(graph.edges(data=True), key=lambda found: -found[2]["weight"]):
        color, words = told(edge)
        step = f"layer {edge['layer']}: {_step(grid, before[1], after[1])}"
        width = 1.0 + 8.0 * (edge["weight"] / most) ** 0.5 if most > 0 else 1.0
        network.add_edge(
            node_id(before),
            node_id(after),
            id=edge_id(before, after),
            width=round(width, 2),
            color=color,
            title=f"{step}\n{words}",
            arrows="",
        )
    return {
        "nodes": network.nodes,
        "edges": network.edges,
        "legend": [{"color": color, "label": label} for color, label in legend],
        "dark": DARK,
        "height": grid.height,
        "end": _DX * place[grid.t_last],
        "chosen": {"nodes": [], "edges": []},
        "alt": f"{count(graph.number_of_edges())} edges between tokens and layers, from the source to the answer",
    }


def _labels(network: Any, grid: Grid, place: Mapping[int, int]) -> None:
    """Layers at the left, tokens below (every other one lower, so that they fit), the answer above."""
    for row in range(grid.n_layers + 1):
        if row in (0, grid.n_layers) or grid.dy > 40 or row % 2:
            _text(network, f"y {row}", row_name(row), -_DX, -grid.dy * row)
    for at, number in place.items():
        marks = {grid.t_inst: ("T_inst", INST), grid.t_last: ("T_last", LAST)}
        mark, color = marks.get(at, ("", ""))
        label = f"{at}\n{_cut(_token(grid, at))}" + (f"\n{mark}" if mark else "")
        _text(network, f"x {at}", label, _DX * number, 46 + 36 * (number % 2) + (9 if mark else 0), color)
    answer = f"answer\n{_cut(visible(grid.answer))}"
    _text(network, "answer", answer, _DX * place[grid.t_last], -grid.dy * grid.n_layers - 38, LAST)


def _text(network: Any, name: str, label: str, x: int, y: int, color: str = "") -> None:
    font = {"font": {"color": color}} if color else {}
    network.add_node(name, label=label, shape="text", x=x, y=y, chosen=False, **font)


def _rank_color(rank: int) -> str:
    return next((color for worst, color in RANKS if rank <= worst), FAINT)


def _rank_legend(max_rank: int) -> list[tuple[str, str]]:
    """What the colors mean, as far as ranks go."""
    legend, first = list[tuple[str, str]](), 1
    for worst, color in (*RANKS, (max_rank, FAINT)):
        last = min(worst, max_rank)
        if first <= last:
            legend.append((color, f"best rank {first}" if first == last else f"{first} to {count(last)}"))
            first = last + 1
    return legend


def _step(grid: Grid, j: int, i: int) -> str:
    here = f"{j} “{_token(grid, j)}”"
    return f"stays at {here}" if i == j else f"{here} → {i} “{_token(grid, i)}”"


def _token(grid: Grid, at: int) -> str:
    return visible(grid.tokens.get(at, ""))


def _cut(text: str) -> str:
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def _heads(heads: Sequence[int]) -> str:
    if not heads:
        return "residual stream"
    return f"head{'' if len(heads) == 1 else 's'} {and_list(heads)}"


def _paths(n: int) -> str:
    return f"{count(n)} path{'' if n == 1 else 's'}"


def _json_in_html(value: object) -> str:
    """JSON that no HTML parser takes for the end of its script, nor JavaScript for the end of a line."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
