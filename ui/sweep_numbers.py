"""From a finished sweep to the rows that charts, tables and downloads show (DESIGN section 2).

1. ``sample_rows``: for one set, each sample's words and numbers.
2. ``held_out``: the best of many sets is flattered by the samples that chose it, so it is chosen on one half of the
   samples and measured on the other, and the other way round.
3. ``sets_csv``, ``samples_csv`` and ``as_json``: the same numbers as files.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .numbers import METRICS
from .sweep_state import set_name

if TYPE_CHECKING:
    from ivcore.patching import SetEffect, Superadditivity
    from ivcore.runs import SweepRun

__all__ = ["HeldOut", "SampleRow", "as_json", "held_out", "recovery_of", "sample_rows", "samples_csv", "sets_csv"]

_FEWEST = 4
"""With fewer samples a half would be one sample."""


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


@dataclass(frozen=True)
class HeldOut:
    """A set chosen on some samples and measured on others."""

    effect: SetEffect
    """Of the chosen set, on the samples that did not choose it."""
    n_chosen_on: int
    recovery: float | None
    """On the same samples; None where it is not defined."""


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


def recovery_of(effects: NDArray[np.float64], span: NDArray[np.float64]) -> float | None:
    """Ratio of the two means; None where the denominator is under the floor."""
    from ivcore.metrics import RECOVERY_FLOOR

    whole = float(span.mean())
    return None if abs(whole) < RECOVERY_FLOOR else float(effects.mean()) / whole


def held_out(run: SweepRun, metric: str, seed: int = 0) -> tuple[HeldOut, ...]:
    """The best set of each half of the samples, measured on the other half; nothing where there are too few samples."""
    if run.n_samples < _FEWEST:
        return ()
    order = np.random.default_rng(seed).permutation(run.n_samples)
    halves = order[: run.n_samples // 2], order[run.n_samples // 2 :]
    return _cross(run, metric, *halves), _cross(run, metric, *halves[::-1])


def _cross(run: SweepRun, metric: str, choose: NDArray[np.intp], measure: NDArray[np.intp]) -> HeldOut:
    from ivcore.patching import rank_sets

    effects = run.effects(metric)
    best = int(effects[:, choose].mean(axis=1).argmax())
    (found,) = rank_sets(effects[best : best + 1, measure], run.sets[best : best + 1])
    return HeldOut(found, len(choose), recovery_of(effects[best, measure], run.span(metric)[measure]))


def sets_csv(
    run: SweepRun,
    ranked: Mapping[str, Sequence[SetEffect]],
    excesses: Mapping[str, Sequence[Superadditivity]],
) -> str:
    """One line for each metric and set: mean effect, interval, recovery, and superadditivity where it has one."""
    names = ["metric", "layers", "n", "mean", "ci_low", "ci_high", "recovery"]
    tests = ["mean", "low", "high", "t", "p", "p_wilcoxon", "p_holm", "p_bh", "share", "undefined"]
    rows = []
    for metric, sets in ranked.items():
        effects, span = run.effects(metric), run.span(metric)
        index = {layers: i for i, layers in enumerate(run.sets)}
        tested = {row.layers: row for row in excesses.get(metric, ())}
        for row in sets:
            numbers = [row.n, row.mean, row.low, row.high, recovery_of(effects[index[row.layers]], span)]
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
