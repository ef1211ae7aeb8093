"""A task set: queries, their answers, and the instruction that asks for them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import DataError, quote

__all__ = ["AnswerPattern", "AnswerRule", "Task", "query_text"]

_FEW = 6


@dataclass(frozen=True)
class AnswerPattern:
    """A class of words or numbers, such as "a word in -er"."""

    name: str
    pattern: str
    """A regular expression that the whole answer matches."""
    says: str
    """The same in words."""


@dataclass(frozen=True)
class AnswerRule:
    """Which answers are of the right kind, right or wrong: the rule behind IA."""

    options: tuple[str, ...]
    """Answers of the task itself, to whatever query."""
    pattern: AnswerPattern | None
    """Further ones."""
    cased: bool
    """Whether case counts."""

    def allows(self, answer: str) -> bool:
        """Whether ``answer``, without white space or punctuation at its ends, is of the right kind."""
        if answer in (self.options if self.cased else {option.lower() for option in self.options}):
            return True
        return self.pattern is not None and re.fullmatch(self.pattern.pattern, answer) is not None

    def in_words(self) -> str:
        """The end of the sentence "an answer of the right kind is ..."."""
        own = " or ".join(self.options) if len(self.options) <= _FEW else f"one of {len(self.options)} listed answers"
        return own if self.pattern is None else f"{own}, or {self.pattern.says}"


@dataclass(frozen=True)
class Task:
    """A task set.

    ``queries[i]`` is answered by ``answers[i]``; ``paraphrases[0]`` is the canonical ``instruction``. ``field`` is the
    word before the query in a prompt; it is empty where a query holds its own fields. ``pattern``: further
    answers of the right kind; ``pair`` names the contrastive task, if the paper has one.
    ``cased``: case counts in the answers, such as proper names.
    """

    name: str
    kind: str
    field: str
    instruction: str
    queries: tuple[str, ...]
    answers: tuple[str, ...]
    paraphrases: tuple[str, ...]
    pattern: AnswerPattern | None
    pair: str | None
    cased: bool = False

    def answer(self, query: str) -> str:
        """The answer to ``query``. Raises DataError if the task does not have it."""
        try:
            return self.answers[self.queries.index(query)]
        except ValueError as err:
            raise DataError(
                f"The task {self.name} has no query {quote(query)}; choose one of its {len(self.queries)} queries."
            ) from err

    def prompt_text(self, query: str) -> str:
        """The query part of the prompt for ``query``: ``query_text`` with this task's field."""
        return query_text(self.field, query)

    @property
    def rule(self) -> AnswerRule:
        """Which answers are of the right kind, right or wrong."""
        return AnswerRule(tuple(dict.fromkeys(self.answers)), self.pattern, self.cased)


def query_text(field: str, query: str) -> str:
    """The query part of a prompt, ``Adjective: big. Answer:``.

    Without a field the query holds its own and its own full stop: ``A: I love rain. B: I love Mondays. Answer:``.
    """
    return f"{field}: {query}. Answer:" if field else f"{query} Answer:"
