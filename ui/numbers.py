"""From a patch report to the rows that charts, cards and downloads show (DESIGN section 2).

1. ``set_rows``: for each patched set its measurement, its effects and its recoveries.
2. ``pair_rows``: for each pair the observed effect beside the sum of its singles; the excess is its superadditivity.
3. ``as_csv`` and ``as_json``: the same numbers as files.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ivcore.metrics import Metrics
    from ivcore.patching import PatchReport

__all__ = ["METRICS", "PairRow", "SetRow", "as_csv", "as_json", "best", "no_patch_row", "pair_rows", "set_rows"]

METRICS = ("rr", "logit", "logprob")


@dataclass(frozen=True)
class SetRow:
    """One patched set of layers."""

    layers: tuple[int, ...]
    rank: int
    rr: float
    logit: float
    logprob: float
    """In nats."""
    prob: float
    effects: Mapping[str, float]
    """Metric to patched minus target alone, in the metric's unit."""
    recoveries: Mapping[str, float | None]
    """Metric to effect over (full minus target alone); None where undefined."""


@dataclass(frozen=True)
class PairRow:
    """One pair of layers: its effect against those of its two members."""

    layers: tuple[int, int]
    observed: float
    sum_of_singles: float

    @property
    def excess(self) -> float:
        """Observed minus sum of singles: the superadditivity, in the metric's unit."""
        return self.observed - self.sum_of_singles

    @property
    def side(self) -> int:
        """1 for superadditive, -1 for less than the sum, 0 where rounding alone parts the two."""
        return 0 if abs(self.excess) < 1e-6 else 1 if self.excess > 0 else -1


def set_rows(report: PatchReport) -> tuple[SetRow, ...]:
    """One row for each patched set, in the report's order."""
    from ivcore.metrics import effect, recovery

    target, full = report.target.metrics, report.full.metrics
    return tuple(
        SetRow(
            layers=patched.layers,
            **_numbers(patched.metrics),
            effects={name: effect(patched.metrics, target, name) for name in METRICS},
            recoveries={name: recovery(patched.metrics, target, full, name) for name in METRICS},
        )
        for patched in report.patched
    )


def no_patch_row(report: PatchReport) -> SetRow:
    """The row of the empty set: the target alone, no effect."""
    zero = dict.fromkeys(METRICS, 0.0)
    return SetRow((), **_numbers(report.target.metrics), effects=zero, recoveries=dict.fromkeys(METRICS))


def pair_rows(rows: Sequence[SetRow], metric: str) -> tuple[PairRow, ...]:
    """One row for each pair whose two singles are among ``rows``, largest excess first."""
    effects = {row.layers: row.effects[metric] for row in rows}
    pairs = (
        PairRow(layers, value, effects[layers[:1]] + effects[layers[1:]])
        for layers, value in effects.items()
        if len(layers) == 2 and layers[:1] in effects and layers[1:] in effects
    )
    return tuple(sorted(pairs, key=lambda pair: -pair.excess))


def best(rows: Sequence[SetRow], metric: str) -> SetRow | None:
    """The single or pair with the largest effect; the smaller set where they tie."""
    return max(rows, key=lambda row: (row.effects[metric], -len(row.layers)), default=None)


def as_csv(report: PatchReport) -> str:
    """The report as a table: full prompt, target alone, then one line for each set."""
    file = io.StringIO()
    names = ["prompt", "layers", "rank", "rr", "logit", "logprob", "prob"]
    names += [f"effect_{name}" for name in METRICS] + [f"recovery_{name}" for name in METRICS]
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerow({"prompt": "full", **_numbers(report.full.metrics)})
    writer.writerow({"prompt": "target", **_numbers(report.target.metrics)})
    for row in set_rows(report):
        numbers = {name: getattr(row, name) for name in names[2:7]}
        effects = {f"effect_{name}": value for name, value in row.effects.items()}
        recoveries = {f"recovery_{name}": value for name, value in row.recoveries.items()}
        layers = " ".join(map(str, row.layers))
        writer.writerow({"prompt": "patched", "layers": layers, **numbers, **effects, **recoveries})
    return file.getvalue()


def as_json(report: PatchReport, model: Mapping[str, object]) -> str:
    """The report as one JSON document, with the keys of the command line's ``patch --json``."""
    prompt, answer = report.prompt, report.answer
    document: dict[str, Any] = {
        "model": dict(model),
        "prompt": {
            "instruction": prompt.instruction,
            "query": prompt.query,
            "filler": prompt.filler,
            "ids_full": list(prompt.ids_full),
            "tokens_full": list(prompt.tokens_full),
            "t_inst": prompt.t_inst,
            "t_last": prompt.t_last,
            "ids_target": list(prompt.ids_target),
            "tokens_target": list(prompt.tokens_target),
            "patch_position": prompt.patch_position,
            "warnings": [*prompt.warnings, *answer.warnings],
        },
        "answer": {"text": answer.text, "id": answer.id, "token": answer.token, "n_tokens": answer.n_tokens},
        "baseline": {"full": _measured(report.full.metrics), "target": _measured(report.target.metrics)},
        "patched": [{"layers": list(patched.layers), **_measured(patched.metrics)} for patched in report.patched],
        "seconds": {"sweep": report.seconds},
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _numbers(metrics: Metrics) -> dict[str, Any]:
    return {**_measured(metrics), "prob": metrics.prob}


def _measured(metrics: Metrics) -> dict[str, Any]:
    return {"rank": metrics.rank, "rr": metrics.rr, "logit": metrics.logit, "logprob": metrics.logprob}
