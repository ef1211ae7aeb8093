"""Instructions put together from names of tasks: the training-only wordings that nobody wrote one by one.

They teach two things: every name that a task may go by, and what it means that a second task is named but not wanted.
Frames are lines of ``data/frames``: ``{n}`` (``{N}`` with a capital) is a name of the wanted task, ``{m}`` and ``{o}``
are names of sibling tasks that are not wanted, ``{k}`` is the kind of query. Names are those of ``data/facts.toml``; a
wording that contains a held-out paraphrase is never used (see ``corpus.trained_instructions``).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_FRAMES = Path(__file__).parent / "data" / "frames"

_ACTS = (
    "state",
    "give",
    "name",
    "print",
    "write",
    "tell",
    "say",
    "report",
    "return",
    "provide",
    "supply",
    "output",
    "produce",
)


_TURNS = frozenset(
    (
        *("not", "no", "never", "nor", "neither", "without", "but", "rather", "instead", "than", "except", "unlike"),
        *("skip", "ignore", "avoid", "forget", "leave", "whereas", "only", "do", "follow", "now"),
        *("first", "second", "last", "one", "two", "a", "b"),
    )
)
"""Words that turn the meaning round, or say which of two is meant; also all that end as "isn't" does."""


@cache
def frames(name: str) -> tuple[str, ...]:
    """The frames called ``plain`` (one task named) or ``contrastive`` (siblings named but not wanted)."""
    return tuple((_FRAMES / f"{name}.txt").read_text(encoding="utf-8").splitlines())


def assemble(rng: random.Random, kind: str, names: Sequence[str], sibling_names: Sequence[Sequence[str]]) -> str:
    """An instruction for the task called ``names``; six times of ten it also names one or two of the sibling tasks."""
    n = rng.choice(names)
    if rng.random() < 0.4:
        return _fill(rng.choice(frames("plain")), kind, n)
    siblings = rng.sample(list(sibling_names), k=min(2, len(sibling_names)))
    return _fill(rng.choice(frames("contrastive")), kind, n, rng.choice(siblings[0]), rng.choice(siblings[-1]))


def _fill(frame: str, kind: str, n: str, m: str = "", o: str = "") -> str:
    if kind[0] in "aeiou":
        frame = frame.replace("a {k}", "an {k}").replace("A {k}", "An {k}")
    return frame.format(n=n, N=n[0].upper() + n[1:], m=m, o=o, k=kind)


def vary(rng: random.Random, instruction: str) -> str:
    """The same instruction with another word for the act ("state", "give", ...) where a sentence begins with one."""
    words = instruction.split(" ")
    for i, word in enumerate(words):
        begins = i == 0 or words[i - 1][-1:] in ".:;"
        if begins and word.lower() in _ACTS and rng.random() < 0.4:
            other = rng.choice(_ACTS)
            words[i] = other.capitalize() if word[0].isupper() else other
    return " ".join(words)


def disturb(rng: random.Random, instruction: str, strangers: Sequence[str]) -> str:
    """The same instruction with about one word in eight left out or replaced by one of ``strangers``.

    So that what is to be done is read from all words together, and a word never met before does not mislead. Words
    that turn the meaning round ("not", "but", ...) stay.

    Source: word dropout, Iyyer et al. 2015; random replacement, Wei and Zou 2019.
    """
    words = list[str]()
    for word in instruction.split(" "):
        bare = "".join(c for c in word.lower() if c.isalpha())
        if bare in _TURNS or bare.endswith("nt") or rng.random() >= 0.12:
            words.append(word)
        elif rng.random() < 0.5:
            words.append(rng.choice(strangers) + ("" if word[-1:].isalnum() else word[-1:]))
    return " ".join(words) or instruction
