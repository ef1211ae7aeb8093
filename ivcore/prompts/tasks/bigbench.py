"""The paper's four BIG-bench tasks, from a ``task.json`` or from the hub data set, in the paper's field layout.

1. *Text*: what stands around an example in the data set (a task prefix, ``Q:``, the list of choices, ``A:``) is left
   out, and every run of white space becomes one space.
2. *Fields*: ``Sentence 1: … Sentence 2: …`` (metaphor_boolean), ``Speaker 1: … Speaker 2: …`` (implicatures),
   ``Sentence: …`` (object_counting), ``A: … B: …`` (snarks). The query holds its fields, so ``Task.field`` is empty.
3. *Answer*: the choice with the highest score, by its name and not by its place in the list, as Y, N, A or B; for
   object_counting the number in digits.
4. A query that comes twice counts once; one that comes with two different answers is left out.

Source: arXiv 2602.07930, Table 1; BIG-bench's JSON schema (github.com/google/BIG-bench, docs/doc.md).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import DataError, quote
from .bundled import load_task
from .source import MAX_CHARACTERS, MAX_ROWS, read_text, shown_name
from .task import Task

__all__ = ["BIGBENCH_TASKS", "bigbench_task", "check_name", "load_bigbench"]


@dataclass(frozen=True)
class _Layout:
    """How an example's text is cut into fields, how they are written, and what the choices are called."""

    fields: re.Pattern[str]
    written: str
    letters: dict[str, str] | None
    """Answer by choice in lower case; None: the answer is a number in digits."""

    def query(self, text: str) -> str | None:
        """The query with its fields; None if ``text`` does not have them."""
        found = self.fields.search(text)
        return self.written.format(*found.groups()) if found else None

    def answer(self, choice: str) -> str | None:
        """The answer that ``choice`` stands for; None if for none."""
        if self.letters is None:
            return choice.strip() if re.fullmatch(r"\s*[0-9]+\s*", choice) else None
        return self.letters.get(choice.strip(" ().'\"\n").lower())


_YES_NO = {"yes": "Y", "no": "N"}
_LAYOUTS = {
    "object_counting": _Layout(re.compile(r"^(.+)$"), "Sentence: {}", None),
    "metaphor_boolean": _Layout(
        re.compile(r"^(.+?) ?<--> ?(.+)$"), "Sentence 1: {} Sentence 2: {}", {"true": "Y", "false": "N"}
    ),
    "implicatures": _Layout(
        re.compile(r"Speaker 1: ?(.+?) ?Speaker 2: ?(.+)$"), "Speaker 1: {} Speaker 2: {}", _YES_NO
    ),
    "snarks": _Layout(re.compile(r"\(a\) ?(.+?) ?\(b\) ?(.+)$", re.IGNORECASE), "A: {} B: {}", {"a": "A", "b": "B"}),
}
_AFTER = re.compile(r"\n\s*choice:.*|\n\s*A:\s*$", re.DOTALL)

BIGBENCH_TASKS = tuple(_LAYOUTS)
"""The names that ``load_bigbench`` and ``load_bigbench_hub`` take."""


def check_name(name: str) -> None:
    """Raise DataError, which lists the names, unless ``name`` is one of ``BIGBENCH_TASKS``."""
    if name not in _LAYOUTS:
        raise DataError(
            f"The BIG-bench task {quote(name)} has no layout here; choose one of {', '.join(BIGBENCH_TASKS)}. "
            "Write another task as a CSV file."
        )


def load_bigbench(source: Path | bytes, name: str) -> Task:
    """The task ``name`` from BIG-bench's own ``task.json``, with the paper's instruction.

    Raises:
        DataError: ``name`` is none of ``BIGBENCH_TASKS``; the file cannot be read, is no JSON or has no ``examples``;
            an example lacks its fields or its answer.
    """
    check_name(name)
    shown = shown_name(source)
    try:
        document = json.loads(read_text(source))
    except (ValueError, RecursionError) as err:
        raise DataError(f"{shown} is not JSON; give the file task.json of BIG-bench's task {name}.") from err
    examples = document.get("examples") if isinstance(document, dict) else None
    if not isinstance(examples, list) or not examples:
        raise DataError(f"{shown} has no list 'examples'; give the file task.json of BIG-bench's task {name}.")
    return bigbench_task(name, examples, shown)


def bigbench_task(name: str, examples: Sequence[Any], shown: str) -> Task:
    """The task of ``examples``, each a dict as in ``task.json``; ``shown`` is what messages call their source.

    Raises:
        DataError: an example lacks its fields or its answer, is too long, or there are too many; no query is left.
    """
    if len(examples) > MAX_ROWS:
        raise DataError(f"{shown} has more than {MAX_ROWS:,} examples; leave some out.")
    answers: dict[str, set[str]] = {}
    for number, example in enumerate(examples, start=1):
        query, answer = _item(name, example, f"{shown}, example {number}")
        answers.setdefault(query, set()).add(answer)
    pairs = {query: found.pop() for query, found in answers.items() if len(found) == 1}
    if not pairs:
        raise DataError(f"{shown} has no query with one answer; give the file task.json of BIG-bench's task {name}.")
    return replace(
        load_task(name), kind="bigbench", field="", queries=tuple(pairs), answers=tuple(pairs.values()), pair=None
    )


def _item(name: str, example: Any, where: str) -> tuple[str, str]:
    layout = _LAYOUTS[name]
    text = example.get("input") if isinstance(example, dict) else None
    if not isinstance(text, str) or not _is_text(text):
        raise DataError(f"{where}: there is no text 'input'; give the file task.json of BIG-bench's task {name}.")
    if len(text) > MAX_CHARACTERS:
        raise DataError(f"{where}: the text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are allowed.")
    query = layout.query(_core(text))
    if query is None:
        raise DataError(f"{where}: {quote(text)} lacks the fields of {name}, which reads {quote(layout.written)}.")
    found = {answer for choice in _choices(example) if (answer := layout.answer(choice)) is not None}
    if len(found) != 1:
        wanted = "a number in digits" if layout.letters is None else " or ".join(map(quote, layout.letters))
        raise DataError(
            f"{where}: its 'target' or best of 'target_scores' must be {wanted}; give the file task.json of "
            f"BIG-bench's task {name}."
        )
    return query, found.pop()


def _is_text(text: str) -> bool:
    """No NUL and no half of a surrogate pair, which no tokenizer takes."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _core(text: str) -> str:
    """The example itself on one line."""
    return " ".join(_AFTER.sub("", re.split(r"(?m)^[ \t]*Q:", text)[-1]).split())


def _choices(example: dict[str, Any]) -> list[str]:
    """The texts that count as right; none where the best score is shared."""
    scores = example.get("target_scores")
    if isinstance(scores, dict) and scores:
        if not all(isinstance(score, int | float) and abs(score) < math.inf for score in scores.values()):
            return []
        best = [choice for choice, score in scores.items() if score == max(scores.values())]
        return best if len(best) == 1 else []
    target = example.get("target")
    return [str(choice) for choice in (target if isinstance(target, list) else [target])]
