"""A plan: runs to compute ahead of time, as a TOML file.

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

    [[behaviour]]
    model = "ivy-sft"
    task = "all"               # a bundled task, or all of them
    samples = 100              # or all queries of a task that has fewer
    seed = 0
    device = "auto"
    dtype = "float32"

    [[geometry]]
    model = "ivy-sft"
    tasks = ["adj_comp", "adj_ant"]
    component = "resid"        # or "attn" or "mlp"
    released = false           # also the released code's pooled probe
    seed = 0
    device = "auto"
    dtype = "float32"

    [[paths]]
    model = "ivy-sft"
    task = "adj_comp"
    top_k = 1                  # positions that each head attends to
    samples = 100
    sources = "all"            # or "t_inst", "from_t_inst", "8,9"
    max_rank = 100
    surrogate = "exact"        # or "released"
    n_listed = 10              # the high-ranking paths of so many samples are kept,
    max_listed = 200           # of each source those with the highest logits
    seed = 0
    device = "auto"
    dtype = "float32"
"""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..activations import COMPONENTS
from ..errors import DataError, quote
from ..metrics import CONVENTIONS
from ..models import DEVICES, DTYPES
from ..patching import MAX_DEPTH
from ..paths import MAX_RANK, SURROGATES
from ..prompts.paraphrases import task_paraphrases
from ..prompts.tasks import Task, all_task_names, choose_items, load_task
from .behaviour import BehaviourRequest, behaviour_request
from .geometry import GeometryRequest, geometry_request
from .paths_request import PathsRequest, paths_request
from .sweep import SweepRequest

__all__ = [
    "Planned",
    "PlannedBehaviour",
    "PlannedGeometry",
    "PlannedPaths",
    "PlannedSweep",
    "read_plan",
    "sweep_request",
    "task_paths_request",
]

EVERY_TASK = "all"

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

    @property
    def name(self) -> str:
        """Its title in lists."""
        return f"{self.model} {self.task} depth {self.depth} n {self.samples} {self.convention} {self.dtype}"

    def request(self) -> SweepRequest:
        """The run that it asks for. Raises DataError if there is no such task or it has too few queries."""
        return sweep_request(load_task(self.task), self.samples, self.depth, self.convention, self.seed)


@dataclass(frozen=True)
class PlannedBehaviour:
    """One task of a line of a plan."""

    model: str
    task: str
    samples: int = 100
    """At most."""
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """Its title in lists."""
        return f"{self.model} {self.task} behaviour n {self.samples} {self.dtype}"

    def request(self) -> BehaviourRequest:
        """The run that it asks for. Raises DataError if there is no such task."""
        task = load_task(self.task)
        return behaviour_request(task, min(self.samples, len(set(task.queries))), self.seed)


@dataclass(frozen=True)
class PlannedGeometry:
    """One line of a plan."""

    model: str
    tasks: tuple[str, ...]
    component: str = "resid"
    released: bool = False
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """Its title in lists."""
        return f"{self.model} {'+'.join(self.tasks)} geometry {self.component} {self.dtype}"

    def request(self) -> GeometryRequest:
        """The run that it asks for. Raises DataError if there is no such task or the tasks cannot be compared."""
        sets = [task_paraphrases(name) for name in self.tasks]
        return geometry_request(sets, self.component, released=self.released, seed=self.seed)


N_LISTED, MAX_LISTED = 10, 200
"""Samples of a task whose paths are kept, and paths of each source of these."""


@dataclass(frozen=True)
class PlannedPaths:
    """One line of a plan."""

    model: str
    task: str
    top_k: int = 1
    samples: int = 100
    sources: str = "all"
    max_rank: int = MAX_RANK
    surrogate: str = "exact"
    n_listed: int = N_LISTED
    max_listed: int = MAX_LISTED
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """Its title in lists."""
        shared = f"{self.model} {self.task} paths k {self.top_k} from {self.sources} n {self.samples}"
        return f"{shared} {self.surrogate} {self.dtype}"

    def request(self) -> PathsRequest:
        """The run that it asks for. Raises InputError if there is no such task or a setting is out of range."""
        return task_paths_request(
            load_task(self.task),
            self.samples,
            self.top_k,
            sources=self.sources,
            max_rank=self.max_rank,
            surrogate=self.surrogate,
            n_listed=self.n_listed,
            max_listed=self.max_listed,
            seed=self.seed,
        )


Planned = PlannedSweep | PlannedBehaviour | PlannedGeometry | PlannedPaths


def sweep_request(
    task: Task, n_samples: int, depth: int, convention: str = "exact", seed: int = 0, filler: str = "bos"
) -> SweepRequest:
    """The sweep of a task's canonical instruction over ``n_samples`` of its queries, chosen by ``seed``.

    Raises:
        DataError: the task has fewer queries.
    """
    items = tuple((task.prompt_text(query), answer) for query, answer in choose_items(task, n_samples, seed))
    return SweepRequest(task.name, task.instruction, items, depth, convention, filler, seed)


def task_paths_request(
    task: Task,
    n_samples: int,
    top_k: int,
    *,
    sources: str = "all",
    max_rank: int = MAX_RANK,
    surrogate: str = "exact",
    n_listed: int = N_LISTED,
    max_listed: int = MAX_LISTED,
    seed: int = 0,
) -> PathsRequest:
    """The trace of a task's canonical instruction over ``n_samples`` of its queries, chosen by ``seed``.

    Raises:
        DataError: the task has fewer queries.
        InputError: a setting is out of range.
    """
    items = tuple((task.prompt_text(query), answer) for query, answer in choose_items(task, n_samples, seed))
    return paths_request(
        task.instruction,
        items,
        top_k,
        task=task.name,
        sources=sources,
        max_rank=max_rank,
        surrogate=surrogate,
        n_listed=n_listed,
        max_listed=max_listed,
        seed=seed,
    )


def read_plan(path: Path) -> tuple[Planned, ...]:
    """The runs of a plan file: sweeps, then behaviour, geometry and paths, each in order.

    Raises:
        DataError: the message names the entry, its fault and the remedy.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"The plan {quote(path.name)} is over {_LARGEST:,} bytes; split it.")
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise DataError(f"The plan {quote(str(path))} cannot be read ({err.strerror}); check its path.") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise DataError(f"The plan {quote(path.name)} is not TOML in UTF-8 ({err}); see 'precompute --help'.") from err
    tables = {name: document.get(name, []) for name in _TABLES}
    if not set(document) <= set(_TABLES) or not any(tables.values()) or not all(_is_list(t) for t in tables.values()):
        raise DataError(f"The plan {quote(path.name)} must hold {_LISTED} tables and nothing else.")
    return tuple(
        planned
        for name, rows in tables.items()
        for number, row in enumerate(rows, start=1)
        for planned in _planned(name, number, row)
    )


_TABLES: dict[str, type[Planned]] = {
    "sweep": PlannedSweep,
    "behaviour": PlannedBehaviour,
    "geometry": PlannedGeometry,
    "paths": PlannedPaths,
}
_LISTED = " or ".join(f"[[{name}]]" for name in _TABLES)
_CHOICES: dict[str, tuple[object, ...]] = {
    "depth": tuple(range(1, MAX_DEPTH + 1)),
    "convention": CONVENTIONS,
    "component": COMPONENTS,
    "released": (False, True),
    "surrogate": SURROGATES,
    "device": DEVICES,
    "dtype": tuple(DTYPES),
}
_TYPES: dict[str, type] = {"model": str, "task": str, "tasks": list, "samples": int, "seed": int, "sources": str}
_TYPES |= dict.fromkeys(("top_k", "max_rank", "n_listed", "max_listed"), int)


def _is_list(table: Any) -> bool:
    return isinstance(table, list)


def _planned(table: str, number: int, row: Any) -> list[Planned]:
    where = f"{table.capitalize()} {number} of the plan"
    names = [field.name for field in fields(_TABLES[table])]
    types = _TYPES | {name: type(values[0]) for name, values in _CHOICES.items()}
    needed = [field.name for field in fields(_TABLES[table]) if field.default is MISSING]
    if not isinstance(row, dict) or not set(needed) <= set(row) <= set(names):
        raise DataError(f"{where} must name {' and '.join(needed)}, and beside them only {', '.join(sorted(names))}.")
    for name, value in row.items():
        if type(value) is not types[name] or value not in _CHOICES.get(name, (value,)):
            allowed = ", ".join(map(str, _CHOICES[name])) if name in _CHOICES else types[name].__name__
            raise DataError(f"{where} has {name} = {quote(str(value))}; it must be {allowed}.")
    if "tasks" in row:
        if not all(isinstance(task, str) for task in row["tasks"]):
            raise DataError(f"{where} has tasks that are no names; write them as texts.")
        row = row | {"tasks": tuple(row["tasks"])}
    planned = _TABLES[table](**row)
    if not isinstance(planned, PlannedGeometry) and planned.samples < 1:
        raise DataError(f"{where} asks for {planned.samples} samples; ask for at least 1.")
    if isinstance(planned, PlannedBehaviour) and planned.task == EVERY_TASK:
        return [replace(planned, task=task) for task in all_task_names()]
    return [planned]
