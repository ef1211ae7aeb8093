"""A person's own task CSV: a header with ``query`` and one column for each subtask's answers.

Every cell is text and nothing else: one that begins with ``=``, ``+``, ``-`` or ``@`` is kept as it stands. Blank lines
and white space around a cell are left out. A query that comes twice with the same answer counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import DataError, quote
from .source import MAX_CHARACTERS, MAX_ROWS, csv_rows, read_text, shown_name
from .task import Task

__all__ = ["load_task_csv", "subtasks_of"]

_NAMES_SHOWN = 20


def subtasks_of(source: Path | bytes) -> tuple[str, ...]:
    """Names of the columns of answers, in the file's order.

    Raises:
        DataError: the file cannot be read as text, or its header has no ``query`` or no column beside it.
    """
    shown = shown_name(source)
    header = _header(_records(read_text(source), shown), shown)
    return tuple(name for name in header if name != "query")


def load_task_csv(source: Path | bytes, subtask: str, instruction: str, field: str, name: str | None = None) -> Task:
    """The task whose answers stand in the column ``subtask``.

    Args:
        source: a path, or the bytes of an upload; UTF-8 with or without byte order mark.
        subtask: the column of answers.
        instruction: the one instruction of the task.
        field: the word before a query in the prompt; empty where the queries hold their own fields.
        name: the task's name; by default the column's.

    Case counts in the answers (``Task.cased``) where any of them has a capital letter.

    Raises:
        DataError: the file is empty, over 20 MB or 100,000 rows, not UTF-8 or no CSV; the header lacks ``query`` or
            ``subtask``; a row has another width than the header; a cell is empty or over 2,000 characters; a query has
            two answers; ``instruction`` is empty.
    """
    if not instruction.strip():
        raise DataError("The instruction is empty; write what the task asks for.")
    shown = shown_name(source)
    records = _records(read_text(source), shown)
    header = _header(records, shown)
    if subtask == "query" or subtask not in header:
        raise DataError(
            f"{shown} has no column of answers {quote(subtask)}; "
            f"it has {_listed([column for column in header if column != 'query'])}."
        )
    pairs = _pairs(records, header, subtask, shown)
    return Task(
        name=name or subtask,
        kind="file",
        field=field.strip().removesuffix(":"),
        instruction=instruction,
        queries=tuple(pairs),
        answers=tuple(pairs.values()),
        paraphrases=(instruction,),
        pattern=None,
        pair=None,
        cased=any(answer != answer.lower() for answer in pairs.values()),
    )


def _records(text: str, shown: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line on which it begins."""
    for line, row in csv_rows(text, shown):
        cells = [cell.strip() for cell in row]
        if any(cells) or len(cells) > 1:
            yield line, cells


def _header(records: Iterator[tuple[int, list[str]]], shown: str) -> list[str]:
    _, header = next(records, (1, []))
    if not header:
        raise DataError(f"{shown} has no header; begin with a line such as query,answer.")
    if "query" not in header:
        raise DataError(
            f"{shown} has no column 'query'; its header has {_listed(header)}. Name the column of queries 'query' and "
            "separate columns with commas."
        )
    if "" in header:
        raise DataError(f"{shown} has a column without a name; name it or delete the comma at the header's end.")
    if twice := next((column for column in header if header.count(column) > 1), None):
        raise DataError(f"{shown} has two columns {quote(twice)}; give each column a name of its own.")
    if len(header) == 1:
        raise DataError(f"{shown} has only the column 'query'; add a column with the answers.")
    return header


def _pairs(records: Iterator[tuple[int, list[str]]], header: list[str], subtask: str, shown: str) -> dict[str, str]:
    """Answer by query, in the file's order."""
    query_at, answer_at = header.index("query"), header.index(subtask)
    pairs: dict[str, str] = {}
    for number, (line, cells) in enumerate(records, start=1):
        if number > MAX_ROWS:
            raise DataError(f"{shown} has more than {MAX_ROWS:,} rows; split it or leave rows out.")
        _check(cells, header, f"{shown}, line {line}")
        query, answer = cells[query_at], cells[answer_at]
        if pairs.setdefault(query, answer) != answer:
            raise DataError(
                f"{shown}, line {line}: the query {quote(query)} has the answer {quote(answer)} here and "
                f"{quote(pairs[query])} before; keep one of the two rows."
            )
    if not pairs:
        raise DataError(f"{shown} has a header but no rows; add a row for each query.")
    return pairs


def _check(cells: list[str], header: list[str], where: str) -> None:
    if len(cells) != len(header):
        raise DataError(
            f"{where}: {len(cells)} cells where the header has {len(header)}; give each column one value, and put a "
            "text with commas in double quotes."
        )
    for column, cell in zip(header, cells, strict=True):
        if not cell:
            raise DataError(f"{where}: the cell of column {quote(column)} is empty; fill it or delete the row.")
        if len(cell) > MAX_CHARACTERS:
            raise DataError(
                f"{where}: the cell of column {quote(column)} has {len(cell):,} characters; at most "
                f"{MAX_CHARACTERS:,} are allowed, so shorten it."
            )


def _listed(columns: list[str]) -> str:
    if not columns:
        return "none"
    rest = len(columns) - _NAMES_SHOWN
    return ", ".join(quote(column) for column in columns[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
