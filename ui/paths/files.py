"""What the Paths page offers to download: pictures as HTML and GraphML, numbers as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..charts import as_svg
from ..frame import Download
from ..text import visible
from .charts import COUNTS, SHARES, emitters_chart, parting_chart
from .emitters import Emitter, emitters_csv, rows_csv
from .filters import Filtered
from .graph import as_graphml
from .kept import Paths
from .parting import Parting
from .picture import stand_alone
from .runs import Traced
from .state import PathsInputs

if TYPE_CHECKING:
    import networkx as nx
    from numpy.typing import NDArray

    from ivcore.runs import PathsRun

__all__ = ["flow_downloads", "pair_downloads", "path_downloads", "paths_csv", "task_downloads", "trace_json"]

Picture = dict[str, Any]
HTML, GRAPHML, CSV, JSON, SVG = "text/html", "application/xml", "text/csv", "application/json", "image/svg+xml"


def path_downloads(
    inputs: PathsInputs, traced: Traced, found: Filtered, picture: Picture, graph: nx.DiGraph
) -> tuple[Download, ...]:
    """Of the high-ranking paths; each file is made only when it is asked for."""
    tokens = traced.info.tokens
    title = f"Paths to “{visible(traced.info.answer)}”"
    lines = [*_lines(inputs, traced), f"{len(found.drawn)} of {found.high} high-ranking paths, largest logits first."]
    return (
        Download("Graph as HTML", "paths.html", HTML, lambda: stand_alone(picture, title, lines)),
        Download("GraphML", "paths.graphml", GRAPHML, lambda: as_graphml(graph, tokens)),
        Download("JSON", "paths.json", JSON, lambda: trace_json(traced)),
        Download("Paths as CSV", "paths.csv", CSV, lambda: paths_csv(traced, found.kept)),
    )


def flow_downloads(
    inputs: PathsInputs,
    traced: Traced,
    source: int,
    flow: NDArray[np.floating],
    listed: NDArray[np.floating],
    picture: Picture,
    graph: nx.DiGraph,
) -> tuple[Download, ...]:
    """Of the exact flow from one source."""
    tokens = traced.info.tokens
    title = f"Flow from token {source} to “{visible(traced.info.answer)}”"
    lines = [*_lines(inputs, traced), f"{graph.number_of_edges()} edges with the largest flow, over all paths."]

    def edges() -> str:
        names = ["layer", "from", "from_token", "to", "to_token", "flow", "listed"]
        layers, targets, starts = (axis.tolist() for axis in np.nonzero(flow))
        rows = (
            [layer, j, tokens[j], i, tokens[i], float(flow[layer, i, j]), float(listed[layer, i, j])]
            for layer, i, j in zip(layers, targets, starts, strict=True)
        )
        return _table(names, rows)

    return (
        Download("Graph as HTML", "flow.html", HTML, lambda: stand_alone(picture, title, lines)),
        Download("GraphML", "flow.graphml", GRAPHML, lambda: as_graphml(graph, tokens)),
        Download("JSON", "paths.json", JSON, lambda: trace_json(traced)),
        Download("All edges as CSV", "flow.csv", CSV, edges),
    )


def pair_downloads(
    names: tuple[str, str],
    both: tuple[Traced, Traced],
    kept: tuple[Paths, Paths],
    found: Parting,
    picture: Picture,
    graph: nx.DiGraph,
) -> tuple[Download, ...]:
    """Of two instructions."""
    first, second = both
    title = f"Paths under {names[0]} and under {names[1]}"
    lines = [
        f"{name}: “{one.run.request.instruction}” {one.run.request.items[one.sample][0]}"
        for name, one in zip(names, both, strict=True)
    ]

    def paths() -> str:
        parts = [
            [name, *row] for name, one, some in zip(names, both, kept, strict=True) for row in _path_rows(one, some)
        ]
        return _table(["instruction", *_PATH_COLUMNS], parts)

    return (
        Download("Graph as HTML", "pair.html", HTML, lambda: stand_alone(picture, title, lines)),
        Download("GraphML", "pair.graphml", GRAPHML, lambda: as_graphml(graph, first.info.tokens, first.info.t_inst)),
        Download("JSON of the first", "paths-1.json", JSON, lambda: trace_json(first)),
        Download("JSON of the second", "paths-2.json", JSON, lambda: trace_json(second)),
        Download("Paths as CSV", "pair.csv", CSV, paths),
        Download("Parting as SVG", "parting.svg", SVG, lambda: as_svg(parting_chart(found, names))),
    )


def task_downloads(
    found: Sequence[tuple[str, PathsRun, Sequence[Emitter]]], max_rank: int, chance: float | None
) -> tuple[Download, ...]:
    """Of a whole task: (stage, its run, its places)."""
    places = [(stage, one) for stage, _, one in found]
    named = [(stage, str(run.model["ref"]), one) for stage, run, one in found]

    def picture(what: str) -> str:
        return as_svg(emitters_chart(places, what, max_rank=max_rank, chance=chance), width=900)

    return (
        Download("Places as CSV", "emitters.csv", CSV, lambda: emitters_csv(named)),
        Download("Samples as CSV", "sources.csv", CSV, lambda: rows_csv([(stage, run) for stage, run, _ in found])),
        Download("Counts as SVG", "emitters.svg", SVG, lambda: picture(COUNTS)),
        Download("Shares as SVG", "emitter-shares.svg", SVG, lambda: picture(SHARES)),
    )


def trace_json(traced: Traced) -> str:
    """The document that the command line prints, of the sources that are looked at."""
    from ivcore.runs import trace_document

    document = trace_document(traced.run, traced.sample)
    positions = {int(traced.run.position[row]) for row in traced.rows}
    document["sources"] = [source for source in document["sources"] if source["position"] in positions]
    return json.dumps(document, allow_nan=False, indent=1)


_PATH_COLUMNS = ("source", "rank", "logit", "positions", "heads")


def paths_csv(traced: Traced, paths: Paths) -> str:
    """One line for each path; heads of a layer are joined by +, layers by a blank, the residual stream alone is -."""
    return _table(_PATH_COLUMNS, _path_rows(traced, paths))


def _path_rows(traced: Traced, paths: Paths) -> Iterable[list[object]]:
    for positions, rank, logit in zip(
        paths.positions.tolist(), paths.ranks.tolist(), paths.logits.tolist(), strict=True
    ):
        steps = enumerate(pairwise(positions))
        heads = ["+".join(map(str, paths.edge_heads(layer, j, i))) or "-" for layer, (j, i) in steps]
        yield [positions[0], rank, logit, " ".join(map(str, positions)), " ".join(heads)]


def _lines(inputs: PathsInputs, traced: Traced) -> list[str]:
    """What a picture that leaves the app says of itself."""
    run, request = traced.run, traced.run.request
    how = "as defined" if request.surrogate == "exact" else "as released"
    return [
        f"Instruction: {request.instruction}",
        f"Query: {request.items[traced.sample][0]}",
        f"{run.model['ref']} ({str(run.model['fingerprint'])[:12]}), k = {request.top_k}, rank at most "
        f"{request.max_rank}, {how}, {inputs.dtype}.",
    ]


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return file.getvalue()
