"""From a finished sweep to the rows that charts, tables and downloads show (DESIGN section 2).

1. ``sample_rows``: for one set, each sample's words and numbers.
2. ``sets_csv``, ``samples_csv`` and ``as_json``: the same numbers as files.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..numbers import METRICS
from .state import set_name

if TYPE_CHECKING:
    from ivcore.patching import SetEffect, Superadditivity
    from ivcore.runs import SweepRun

__all__ = ["SampleRow", "as_json", "sample_rows", "samples_csv", "sets_csv"]


@dataclass(frozen=True)
class SampleRow:
    """One sample under one patched set."""

    query: str
    answer: str
    token: str
    """The token that was measured."""
    rank_full: int
    rank_target: int
    rank_patched: int
    full: float
    """The metric with the full prompt."""
    target: float
    patched: float
    effect: float
    """``patched`` minus ``target``."""


def sample_rows(run: SweepRun, layers: tuple[int, ...], metric: str) -> tuple[SampleRow, ...]:
    """Every sample, in the run's order."""
    at, convention = run.sets.index(layers), run.request.convention
    full, target = run.full.values(metric, convention), run.target.values(metric, convention)
    patched = run.patched.values(metric, convention)[at]
    return tuple(
        SampleRow(
            query,
            answer,
            run.answer_tokens[i],
            int(run.full.rank[i]),
            int(run.target.rank[i]),
            int(run.patched.rank[at, i]),
            float(full[i]),
            float(target[i]),
            float(patched[i]),
            float(patched[i] - target[i]),
        )
        for i, (query, answer) in enumerate(run.request.items)
    )


def sets_csv(
    run: SweepRun,
    ranked: Mapping[str, Sequence[SetEffect]],
    excesses: Mapping[str, Sequence[Superadditivity]],
) -> str:
    """One line for each metric and set: mean effect, interval, recovery, and superadditivity where it has one."""
    from ivcore.stats import ratio

    names = ["metric", "layers", "n", "mean", "ci_low", "ci_high", "recovery"]
    tests = ["mean", "low", "high", "t", "p", "p_wilcoxon", "p_holm", "p_bh", "share", "undefined"]
    rows = []
    for metric, sets in ranked.items():
        span = float(run.span(metric).mean())
        tested = {row.layers: row for row in excesses.get(metric, ())}
        for row in sets:
            numbers = [row.n, row.mean, row.low, row.high, ratio(row.mean, span)]
            test = tested.get(row.layers)
            more = ["" if test is None else getattr(test, name) for name in tests]
            rows.append([metric, _spaced(row.layers), *numbers, *more])
    return _table([*names, *(f"superadditivity_{name}" for name in tests)], rows)


def samples_csv(run: SweepRun) -> str:
    """One line for each sample and set, full prompt and target alone among them: rank, RR, logit, log-probability."""
    names = ["sample", "query", "answer", "token", "prompt", "layers", "rank", *METRICS]
    convention = run.request.convention
    parts: list[tuple[str, tuple[int, ...], Any, tuple[Any, ...]]] = []
    for prompt, measures in (("full", run.full), ("target", run.target)):
        parts.append((prompt, (), measures.rank, tuple(measures.values(m, convention) for m in METRICS)))
    values = [run.patched.values(metric, convention) for metric in METRICS]
    for at, layers in enumerate(run.sets):
        parts.append(("patched", layers, run.patched.rank[at], tuple(value[at] for value in values)))
    rows = (
        [i, query, answer, run.answer_tokens[i], prompt, _spaced(layers), ranks[i], *(value[i] for value in numbers)]
        for i, (query, answer) in enumerate(run.request.items)
        for prompt, layers, ranks, numbers in parts
    )
    return _table(names, rows)


def as_json(run: SweepRun) -> str:
    """The document that ``python -m ivcore sweep --json`` prints."""
    from ivcore.runs import sweep_document

    return json.dumps(sweep_document(run), allow_nan=False, indent=1)


def _spaced(layers: tuple[int, ...]) -> str:
    return set_name(layers).replace(",", " ")


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return file.getvalue()
