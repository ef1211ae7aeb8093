"""The text of a file that a person gives: a path, or the bytes of an upload; and the rows of a CSV file."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

from ...errors import DataError, quote

__all__ = ["MAX_BYTES", "MAX_CHARACTERS", "MAX_ROWS", "csv_rows", "read_text", "shown_name"]

MAX_BYTES = 20_000_000
MAX_ROWS = 100_000
MAX_CHARACTERS = 2_000
"""In one cell, or in the text of one example."""


def shown_name(source: Path | bytes) -> str:
    """How a message calls the file."""
    return "The uploaded file" if isinstance(source, bytes) else f"The file {quote(source.name)}"


def read_text(source: Path | bytes) -> str:
    """The text of ``source`` without a byte order mark.

    Raises:
        DataError: it cannot be read, is empty, over 20 MB, not UTF-8, or holds a NUL byte.
    """
    shown = shown_name(source)
    data = source if isinstance(source, bytes) else _read(source, shown)
    if len(data) > MAX_BYTES:
        raise DataError(f"{shown} is larger than {MAX_BYTES // 1_000_000} MB; split it or leave rows out.")
    if not data:
        raise DataError(f"{shown} is empty (0 bytes); give one with a header and rows.")
    body = data.removeprefix(BOM_UTF8)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as err:
        raise DataError(
            f"{shown} is not UTF-8: {_place(data, len(data) - len(body) + err.start)} is 0x{body[err.start]:02x}; "
            "save it again with the encoding UTF-8."
        ) from err
    if (at := data.find(0)) >= 0:
        raise DataError(f"{shown} is not a text file: {_place(data, at)} is NUL; save it again as text in UTF-8.")
    return text


def _read(path: Path, shown: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) and err.strerror else "its name is no file name"
        raise DataError(f"{shown} cannot be read ({reason}); give the path of a file that you may read.") from err


def _place(data: bytes, at: int) -> str:
    """``line 3, byte 17``: the line, and the byte of the whole file, both counted from 1."""
    line = data.count(b"\n", 0, at) + 1
    return f"line {line}, byte {at + 1},"


def csv_rows(text: str, shown: str) -> Iterator[tuple[int, list[str]]]:
    """Each row of a CSV text, with the line on which it begins. Raises DataError where it cannot be read as CSV."""
    reader = csv.reader(io.StringIO(text, newline=None), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as err:
            raise DataError(
                f"{shown}, line {line}: the row cannot be read as CSV ({err}); put a text with commas or quotes in "
                f"double quotes, double each quote inside it, and keep it under {MAX_CHARACTERS:,} characters."
            ) from err
        if cells is None:
            return
        yield line, cells
