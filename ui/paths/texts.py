"""Which bundled task a text belongs to, the next query or wording of it, and its contrastive sibling.

Queries come in the order in which runs draw them, so that the first ones are those whose paths come with the app.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ivcore.prompts.tasks import Task

__all__ = ["Texts", "first_texts", "items_of", "sibling_of", "task_of", "vary"]


@dataclass(frozen=True)
class Texts:
    """An instruction with one query and its answer."""

    instruction: str
    query: str
    answer: str


@lru_cache(maxsize=256)
def task_of(instruction: str) -> Task | None:
    """The bundled task that the instruction is a wording of."""
    from ivcore.prompts.tasks import all_task_names, load_task

    return next((task for name in all_task_names() if instruction in (task := load_task(name)).paraphrases), None)


@lru_cache(maxsize=64)
def items_of(task: str) -> tuple[tuple[str, str], ...]:
    """All (query as it stands in the prompt, answer) of a bundled task, in the order in which runs draw them."""
    from ivcore.prompts.tasks import choose_items, load_task

    found = load_task(task)
    return tuple(
        (found.prompt_text(query), answer) for query, answer in choose_items(found, len(set(found.queries)), 0)
    )


def first_texts(task: str) -> Texts:
    """The canonical instruction of a bundled task with its first query."""
    from ivcore.prompts.tasks import load_task

    return Texts(load_task(task).instruction, *items_of(task)[0])


def vary(texts: Texts, queries: int, wordings: int) -> Texts | None:
    """So many queries and wordings further on; None where the instruction is no bundled one."""
    task = task_of(texts.instruction)
    if task is None:
        return None
    items = items_of(task.name)
    at = next((i for i, (query, _) in enumerate(items) if query == texts.query), -queries)
    wording = task.paraphrases[(task.paraphrases.index(texts.instruction) + wordings) % len(task.paraphrases)]
    return Texts(wording, *items[(at + queries) % len(items)])


def sibling_of(texts: Texts) -> Texts | None:
    """The same query under the contrastive task's instruction, else under another that shares its queries."""
    from ivcore.prompts.tasks import kind_tasks, load_task

    task = task_of(texts.instruction)
    if task is None:
        return None
    names = [name for name in (task.pair, *kind_tasks(task.kind)) if name is not None and name != task.name]
    for name in names:
        answers = dict(items_of(name))
        if texts.query in answers:
            return Texts(load_task(name).instruction, texts.query, answers[texts.query])
    return None
