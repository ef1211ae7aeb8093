"""Paraphrase sets: many ways to ask for one task, to be told apart from the ways to ask for others.

1. A set comes from a bundled task, a person's CSV (``index,instruction``; the index is not used), or pasted lines.
2. Two texts are the same paraphrase where their *normal forms* agree: Unicode's NFKC, case folded, white space
   collapsed, punctuation at both ends left out. Of such a group the first is kept; empty lines are left out; both
   are counted.
3. ``check_sets`` says whether sets can be compared: two to eight, of 10 to 2,000 paraphrases, none in two sets.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, quote
from .tasks import load_task
from .tasks.source import MAX_CHARACTERS, MAX_ROWS, csv_rows, read_text, shown_name

__all__ = [
    "MAX_PARAPHRASES",
    "MAX_SETS",
    "MIN_PARAPHRASES",
    "MIN_SETS",
    "ParaphraseSet",
    "check_sets",
    "load_paraphrase_csv",
    "make_set",
    "normal_form",
    "pasted_paraphrases",
    "task_paraphrases",
]

MIN_SETS, MAX_SETS = 2, 8
MIN_PARAPHRASES, MAX_PARAPHRASES = 10, 2_000
_COLUMN = "instruction"


@dataclass(frozen=True)
class ParaphraseSet:
    """The paraphrases of one class."""

    name: str
    texts: tuple[str, ...]
    """Without white space at their ends; no two have the same normal form."""
    n_empty: int = 0
    """Empty lines left out."""
    n_repeated: int = 0
    """Repetitions left out."""


def task_paraphrases(name: str) -> ParaphraseSet:
    """The paraphrases of a bundled task. Raises DataError if there is no such task."""
    return make_set(name, load_task(name).paraphrases)


def load_paraphrase_csv(source: Path | bytes, name: str | None = None) -> ParaphraseSet:
    """The column ``instruction`` of a CSV file.

    Args:
        source: a path, or the bytes of an upload; UTF-8 with or without byte order mark.
        name: of the set; by default the file's name without its ending.

    Raises:
        DataError: the file cannot be read as text or as CSV, or has no such column; a row has another width than the
            header; as ``make_set``.
    """
    shown = shown_name(source)
    called = name if name is not None else source.stem if isinstance(source, Path) else "uploaded"
    return make_set(called, _column(read_text(source), shown))


def pasted_paraphrases(text: str, name: str) -> ParaphraseSet:
    """One paraphrase a line. Raises DataError as ``make_set``."""
    return make_set(name, text.splitlines())


def make_set(name: str, texts: Iterable[str]) -> ParaphraseSet:
    """A set of ``texts`` without empty ones and repetitions.

    Raises:
        DataError: the name is empty; there are more than 2,000 texts; a text is over 2,000 characters or no text.
    """
    if not name.strip():
        raise DataError("A set of paraphrases has an empty name; name the task that they ask for.")
    kept: dict[str, str] = {}
    n_empty = n_repeated = 0
    for text in texts:
        if not (stripped := text.strip()):
            n_empty += 1
        elif (form := normal_form(stripped)) in kept:
            n_repeated += 1
        else:
            _check_text(stripped, name)
            kept[form] = stripped
            if len(kept) > MAX_PARAPHRASES:
                raise DataError(
                    f"The set {quote(name)} has more than {MAX_PARAPHRASES:,} different paraphrases; leave some out."
                )
    return ParaphraseSet(name.strip(), tuple(kept.values()), n_empty, n_repeated)


def check_sets(sets: Sequence[ParaphraseSet]) -> tuple[ParaphraseSet, ...]:
    """The sets, cleaned, where they can be compared.

    Raises:
        DataError: fewer than two sets or more than eight; two of one name; fewer than ten paraphrases in one; a
            paraphrase in two; as ``make_set``.
    """
    if not MIN_SETS <= len(sets) <= MAX_SETS:
        raise DataError(
            f"{len(sets)} set{'' if len(sets) == 1 else 's'} of paraphrases given, but {MIN_SETS} to {MAX_SETS} can be "
            f"told apart; {'add another' if len(sets) < MIN_SETS else 'leave some out'}."
        )
    cleaned = tuple(_clean_again(one) for one in sets)
    owners: dict[str, str] = {}
    for i, one in enumerate(cleaned):
        if one.name in (other.name for other in cleaned[:i]):
            raise DataError(f"Two sets are called {quote(one.name)}; give each a name of its own.")
        if len(one.texts) < MIN_PARAPHRASES:
            raise DataError(
                f"The set {quote(one.name)} has {len(one.texts)} different paraphrases; at least {MIN_PARAPHRASES} are "
                "needed to hold some out, so add more."
            )
        for text in one.texts:
            owner = owners.setdefault(normal_form(text), one.name)
            if owner != one.name:
                raise DataError(
                    f"The paraphrase {quote(text)} is in the set {quote(owner)} and in {quote(one.name)}; keep it in "
                    "one of them."
                )
    return cleaned


def normal_form(text: str) -> str:
    """What two texts share that count as the same paraphrase."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return plain.strip(string.punctuation + " ") or plain


def _clean_again(one: ParaphraseSet) -> ParaphraseSet:
    """A set made by hand is cleaned; for one made by ``make_set`` nothing changes."""
    again = make_set(one.name, one.texts)
    return ParaphraseSet(again.name, again.texts, one.n_empty + again.n_empty, one.n_repeated + again.n_repeated)


def _check_text(text: str, name: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise DataError(
            f"The paraphrase {quote(text)} of the set {quote(name)} has {len(text):,} characters; at most "
            f"{MAX_CHARACTERS:,} are allowed, so shorten it."
        )
    if any("\ud800" <= character <= "\udfff" or character == "\0" for character in text):
        raise DataError(
            f"The paraphrase {quote(text)} of the set {quote(name)} holds a character that is no text; delete it or "
            "type it again."
        )


def _column(text: str, shown: str) -> list[str]:
    """The cells of the column of instructions, empty ones included."""
    rows = csv_rows(text, shown)
    header = [cell.strip().lower() for cell in next(rows, (1, []))[1]]
    if header.count(_COLUMN) != 1:
        raise DataError(
            f"{shown} has {'no' if _COLUMN not in header else 'more than one'} column '{_COLUMN}'; begin with the line "
            f"index,{_COLUMN} and separate columns with commas."
        )
    at, cells = header.index(_COLUMN), list[str]()
    for line, row in rows:
        if row and len(row) != len(header):
            raise DataError(
                f"{shown}, line {line}: {len(row)} cells where the header has {len(header)}; put a text with commas in "
                "double quotes."
            )
        cells.append(row[at] if row else "")
        if len(cells) > MAX_ROWS:
            raise DataError(f"{shown} has more than {MAX_ROWS:,} rows; leave some out.")
    return cells
