"""A plan: sweeps to compute ahead of time, as a TOML file.

::

    [[sweep]]
    model = "ivy-sft"          # a bundled name, a folder or a hub id
    task = "adj_comp"          # a bundled task
    depth = 2                  # 1, 2 or 3
    samples = 100
    convention = "exact"       # or "released"; the following may be left out too
    seed = 0
    device = "auto"
    dtype = "float32"
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, quote
from ..metrics import CONVENTIONS
from ..models import DEVICES, DTYPES
from ..patching import MAX_DEPTH
from ..prompts.tasks import Task, choose_items, load_task
from .sweep import SweepRequest

__all__ = ["PlannedSweep", "read_plan", "sweep_request"]

_LARGEST = 1_000_000
"""Bytes; a plan is a short text."""


@dataclass(frozen=True)
class PlannedSweep:
    """One line of a plan."""

    model: str
    task: str
    depth: int = 2
    samples: int = 100
    convention: str = "exact"
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"

    def request(self) -> SweepRequest:
        """The run that it asks for. Raises DataError if there is no such task or it has too few queries."""
        return sweep_request(load_task(self.task), self.samples, self.depth, self.convention, self.seed)


def sweep_request(
    task: Task, n_samples: int, depth: int, convention: str = "exact", seed: int = 0, filler: str = "bos"
) -> SweepRequest:
    """The sweep of a task's canonical instruction over ``n_samples`` of its queries, chosen by ``seed``.

    Raises:
        DataError: the task has fewer queries.
    """
    items = tuple((task.prompt_text(query), answer) for query, answer in choose_items(task, n_samples, seed))
    return SweepRequest(task.name, task.instruction, items, depth, convention, filler, seed)


def read_plan(path: Path) -> tuple[PlannedSweep, ...]:
    """The sweeps of a plan file, in order. Raises DataError, which names the entry, its fault and the remedy."""
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"The plan {quote(path.name)} is over {_LARGEST:,} bytes; split it.")
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise DataError(f"The plan {quote(str(path))} cannot be read ({err.strerror}); check its path.") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise DataError(f"The plan {quote(path.name)} is not TOML in UTF-8 ({err}); see 'precompute --help'.") from err
    rows = document.get("sweep")
    if set(document) != {"sweep"} or not isinstance(rows, list) or not rows:
        raise DataError(f"The plan {quote(path.name)} must hold [[sweep]] tables and nothing else.")
    return tuple(_planned(number, row) for number, row in enumerate(rows, start=1))


_CHOICES: dict[str, tuple[object, ...]] = {
    "depth": tuple(range(1, MAX_DEPTH + 1)),
    "convention": CONVENTIONS,
    "device": DEVICES,
    "dtype": tuple(DTYPES),
}


def _planned(number: int, row: Any) -> PlannedSweep:
    where = f"Sweep {number} of the plan"
    types = {"model": str, "task": str, "samples": int, "seed": int} | {k: type(v[0]) for k, v in _CHOICES.items()}
    if not isinstance(row, dict) or not {"model", "task"} <= set(row) <= set(types):
        raise DataError(f"{where} must name model and task, and beside them only {', '.join(sorted(types))}.")
    for name, value in row.items():
        if type(value) is not types[name] or value not in _CHOICES.get(name, (value,)):
            allowed = ", ".join(map(str, _CHOICES[name])) if name in _CHOICES else types[name].__name__
            raise DataError(f"{where} has {name} = {quote(str(value))}; it must be {allowed}.")
    planned = PlannedSweep(**row)
    if planned.samples < 1:
        raise DataError(f"{where} asks for {planned.samples} samples; ask for at least 1.")
    return planned
