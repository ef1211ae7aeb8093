"""The bundled tasks, in two tables of ``data/tasks.toml``; ``[rules]`` there says which answers are of a right kind.

1. ``[tasks]``: tasks that the bundled models are trained on. A *kind* is a set of queries (adjectives, animals, ...) in
   one CSV file with a column ``query`` and one column for each task's answers, so that only the instruction decides
   which answer is right. ``data/paraphrases/<task>.csv`` holds the instructions; row 0 is the canonical one.
2. ``[reading]``: tasks on longer texts, which the bundled models are not trained on; each is a kind of its own, with
   one instruction and queries that hold their own fields.
"""

from __future__ import annotations

import csv
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import DataError, quote
from .task import AnswerPattern, Task

__all__ = ["DATA", "all_task_names", "answer_pattern", "kind_tasks", "load_task", "read_rows", "task_names"]

DATA = Path(__file__).parent / "data"


@cache
def _index() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads((DATA / "tasks.toml").read_text(encoding="utf-8"))


def task_names() -> tuple[str, ...]:
    """Names of the tasks that the bundled models are trained on, in the order of ``tasks.toml``."""
    return tuple(_index()["tasks"])


def all_task_names() -> tuple[str, ...]:
    """Names of all bundled tasks: ``task_names()``, then the reading tasks."""
    return (*task_names(), *_index()["reading"])


def kind_tasks(kind: str) -> tuple[str, ...]:
    """Names of the tasks that share the queries of ``kind``."""
    if kind in _index()["reading"]:
        return (kind,)
    return tuple(name for name, row in _index()["tasks"].items() if row["kind"] == kind)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header. Raises DataError on an empty cell or a row of another width."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, start=2):
        if None in row or any(value is None or not value.strip() for value in row.values()):
            raise DataError(
                f"{path.name}, line {number}: a cell is missing or empty; give every column of the header a value."
            )
    return rows


@cache
def load_task(name: str) -> Task:
    """The bundled task ``name``. Raises DataError, which lists the names, if there is none."""
    if name in _index()["reading"]:
        return _reading(name)
    if name not in task_names():
        raise DataError(f"There is no task {quote(name)}; the bundled tasks are {', '.join(all_task_names())}.")
    row = _index()["tasks"][name]
    kind = _index()["kinds"][row["kind"]]
    facts = read_rows(DATA / kind["file"])
    paraphrases = tuple(line["instruction"] for line in read_rows(DATA / "paraphrases" / f"{name}.csv"))
    return Task(
        name=name,
        kind=row["kind"],
        field=kind["field"],
        instruction=paraphrases[0],
        queries=tuple(fact["query"] for fact in facts),
        answers=tuple(fact[name] for fact in facts),
        paraphrases=paraphrases,
        pattern=answer_pattern(row["rule"]) if "rule" in row else None,
        pair=row.get("pair"),
        cased=bool(kind.get("cased", False)),
    )


def answer_pattern(name: str) -> AnswerPattern:
    """The row ``name`` of ``[rules]``. Raises DataError if there is none."""
    if name not in _index()["rules"]:
        raise DataError(f"There is no rule {quote(name)}; the rules are {', '.join(_index()['rules'])}.")
    return AnswerPattern(name, **_index()["rules"][name])


def _reading(name: str) -> Task:
    row = _index()["reading"][name]
    facts = read_rows(DATA / row["file"])
    return Task(
        name=name,
        kind=name,
        field="",
        instruction=row["instruction"],
        queries=tuple(fact["query"] for fact in facts),
        answers=tuple(fact[name] for fact in facts),
        paraphrases=(row["instruction"],),
        pattern=None,
        pair=None,
        cased=True,
    )
