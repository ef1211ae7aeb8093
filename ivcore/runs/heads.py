"""Head activity read from finished traces, and its JSON document."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import InputError
from ..heads import HeadActivity, HeadUse, head_activity
from .paths import PathsRun

__all__ = ["head_use", "heads_document", "heads_lines", "sources_with"]

_ROWS_SHOWN = 15


def head_use(run: PathsRun, offset: int = 0) -> HeadUse:
    """How the prompts of a trace use their heads, from the source ``offset`` positions after T_inst.

    Raises:
        InputError: the trace has no such source, or no prompt has a high-ranking path from it.
    """
    wanted = np.array([info.t_inst + offset for info in run.samples])
    rows = np.flatnonzero(run.position == wanted[run.sample])
    if not len(rows):
        raise InputError(f"The trace has no source {offset:+d} from T_inst; trace with other sources.")
    queries = [run.request.items[sample][0] for sample in run.sample[rows].tolist()]
    return HeadUse.counted(run.head_use[rows], run.n_high_ranking[rows], run.head_chance[rows], queries)


def sources_with(offset: int) -> str:
    """The fewest named sources of which one stands ``offset`` positions after T_inst, in every prompt that has it."""
    return "t_inst" if offset == 0 else "from_t_inst" if offset > 0 else "from_before" if offset == -1 else "all"


def heads_document(run: PathsRun, offset: int = 0) -> dict[str, Any]:
    """The activity of every head at one source, JSON-ready; what is not defined is None."""
    use = head_use(run, offset)
    found = head_activity(use, seed=run.request.seed)
    return {
        "run": run.key,
        "model": dict(run.model),
        "task": run.request.task,
        "top_k": run.request.top_k,
        "max_rank": run.request.max_rank,
        "surrogate": run.request.surrogate,
        "offset_from_t_inst": offset,
        "n_samples": found.n,
        "n_left_out": use.n_left_out,
        "heads": [
            _head(found, layer, head) for layer in range(found.mean.shape[0]) for head in range(found.mean.shape[1])
        ],
        "seconds": {"trace": run.seconds},
    }


def _head(found: HeadActivity, layer: int, head: int) -> dict[str, Any]:
    at = (layer, head)
    interval = [float(found.low[at]), float(found.high[at])]
    return {
        "layer": layer,
        "head": head,
        "activity": float(found.mean[at]),
        "ci": interval if math.isfinite(interval[0]) else None,
        "not_active": float(found.not_active[at]),
        "chance": float(found.chance[at]),
        "excess": float(found.excess[at]),
        "p": _number(found.p[at]),
        "p_adjusted": _number(found.p_adjusted[at]),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def heads_lines(document: dict[str, Any]) -> list[str]:
    """The heads that exceed chance most."""
    model, left_out = document["model"], document["n_left_out"]
    lines = [
        f"{document['task']} on {model['ref']} ({model['device']}, {model['dtype']}), k = {document['top_k']}, source "
        f"T_inst{document['offset_from_t_inst']:+d}, n = {document['n_samples']}"
        + (f" ({left_out} prompts without a high-ranking path left out)" if left_out else "")
        + f", run {document['run'][:12]}",
        f"{'head':>8} {'activity':>9} {'95% interval':>16} {'by chance':>10} {'excess':>8}  p (Holm)",
    ]
    for row in sorted(document["heads"], key=lambda head: -head["excess"])[:_ROWS_SHOWN]:
        interval = "" if row["ci"] is None else f"{row['ci'][0]:.3f} to {row['ci'][1]:.3f}"
        p = "not defined" if row["p_adjusted"] is None else f"{row['p_adjusted']:.2g}"
        name = f"{row['layer']}.{row['head']}"
        lines.append(
            f"{name:>8} {row['activity']:9.3f} {interval:>16} {row['chance']:10.3f} {row['excess']:+8.3f}  {p}"
        )
    return lines
