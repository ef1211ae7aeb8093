"""The bundled tasks: real facts, and many ways to ask for them.

A *kind* is a set of queries (adjectives, animals, ...) in one task CSV: a column ``query`` and one column for each
task's answers. Every kind serves several tasks, so that only the instruction decides which answer is right.
``data/tasks.toml`` lists the tasks, ``data/paraphrases/<task>.csv`` their instructions; row 0 is the canonical one.

Source: the tasks adj_comp, adj_ant, anim_color, can_fly and object_counting follow Table 1 of arXiv 2602.07930;
queries, answers and paraphrases are our own.
"""

from __future__ import annotations

import csv
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ivcore.errors import DataError

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Task:
    """A task set.

    ``queries[i]`` is answered by ``answers[i]``; ``paraphrases[0]`` is the canonical ``instruction``. ``pattern`` is
    a regular expression for further answers of the right kind; ``pair`` names the contrastive task, if the paper has
    one. ``cased``: the answers are proper names.
    """

    name: str
    kind: str
    field: str
    instruction: str
    queries: tuple[str, ...]
    answers: tuple[str, ...]
    paraphrases: tuple[str, ...]
    pattern: str | None
    pair: str | None
    cased: bool = False

    def answer(self, query: str) -> str:
        """The answer to ``query``. Raises DataError if the task does not have it."""
        try:
            return self.answers[self.queries.index(query)]
        except ValueError as err:
            raise DataError(
                f"The task {self.name} has no query {query!r}; choose one of its {len(self.queries)} queries."
            ) from err

    def is_valid(self, answer: str) -> bool:
        """Whether ``answer`` is of the right kind, right or wrong (the rule behind IA)."""
        return answer in self.answers or (self.pattern is not None and re.fullmatch(self.pattern, answer) is not None)


def query_text(field: str, query: str) -> str:
    """The query part of a prompt, ``Adjective: big. Answer:``."""
    return f"{field}: {query}. Answer:"


@cache
def _index() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads((DATA / "tasks.toml").read_text(encoding="utf-8"))


def task_names() -> tuple[str, ...]:
    """Names of the bundled tasks, in the order of ``tasks.toml``."""
    return tuple(_index()["tasks"])


def kind_tasks(kind: str) -> tuple[str, ...]:
    """Names of the tasks that share the queries of ``kind``."""
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
    if name not in task_names():
        raise DataError(f"There is no task {name!r}; the bundled tasks are {', '.join(task_names())}.")
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
        pattern=row.get("pattern"),
        pair=row.get("pair"),
        cased=bool(kind.get("cased", False)),
    )
