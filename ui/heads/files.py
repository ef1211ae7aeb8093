"""What the Heads page offers to download, and the commands behind it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..frame import Download
from . import runs as heads_runs
from .likeness import group_name
from .runs import Side
from .state import HeadsInputs, heads_command

__all__ = ["heads_commands", "heads_csv", "heads_downloads", "layers_csv"]


def heads_downloads(
    inputs: HeadsInputs, there: Sequence[Side], groups: Sequence[tuple[int, int]]
) -> tuple[Download, ...]:
    """The files of one result; each is made only when it is asked for."""
    offers = [Download("Maps as CSV", "heads.csv", "text/csv", lambda: heads_csv(there, inputs.threshold))]
    if len(there) == 2:
        offers.append(
            Download(
                "Layers as CSV", "heads-layers.csv", "text/csv", lambda: layers_csv(there, groups, inputs.threshold)
            )
        )
    for place, side in zip(("first", "second"), there, strict=False):
        offers.append(
            Download(f"{side.name} as JSON", f"heads-{place}.json", "application/json", partial(_document, side))
        )
    return tuple(offers)


def heads_csv(there: Sequence[Side], threshold: float) -> str:
    """One line for each side and head; what is not defined is left empty."""
    names = ["side", "model", "task", "k", "offset_from_t_inst", "n", "layer", "head", "activity", "ci_low", "ci_high"]
    names += ["active", "share_of_resamples_at_most_0.1", "chance", "excess", "p", "p_adjusted"]
    rows: list[list[object]] = []
    for side in there:
        found, wanted = heads_runs.activity(side), side.wanted
        shared: list[object] = [side.name, wanted.ref, wanted.task, wanted.top_k, wanted.offset, found.n]
        for at in np.ndindex(*found.mean.shape):
            active = int(found.mean[at] > threshold)
            numbers = [_number(values[at]) for values in (found.mean, found.low, found.high)]
            tests = [found.not_active, found.chance, found.excess, found.p, found.p_adjusted]
            rows.append([*shared, *at, *numbers, active, *(_number(values[at]) for values in tests)])
    return _table(names, rows)


def layers_csv(sides: Sequence[Side], groups: Sequence[tuple[int, int]], threshold: float) -> str:
    """Spearman, Jaccard and the circuit selector: one line for each layer or group of layers."""
    from ivcore.errors import InputError

    names = ["measure", "layers", "value", "ci_low", "ci_high", "not_defined_because"]
    rows: list[list[object]] = [
        ["spearman", layer, row.rho, row.low, row.high, row.reason]
        for layer, row in enumerate(heads_runs.agreements(*sides))
    ]
    for row in heads_runs.similarities(sides[0], sides[1], groups, threshold):
        rows.append(["jaccard", group_name(row.layers), row.value, row.low, row.high, row.undefined])
    try:
        halves = heads_runs.halves(*sides)
    except InputError:
        halves = ()
    for half in halves:
        rows.append(["likeness_between", half.layer, half.between, None, None, half.undefined])
        rows.append(["likeness_of_halves", half.layer, half.within, None, None, half.undefined])
        rows.append(["halves_less_between", half.layer, half.difference, half.low, half.high, half.undefined])
    return _table(names, rows)


def heads_commands(inputs: HeadsInputs, sides: Sequence[Side]) -> tuple[str, ...]:
    """One command for each side."""
    lines = [heads_command(inputs, side.wanted, _n_samples(side)) for side in sides]
    return tuple(dict.fromkeys(lines))


def _n_samples(side: Side) -> int:
    return len(side.request.items) if side.run is None else side.run.n_samples


def _document(side: Side) -> str:
    from ivcore.runs import heads_document

    assert side.run is not None
    return json.dumps(heads_document(side.run, side.wanted.offset), allow_nan=False, ensure_ascii=False, indent=1)


def _number(value: Any) -> float | str:
    return float(value) if np.isfinite(value) else ""


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return file.getvalue()
