"""A task set: queries, their answers, and the instruction that asks for them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import DataError, quote

__all__ = ["Task", "query_text"]


@dataclass(frozen=True)
class Task:
    """A task set.

    ``queries[i]`` is answered by ``answers[i]``; ``paraphrases[0]`` is the canonical ``instruction``. ``field`` is the
    word before the query in a prompt; it is empty where a query holds its own fields. ``pattern`` is a regular
    expression for further answers of the right kind; ``pair`` names the contrastive task, if the paper has one.
    ``cased``: case counts in the answers, such as proper names.
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
                f"The task {self.name} has no query {quote(query)}; choose one of its {len(self.queries)} queries."
            ) from err

    def prompt_text(self, query: str) -> str:
        """The query part of the prompt for ``query``: ``query_text`` with this task's field."""
        return query_text(self.field, query)

    def is_valid(self, answer: str) -> bool:
        """Whether ``answer`` is of the right kind, right or wrong (the rule behind IA)."""
        return answer in self.answers or (self.pattern is not None and re.fullmatch(self.pattern, answer) is not None)


def query_text(field: str, query: str) -> str:
    """The query part of a prompt, ``Adjective: big. Answer:``.

    Without a field the query holds its own and its own full stop: ``A: I love rain. B: I love Mondays. Answer:``.
    """
    return f"{field}: {query}. Answer:" if field else f"{query} Answer:"
