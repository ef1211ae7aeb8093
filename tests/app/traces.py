"""Finished traces with made-up numbers, whose sums can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ivcore.paths import Edges
from ivcore.runs import PathsRun, SampleInfo, paths_request
from ui.paths.kept import Paths
from ui.paths.runs import Traced

__all__ = ["TOKENS", "make_paths", "make_trace", "make_traced"]

TOKENS = ("Say", ".", " big", ":")
"""T_inst is token 1."""
ROUTES = ((1, 2, 3), (1, 3, 3), (1, 1, 3))
RANKS = (1, 5, 40)
LOGITS = (2.0, -1.0, 0.5)


def make_heads() -> np.ndarray:
    """Two layers, two heads, four tokens: the edges of ``ROUTES``; 3 -> 3 in layer 1 has both heads."""
    heads = np.zeros((2, 2, 4, 4), dtype=bool)
    for layer, head, i, j in ((0, 0, 3, 1), (0, 1, 2, 1), (1, 0, 3, 2), (1, 0, 3, 3), (1, 1, 3, 3), (1, 1, 3, 1)):
        heads[layer, head, i, j] = True
    return heads


def make_paths(rows: Sequence[int] = (0, 1, 2)) -> Paths:
    """Some of three paths from token 1 to token 3."""
    chosen = list(rows)
    positions = np.array(ROUTES, dtype=np.int16)[chosen].reshape(-1, 3)
    ranks, logits = np.array(RANKS, dtype=np.int32)[chosen], np.array(LOGITS)[chosen]
    return Paths(positions, ranks, logits, Edges(make_heads()))


def make_trace(
    counts: Sequence[Sequence[tuple[int, int]]] = (((9, 3), (4, 0)),),
    *,
    first: int = 1,
    tokens: Sequence[Sequence[str]] | None = None,
    key: str = "0" * 64,
    **request: Any,
) -> PathsRun:
    """A run whose first sample keeps ``ROUTES``.

    Args:
        counts: for each sample (all paths, high-ranking ones) of the sources from position ``first`` on.
        first: the first source.
        tokens: of each sample; ``TOKENS`` unless told.
        key: of the run.
        request: changes of the request.
    """
    texts = tokens or [TOKENS] * len(counts)
    items = [(f"thing {i}:", f"answer {i}") for i in range(len(counts))]
    asked = replace(paths_request("Say.", items, 1, sources="all", n_listed=1), **request)
    rows = [(sample, first + at, *row) for sample, some in enumerate(counts) for at, row in enumerate(some)]
    sample, position, n_paths, n_high = (np.array(column) for column in zip(*rows, strict=True))
    infos = tuple(SampleInfo(tuple(some), tuple(range(len(some))), 1, 7, " small") for some in texts)
    flow = np.zeros((2, 4, 4), dtype=np.float32)
    flow[0, 1, 1], flow[0, 2, 1], flow[0, 3, 1] = 0.5, 2.5, -1.0
    flow[1, 3, 1], flow[1, 3, 2], flow[1, 3, 3] = 0.5, 2.5, -1.0
    n = len(rows)
    carried = np.array([sum(LOGITS), *[0.0] * (n - 1)])
    arrays = {
        "sample": sample.astype(np.int32),
        "position": position.astype(np.int16),
        "n_paths": n_paths.astype(np.int64),
        "n_high_ranking": n_high.astype(np.int64),
        "logit_sum": np.full(n, 3.0),
        "logit_listed": carried,
        "logit_all": np.full(n, 2.0),
        "head_use": np.zeros((n, 2, 2), dtype=np.int32),
        "answer_logit": np.full(len(counts), 4.0),
        "from_biases": np.zeros(len(counts)),
        "completeness_error": np.full(len(counts), 1e-6),
        "path_positions": np.array(ROUTES, dtype=np.int16),
        "path_rank": np.array(RANKS, dtype=np.int32),
        "path_logit": np.array(LOGITS),
        "path_row": np.zeros(3, dtype=np.int32),
        "edges_0": np.packbits(make_heads()),
        "flow_0": flow,
    }
    model = {"ref": "tiny", "family": "Tiny", "n_layers": 2, "revision": None, "fingerprint": "f" * 64}
    return PathsRun(
        key=key,
        request=asked,
        model=model | {"device": "cpu", "dtype": "float32"},
        created="2026-01-02T03:04:05+00:00",
        seconds=1.5,
        bundled=False,
        samples=infos,
        arrays=arrays,
    )


def make_traced(**changes: Any) -> Traced:
    """The first sample of such a run, with all its sources."""
    run = make_trace(**changes)
    return Traced(run, 0, tuple(run.rows_of(0).tolist()))
