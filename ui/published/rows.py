"""From a published table and the form to the rows that charts, tables and downloads show."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any

from ..text import decimal
from .form import PublishedInputs

if TYPE_CHECKING:
    from ivcore.published import PlainTable, TestRow, TupleRow

__all__ = [
    "SOURCE",
    "Records",
    "chosen_plain",
    "chosen_sets",
    "chosen_tests",
    "holding_words",
    "records_csv",
    "records_json",
    "records_of_plain",
    "records_of_sets",
    "records_of_tests",
    "t_words",
    "whole_plain",
]

SOURCE = "arXiv 2602.07930 v2, CC BY 4.0"

Records = list[dict[str, Any]]
"""Rows by column name, in the order in which they are downloaded."""


def chosen_sets(inputs: PublishedInputs) -> tuple[TupleRow, ...]:
    """The chosen top ten, first place first; empty where the paper has none."""
    from ivcore.published import layer_tuples

    wanted = (inputs.table, inputs.stage_key, inputs.task)
    rows = (row for row in layer_tuples() if (row.table, row.stage, row.task) == wanted)
    return tuple(sorted(rows, key=lambda row: row.place))


def chosen_tests(inputs: PublishedInputs) -> tuple[TestRow, ...]:
    """The chosen tests in printed order; empty where the paper has none."""
    from ivcore.published import superadditivity_tests

    wanted = (inputs.table, inputs.stage_key, inputs.task)
    return tuple(row for row in superadditivity_tests() if (row.table, row.stage, row.task) == wanted)


def chosen_plain(inputs: PublishedInputs) -> Records:
    """The chosen rows of any other table, by its columns' names."""
    rows = whole_plain(inputs.table)
    if inputs.task is not None:
        rows = [row for row in rows if row["task"] == inputs.task]
    if inputs.offset is not None:
        rows = [row for row in rows if row["offset_from_t_inst"] == inputs.offset]
    return rows


def whole_plain(number: int) -> Records:
    """All rows of a table as printed, by its columns' names."""
    from ivcore.published import plain_table

    table: PlainTable = plain_table(number)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def records_of_sets(rows: tuple[TupleRow, ...]) -> Records:
    """Published layer sets as they are downloaded."""
    return [
        {
            "table": row.table,
            "size": row.size,
            "stage": row.stage,
            "task": row.task,
            "metric": row.metric,
            "place": row.place,
            "layers": list(row.layers),
            "value": row.value,
        }
        for row in rows
    ]


def records_of_tests(rows: tuple[TestRow, ...]) -> Records:
    """Published tests as they are downloaded; minus infinity is written as text."""
    from ivcore.published import holding_counts

    return [
        {
            "table": row.table,
            "size": row.size,
            "stage": row.stage,
            "task": row.task,
            "layers": list(row.layers),
            "t": row.t if math.isfinite(row.t) else "-inf",
            "p": row.p,
            "samples_that_hold": list(holding_counts(row)),
        }
        for row in rows
    ]


def records_of_plain(inputs: PublishedInputs) -> Records:
    """The chosen rows of any other table as they are downloaded."""
    return [{"table": inputs.table, **row} for row in chosen_plain(inputs)]


def holding_words(counts: tuple[int, ...]) -> str:
    """``44 of 100``, ``0 or 100 of 100``."""
    return f"{' or '.join(map(str, counts))} of 100" if counts else "not to be told"


def records_csv(records: Records) -> str:
    """The records as a table; lists are joined by spaces."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    if records:
        writer.writerow(records[0])
        writer.writerows([_flat(value) for value in record.values()] for record in records)
    return file.getvalue()


def records_json(records: Records, title: str) -> str:
    """The records as one JSON document that names its source."""
    return json.dumps({"source": SOURCE, "title": title, "rows": records}, ensure_ascii=False, indent=1)


def _flat(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def t_words(t: float) -> str:
    """A printed t with a true minus sign."""
    return "−∞" if math.isinf(t) else decimal(t, 0 if abs(t) >= 1000 else 1)
