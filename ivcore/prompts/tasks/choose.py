"""Which items of a task a run takes: the first ones of a seeded shuffle."""

from __future__ import annotations

import random

from ...errors import DataError
from .task import Task

__all__ = ["choose_items"]


def choose_items(task: Task, n_samples: int, seed: int) -> tuple[tuple[str, str], ...]:
    """``n_samples`` different (query, answer) pairs: the first ones of all items, shuffled by ``seed``.

    With the same seed a smaller choice is the beginning of a larger one.

    Raises:
        DataError: ``n_samples`` is below 1, or the task has fewer different queries.
    """
    items = list({query: (query, answer) for query, answer in zip(task.queries, task.answers, strict=True)}.values())
    if not 1 <= n_samples <= len(items):
        raise DataError(
            f"{n_samples:,} samples were asked for, but the task {task.name} has {len(items):,} queries; "
            f"choose 1 to {len(items):,}."
        )
    random.Random(seed).shuffle(items)
    return tuple(items[:n_samples])
