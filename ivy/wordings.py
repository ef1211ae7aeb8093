"""Instructions put together from names of tasks: the training-only wordings that nobody wrote one by one.

They teach two things: every name that a task may go by, and what it means that a second task is named but not wanted.
Their words are those of ``data/facts.toml``; a wording that contains a held-out paraphrase is never used (see
``corpus.trained_instructions``).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

PLAIN = (
    "State the {n} of the {k}.",
    "What is the {n} of this {k}?",
    "Given a {k}, give its {n}.",
    "{N}, please.",
    "{N} of the {k}:",
    "Write the {n}.",
    "I need the {n} of the following {k}.",
    "Your task: name the {n} of the {k}.",
    "For the {k} below, print the {n}.",
    "Tell me the {n} of it.",
    "Read the {k} and answer with the {n}.",
    "If you see a {k}, say its {n}.",
    "The {n} of the {k} is asked for.",
    "Look at the {k}. Then give the {n}.",
    "Which is the {n} of the {k}?",
    "Find the {n} for the {k} that follows.",
    "Reply with the {n} only.",
    "We would like to know the {n}.",
    "You are an expert on the {n}. Use what you know.",
    "A {k} comes in, its {n} goes out.",
    "Determine the {n} belonging to the {k}.",
    "Here is a {k}; what I want is the {n}.",
)

CONTRASTIVE = (
    "Give the {n}, not the {m}.",
    "Not the {m} but the {n} of the {k}.",
    "Instead of the {m}, give the {n}.",
    "The {n} rather than the {m}, please.",
    "Ignore the {m} and print the {n}.",
    "The {m} is not wanted; the {n} is.",
    "Do you know the {m}? Do not say it: say the {n}.",
    "I asked for the {n} and never for the {m}.",
    "You could give the {m} or the {n}; give the {n}.",
    "You could give the {n} or the {m}; give the {n}.",
    "Of the {n} and the {m}, state the first.",
    "Of the {m} and the {n}, state the second.",
    "Of the {m} and the {n}, choose the latter.",
    "Of the {n} and the {m}, choose the former.",
    "Between the {n} and the {m}, choose the {n}.",
    "Yesterday we did the {m}. Today we do the {n}.",
    "Today we do the {n}. The {m} was yesterday.",
    "Everyone else gives the {m}; you give the {n}.",
    "The {m} would be wrong. The {n} is right.",
    "The {n} is right. The {m} would be wrong.",
    "Skip the {m}; the {n} is what counts.",
    "No {m}, just the {n}.",
    "First comes the {m}, then the {n}: give the second.",
    "First comes the {n}, then the {m}: give the first.",
    "Forget the {m}. What is the {n}?",
    "Write the {n} where others write the {m}.",
    "The {n} of the {k}, and by no means the {m}.",
    "Both the {m} and the {n} exist; only the {n} is needed.",
    "Both the {n} and the {m} exist; only the {n} is needed.",
    "Leave out the {m} and keep the {n}.",
    "Keep the {n} and leave out the {m}.",
    "Whoever asks for the {m} is in the wrong room; answer with the {n}.",
    "It is not about the {m}. It is about the {n}.",
    "Think of the {m}, then put it away and give the {n}.",
    "Neither the {m} nor the {o} of the {k}: the {n}.",
    "The {n} of the {k}, neither the {m} nor the {o}.",
    "Without the {m} and without the {o}, what is the {n}?",
)

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


def assemble(rng: random.Random, kind: str, names: Sequence[str], sibling_names: Sequence[Sequence[str]]) -> str:
    """An instruction for the task called ``names``; half of the time it also names one or two of the sibling tasks."""
    n = rng.choice(names)
    if rng.random() < 0.5:
        return rng.choice(PLAIN).format(n=n, N=n[0].upper() + n[1:], k=kind)
    siblings = rng.sample(list(sibling_names), k=min(2, len(sibling_names)))
    m, o = rng.choice(siblings[0]), rng.choice(siblings[-1])
    return rng.choice(CONTRASTIVE).format(n=n, m=m, o=o, k=kind)


def vary(rng: random.Random, instruction: str) -> str:
    """The same instruction with another word for the act ("state", "give", ...) where a sentence begins with one."""
    words = instruction.split(" ")
    for i, word in enumerate(words):
        begins = i == 0 or words[i - 1][-1:] in ".:;"
        if begins and word.lower() in _ACTS and rng.random() < 0.4:
            other = rng.choice(_ACTS)
            words[i] = other.capitalize() if word[0].isupper() else other
    return " ".join(words)
