"""The published tables: a catalogue, and readers of the files in ``data``.

1. ``TABLES``: what each table shows, in words, and which models and tasks it covers.
2. ``layer_tuples``: Tables 9 to 18, the ten layer sets with the largest mean effect of each model, stage and task.
3. ``superadditivity_tests``: Tables 5 to 8.
4. ``plain_table``: any table, row by row as printed.
5. ``gap``: why a part of a table is missing.

Source: arXiv 2602.07930 v2 (CC BY 4.0), Tables 2 to 24; its Table 1 lists the tasks.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import InputError

__all__ = [
    "N_LAYERS",
    "STAGES",
    "TABLES",
    "LayerSet",
    "PlainTable",
    "Table",
    "TestRow",
    "TupleRow",
    "gap",
    "layer_tuples",
    "plain_table",
    "superadditivity_tests",
    "table",
]

LayerSet = tuple[int, ...]
"""Layers patched at once, ascending, counted from 0."""

STAGES = ("base", "sft", "dpo")
N_LAYERS = {"1B": 16, "7B": 32}
"""Layers of each size of OLMo-2."""

WORD_TASKS = ("adj_comp", "adj_ant", "anim_color", "can_fly")
BIGBENCH_TASKS = ("metaphor_boolean", "implicatures", "object_counting", "snarks")

_DATA = Path(__file__).parent / "data"
_FILES = {
    "sets": "layer_tuple_contributions.csv",
    "tests": "superadditivity_tests_as_published.csv",
    "spearman": "head_activity_spearman_k1_k2.csv",
    "between_k": "head_activity_jaccard_between_k.csv",
    "between_tasks": "head_activity_jaccard_between_tasks.csv",
    "runtimes": "runtimes_as_published.csv",
}
_METRICS = {"reciprocal_rank": "rr", "logit": "logit"}


@dataclass(frozen=True)
class Table:
    """What one table of the paper holds."""

    number: int
    kind: str
    """``sets``, ``tests``, ``spearman``, ``between_k``, ``between_tasks`` or ``runtimes``."""
    title: str
    """What it shows, in words."""
    size: str | None = None
    """``1B`` or ``7B``; None where the table names a model in each row."""
    metric: str | None = None
    """``rr`` or ``logit``: by which effect the layer sets are ranked."""
    depth: int | None = None
    """Most layers in a set."""
    tasks: tuple[str, ...] = ()
    tests_of: int | None = None
    """For a table of tests: the number of the table whose layer sets are tested."""


@dataclass(frozen=True)
class TupleRow:
    """One place in a top ten of layer sets (Tables 9 to 18)."""

    table: int
    size: str
    stage: str
    task: str
    metric: str
    """``rr`` or ``logit``."""
    n_layers: int
    """Most layers in a set of this table: 2 (singles and pairs) or 3 (triples only)."""
    place: int
    """1 is first; sets of equal printed value are in the order of their layers."""
    layers: LayerSet
    value: float
    """Mean effect over 100 samples in the metric's unit, printed to two decimals."""

    def is_ranked(self, layers: LayerSet) -> bool:
        """Whether a set of this size can be in the row's list."""
        return len(layers) in ((1, 2) if self.n_layers == 2 else (self.n_layers,))


@dataclass(frozen=True)
class TestRow:
    """The published test of one layer set (Tables 5 to 8)."""

    __test__ = False  # not a test of pytest's

    table: int
    size: str
    stage: str
    task: str
    layers: LayerSet
    t: float
    """As printed, four digits; minus infinity where all samples agree."""
    p: float
    """As printed, four digits."""


@dataclass(frozen=True)
class PlainTable:
    """A table without a type of its own."""

    number: int
    columns: tuple[str, ...]
    rows: tuple[tuple[int | float | str | None, ...], ...]
    """Cells in the order of ``columns``; numbers where they read as such, None where nothing is printed."""


def _sets(number: int, size: str, metric: str, depth: int, tasks: tuple[str, ...]) -> Table:
    what = "sets of one or two layers" if depth == 2 else "sets of three layers"
    by = {"rr": "RR", "logit": "logit"}[metric]
    on = "adjectives and animals" if tasks == WORD_TASKS else "BIG-bench tasks"
    return Table(number, "sets", f"Strongest {what} by {by}, {size}, {on}", size, metric, depth, tasks)


def _tests(number: int, of: Table) -> Table:
    on = "adjectives and animals" if of.tasks == WORD_TASKS else "BIG-bench tasks"
    title = f"Superadditivity tests of the sets in Table {of.number}, {of.size}, {on}"
    return Table(number, "tests", title, of.size, of.metric, of.depth, of.tasks, of.number)


_SETS = (
    _sets(9, "1B", "rr", 2, WORD_TASKS),
    _sets(10, "1B", "logit", 2, BIGBENCH_TASKS),
    _sets(11, "7B", "logit", 2, BIGBENCH_TASKS),
    _sets(12, "7B", "rr", 2, BIGBENCH_TASKS),
    _sets(13, "1B", "rr", 2, BIGBENCH_TASKS),
    _sets(14, "7B", "rr", 2, WORD_TASKS),
    _sets(15, "1B", "logit", 2, WORD_TASKS),
    _sets(16, "7B", "logit", 2, WORD_TASKS),
    _sets(17, "1B", "logit", 3, WORD_TASKS),
    _sets(18, "1B", "rr", 3, WORD_TASKS),
)
_HEADS = ("adj_comp", "adj_ant")

TABLES: tuple[Table, ...] = (
    *_SETS,
    _tests(5, _SETS[0]),
    _tests(6, _SETS[1]),
    _tests(7, _SETS[5]),
    _tests(8, _SETS[2]),
    Table(2, "spearman", "Head activity at k = 1 against k = 2, layer by layer, 1B", "1B", tasks=_HEADS),
    Table(3, "between_k", "Active heads at k = 1 against k = 2, 1B", "1B", tasks=_HEADS),
    Table(20, "between_k", "Active heads at k = 1 against k = 3, 1B", "1B", tasks=_HEADS),
    Table(21, "between_k", "Active heads at k = 2 against k = 3, 1B", "1B", tasks=_HEADS),
    Table(22, "between_tasks", "Active heads of one task against the other's, k = 1, 1B", "1B"),
    Table(23, "between_tasks", "Active heads of one task against the other's, k = 2, 1B", "1B"),
    Table(24, "between_tasks", "Active heads of one task against the other's, k = 3, 1B", "1B"),
    Table(4, "runtimes", "Hours that the experiments took"),
)
"""Layer sets first, then their tests, then heads and run times."""

_FAILED = "the authors say that the model failed on object counting"
_GAPS = {
    (8, "base", "object_counting"): f"Table 8 is blank for object counting on OLMo-2 7B base: {_FAILED}.",
    (11, "base", "object_counting"): f"Table 11 repeats the DPO model's column for OLMo-2 7B base: {_FAILED}.",
    (12, "base", "object_counting"): f"Table 12 repeats the DPO model's column for OLMo-2 7B base: {_FAILED}.",
}


def table(number: int) -> Table:
    """What the table holds. Raises InputError if there is no such table here."""
    found = next((entry for entry in TABLES if entry.number == number), None)
    if found is None:
        numbers = ", ".join(str(entry.number) for entry in sorted(TABLES, key=lambda entry: entry.number))
        raise InputError(f"There is no published table {number}; choose one of {numbers}.")
    return found


def gap(number: int, stage: str, task: str) -> str | None:
    """Why this part of a table is missing, in a sentence; None where it is there."""
    return _GAPS.get((number, stage, task))


@cache
def layer_tuples() -> tuple[TupleRow, ...]:
    """Tables 9 to 18 as printed, less the parts that ``gap`` names."""
    rows = (
        TupleRow(
            table=int(row["table"]),
            size=row["size"],
            stage=row["stage"],
            task=row["task"],
            metric=_METRICS[row["metric"]],
            n_layers=int(row["n_layers"]),
            place=int(row["place"]),
            layers=_layers(row["layers"]),
            value=float(row["value"]),
        )
        for row in _read("sets")
    )
    return tuple(row for row in rows if gap(row.table, row.stage, row.task) is None)


@cache
def superadditivity_tests() -> tuple[TestRow, ...]:
    """Tables 5 to 8 as printed, less the part that ``gap`` names."""
    return tuple(
        TestRow(
            table=int(row["table"]),
            size=row["size"],
            stage=row["stage"],
            task=row["task"],
            layers=_layers(row["layers"]),
            t=float(row["t"]),
            p=float(row["p"]),
        )
        for row in _read("tests")
        if gap(int(row["table"]), row["stage"], row["task"]) is None
    )


@cache
def plain_table(number: int) -> PlainTable:
    """Any table, row by row as printed, gaps included. Raises InputError if there is no such table here."""
    rows = [row for row in _read(table(number).kind) if row["table"] == str(number)]
    columns = tuple(name for name in rows[0] if name != "table")
    return PlainTable(number, columns, tuple(tuple(_cell(row[name]) for name in columns) for row in rows))


def _read(kind: str) -> list[dict[str, str]]:
    with (_DATA / _FILES[kind]).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _layers(text: str) -> LayerSet:
    """``3-7`` is (3, 7), ``3-3`` the single layer (3,)."""
    return tuple(sorted({int(part) for part in text.split("-")}))


def _cell(text: str) -> int | float | str | None:
    if text in ("", "-"):
        return None
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text
