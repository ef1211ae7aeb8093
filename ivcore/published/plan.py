"""The sweeps that reproduce a published table, as the text of a plan for ``python -m ivcore precompute PLAN.toml``.

A plan is one ``[[sweep]]`` table for each stage and task, with the keys ``model`` (hub id), ``task``, ``depth``,
``samples``, ``convention``, ``device`` and ``dtype``.

Source: arXiv 2602.07930 v2, section 5: OLMo-2 1B and 7B in three stages, 100 samples a task.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ..errors import InputError
from .tables import STAGES, Table

__all__ = ["MODELS", "N_SAMPLES", "file_name", "plan", "table_plan"]

MODELS = {
    ("1B", "base"): "allenai/OLMo-2-0425-1B",
    ("1B", "sft"): "allenai/OLMo-2-0425-1B-SFT",
    ("1B", "dpo"): "allenai/OLMo-2-0425-1B-DPO",
    ("7B", "base"): "allenai/OLMo-2-1124-7B",
    ("7B", "sft"): "allenai/OLMo-2-1124-7B-SFT",
    ("7B", "dpo"): "allenai/OLMo-2-1124-7B-DPO",
}
"""Hub id for each size and stage."""

N_SAMPLES = 100


def plan(
    size: str,
    stages: Sequence[str],
    tasks: Sequence[str],
    *,
    depth: int,
    n_samples: int | Mapping[str, int] = N_SAMPLES,
    convention: str = "exact",
    device: str = "cuda",
    dtype: str = "float32",
) -> str:
    """The plan as TOML, one sweep for each stage and task.

    Args:
        size: ``1B`` or ``7B``.
        stages: some of ``base``, ``sft``, ``dpo``.
        tasks: names of tasks.
        depth: all sets of up to so many layers: 1, 2 or 3.
        n_samples: queries of every task, or for each task by name.
        convention: ``exact`` as defined, ``released`` as the code released with the paper computes it.
        device: ``auto``, ``cpu`` or ``cuda``.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``float64``.

    Raises:
        InputError: an unknown size or stage, a depth that is not 1, 2 or 3, or no sample.
    """
    for stage in stages:
        if (size, stage) not in MODELS:
            known = " and ".join(dict.fromkeys(known_size for known_size, _ in MODELS))
            raise InputError(f"No model {size!r} {stage!r} was published; there are {known}, each {', '.join(STAGES)}.")
    if depth not in (1, 2, 3):
        raise InputError(f"The depth {depth} is not possible; choose 1, 2 or 3.")
    samples = n_samples if isinstance(n_samples, Mapping) else dict.fromkeys(tasks, n_samples)
    for task in tasks:
        if samples.get(task, 0) < 1:
            raise InputError(f"{samples.get(task, 0)} samples of {task} are too few; give at least 1.")
    shared = {"convention": convention, "device": device, "dtype": dtype}
    return "\n".join(
        _sweep({"model": MODELS[size, stage], "task": task, "depth": depth, "samples": samples[task]} | shared)
        for stage in stages
        for task in tasks
    )


def table_plan(table: Table, *, available: Mapping[str, int] | None = None, convention: str = "exact") -> str | None:
    """The plan for all of a table's layer sets or tests, with a heading; None where sweeps do not make the table.

    Args:
        table: one of ``TABLES``.
        available: how many queries each task has here, where that may be fewer than the 100 of the paper.
        convention: as in ``plan``.

    Raises:
        InputError: a task has no query at all.
    """
    if table.size is None or table.depth is None:
        return None
    samples = {task: min(N_SAMPLES, (available or {}).get(task, N_SAMPLES)) for task in table.tasks}
    fewer = ", ".join(f"{task} {n}" for task, n in samples.items() if n < N_SAMPLES)
    note = f"# Samples: the paper has {N_SAMPLES} of each task; fewer are bundled of {fewer}.\n" if fewer else ""
    heading = (
        f"# Table {table.number} of arXiv 2602.07930 v2: {table.title}.\n"
        f"# Run: python -m ivcore precompute {file_name(table)}\n"
        "# Convention: 'exact' computes as the paper defines, 'released' as the code released with it.\n"
        f"{note}"
    )
    sweeps = plan(table.size, STAGES, table.tasks, depth=table.depth, n_samples=samples, convention=convention)
    return f"{heading}\n{sweeps}"


def file_name(table: Table) -> str:
    """What the plan's file is called."""
    return f"published-table-{table.number}.toml"


def _sweep(values: Mapping[str, object]) -> str:
    # JSON writes text and integers as TOML does, as long as the text is plain ASCII.
    lines = (f"{name} = {json.dumps(value)}" for name, value in values.items())
    return "\n".join(["[[sweep]]", *lines, ""])
