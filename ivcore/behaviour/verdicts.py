"""EMA and IA: is an answer right, and is it of the right kind?  And whose answer is it, if not the right one?

1. *EMA* (exact match accuracy): the normalised answer equals the expected one.  Normalising takes the first line, drops
   white space and punctuation at both ends, and ignores case except where the answers are proper names.
2. *IA* (instruction adherence): the answer is of a valid kind, right or wrong (``AnswerRule``).
3. *Confusion of kinds*: how often the answer is what a sibling task asks for of the same query, among the queries on
   which the two tasks differ.

Intervals are Wilson's at 95%.

Source: arXiv 2602.07930, section 3 and Appendix C; confusion of kinds is ours.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..prompts.tasks import AnswerRule
from ..stats import Proportion, proportion

__all__ = ["Adherence", "Confusion", "Verdict", "adherence", "judge", "normalise"]


@dataclass(frozen=True)
class Verdict:
    """One answer, judged."""

    answer: str
    """Normalised."""
    exact: bool
    """EMA's criterion."""
    valid: bool
    """IA's."""
    answers: tuple[str, ...] = ()
    """Names of the sibling tasks of which it is the answer while it is not the right one."""


@dataclass(frozen=True)
class Confusion:
    """How often the answer is that of another task."""

    task: str
    share: Proportion
    """Among the samples on which the two tasks have different answers."""


@dataclass(frozen=True)
class Adherence:
    """How well a model follows one instruction."""

    ema: Proportion
    ia: Proportion
    confusions: tuple[Confusion, ...]
    """One for each sibling task, in its order."""
    verdicts: tuple[Verdict, ...]
    """One for each sample, in order."""


def normalise(text: str, *, cased: bool = False) -> str:
    """The first line of an answer without white space and punctuation at its ends; lower case unless ``cased``."""
    lines = text.strip().splitlines()
    first = lines[0].strip(string.whitespace + string.punctuation) if lines else ""
    return first if cased else first.lower()


def judge(rule: AnswerRule, answer: str, expected: str, siblings: Mapping[str, str] | None = None) -> Verdict:
    """EMA's and IA's verdict on one answer.

    Args:
        rule: what is valid, and whether case counts.
        answer: as the model wrote it.
        expected: the right answer.
        siblings: the answers of other tasks to the same query, by task.
    """
    said, right = (normalise(text, cased=rule.cased) for text in (answer, expected))
    exact = said == right
    others = {name: normalise(text, cased=rule.cased) for name, text in (siblings or {}).items()}
    whose = () if exact or not said else tuple(name for name, other in others.items() if other == said)
    return Verdict(said, exact, exact or rule.allows(said), whose)


def adherence(
    rule: AnswerRule,
    answers: Sequence[str],
    expected: Sequence[str],
    siblings: Mapping[str, Sequence[str | None]] | None = None,
) -> Adherence:
    """Judge the answers to several queries of one task.

    Args:
        rule: what is valid, and whether case counts.
        answers: as the model wrote them.
        expected: the right answers, in the same order.
        siblings: by task, its answers to the same queries; None where it has none.

    Raises:
        InputError: the lists differ in length.
    """
    columns = dict(siblings or {})
    if any(len(column) != len(answers) for column in (expected, *columns.values())):
        raise InputError(f"{len(answers)} answers need as many expected ones, and as many of every sibling task.")
    rows = [{name: text for name, column in columns.items() if (text := column[i])} for i in range(len(answers))]
    verdicts = tuple(judge(rule, said, right, row) for said, right, row in zip(answers, expected, rows, strict=True))
    return Adherence(
        proportion(sum(verdict.exact for verdict in verdicts), len(verdicts)),
        proportion(sum(verdict.valid for verdict in verdicts), len(verdicts)),
        tuple(Confusion(name, _confused(rule, name, rows, expected, verdicts)) for name in columns),
        verdicts,
    )


def _confused(
    rule: AnswerRule, name: str, rows: Sequence[Mapping[str, str]], expected: Sequence[str], verdicts: Sequence[Verdict]
) -> Proportion:
    differs = [
        name in row and normalise(row[name], cased=rule.cased) != normalise(right, cased=rule.cased)
        for row, right in zip(rows, expected, strict=True)
    ]
    hits = sum(name in verdict.answers for verdict, counts in zip(verdicts, differs, strict=True) if counts)
    return proportion(hits, sum(differs))
