"""The text of a file that a person gives: a path, or the bytes of an upload."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path

from ...errors import DataError, quote

__all__ = ["MAX_BYTES", "MAX_CHARACTERS", "MAX_ROWS", "read_text", "shown_name"]

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
