"""Sentences that list objects somebody has, with what there is to know about each list.

The sentences serve the tasks ``object_counting``, ``first_object`` and ``last_object``: one
query ("I have a chair, two apples and a cup"), three questions, and only the instruction
tells which of them is asked.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Sentence", "make_sentences"]

MAX_COUNT = 8
"""The largest number of objects in one sentence; every count from 1 up to it is as frequent."""

# Where a sentence can hold an item in the plural (all but those with one object), how often it
# does. It makes about a third of all sentences.
_PLURAL_SHARE = 0.4

# Draws at one count before a larger one is tried: short sentences run out first.
_MAX_DRAWS = 100

_NUMBER_WORDS = {2: "two", 3: "three"}

# Singular and plural. Small things, so that any opening suits any of them; none is also a place
# or a container in an opening; the first letter decides between "a" and "an" for all of them.
_OBJECTS: tuple[tuple[str, str], ...] = (
    ("acorn", "acorns"),
    ("album", "albums"),
    ("apple", "apples"),
    ("apron", "aprons"),
    ("axe", "axes"),
    ("ball", "balls"),
    ("banana", "bananas"),
    ("bell", "bells"),
    ("belt", "belts"),
    ("blanket", "blankets"),
    ("book", "books"),
    ("bottle", "bottles"),
    ("bowl", "bowls"),
    ("brush", "brushes"),
    ("bucket", "buckets"),
    ("button", "buttons"),
    ("camera", "cameras"),
    ("candle", "candles"),
    ("carrot", "carrots"),
    ("chair", "chairs"),
    ("cherry", "cherries"),
    ("clock", "clocks"),
    ("coat", "coats"),
    ("coin", "coins"),
    ("cup", "cups"),
    ("doll", "dolls"),
    ("drum", "drums"),
    ("egg", "eggs"),
    ("envelope", "envelopes"),
    ("eraser", "erasers"),
    ("feather", "feathers"),
    ("flute", "flutes"),
    ("fork", "forks"),
    ("glove", "gloves"),
    ("guitar", "guitars"),
    ("hammer", "hammers"),
    ("hat", "hats"),
    ("key", "keys"),
    ("kite", "kites"),
    ("knife", "knives"),
    ("lamp", "lamps"),
    ("lemon", "lemons"),
    ("map", "maps"),
    ("mirror", "mirrors"),
    ("mug", "mugs"),
    ("needle", "needles"),
    ("notebook", "notebooks"),
    ("onion", "onions"),
    ("orange", "oranges"),
    ("peach", "peaches"),
    ("pen", "pens"),
    ("pencil", "pencils"),
    ("pillow", "pillows"),
    ("plate", "plates"),
    ("potato", "potatoes"),
    ("ring", "rings"),
    ("rope", "ropes"),
    ("shirt", "shirts"),
    ("spoon", "spoons"),
    ("stone", "stones"),
    ("towel", "towels"),
    ("umbrella", "umbrellas"),
    ("watch", "watches"),
    ("whistle", "whistles"),
)

_OPENINGS: tuple[str, ...] = (
    "I have",
    "I packed",
    "{who} has",
    "{who} bought",
    "{who} found",
    "{who} carries",
    "{who} is looking for",
    "In the {room} there {be}",
    "On the {surface} I see",
    "{owner} {container} holds",
    "Inside {possessor} {container} {be}",
    "For the trip {someone} needs",
    "Today {someone} sold",
)

_SLOTS: dict[str, tuple[str, ...]] = {
    "who": (
        "She",
        "He",
        "Anna",
        "Tom",
        "Maria",
        "Peter",
        "My sister",
        "My uncle",
        "Our neighbor",
        "The teacher",
        "The farmer",
        "The old man",
    ),
    "someone": ("she", "he", "Emma", "Jack", "my brother", "our guide", "the painter"),
    "owner": ("My", "Her", "His", "Our", "Their"),
    "possessor": ("my", "her", "his", "our", "their"),
    "container": ("bag", "backpack", "suitcase", "basket", "trunk"),
    "room": ("box", "drawer", "closet", "cellar", "attic", "garage", "kitchen"),
    "surface": ("table", "shelf", "counter", "bench", "desk", "floor"),
}


@dataclass(frozen=True)
class Sentence:
    """A sentence that lists objects, and the answers to the questions about it.

    Attributes:
        text: The sentence without its final period, such as
            ``"I have a chair, two apples and a cup"``.
        count: How many objects it lists in all (4 in this example).
        first_object: The first noun of the list as it stands, without number or article.
        last_object: The last noun of the list as it stands; the first one where it is alone.
    """

    text: str
    count: int
    first_object: str
    last_object: str


def make_sentences(n: int, seed: int) -> list[Sentence]:
    """Make ``n`` sentences, all different.

    The same seed gives the same sentences, and a smaller ``n`` a beginning of them. Counts from
    1 to ``MAX_COUNT`` come equally often, in random order, as long as there are enough short
    sentences (several thousand list a single object); beyond that, longer ones stand in for
    them. Two seeds may share sentences, most likely short ones: who needs disjoint sets has to
    compare the texts.

    Args:
        n: The number of sentences.
        seed: The seed of the random generator.

    Returns:
        The sentences, in the order in which they were drawn.

    Raises:
        ValueError: If ``n`` is negative.
    """
    if n < 0:
        raise ValueError(f"the number of sentences must not be negative, got {n}")
    rng = random.Random(seed)
    sentences: list[Sentence] = []
    seen: set[str] = set()
    while len(sentences) < n:
        counts = list(range(1, MAX_COUNT + 1))
        rng.shuffle(counts)
        for count in counts:
            sentence = _draw_unseen(count, seen, rng)
            seen.add(sentence.text)
            sentences.append(sentence)
    return sentences[:n]


def _draw_unseen(count: int, seen: set[str], rng: random.Random) -> Sentence:
    """Draw a sentence that is not in ``seen``, with ``count`` objects or, failing that, more."""
    while True:
        for _ in range(_MAX_DRAWS):
            sentence = _draw(count, rng)
            if sentence.text not in seen:
                return sentence
        count = min(count + 1, MAX_COUNT)


def _draw(count: int, rng: random.Random) -> Sentence:
    """Draw one sentence with ``count`` objects in all."""
    quantities = _draw_quantities(count, rng)
    nouns: list[str] = []
    items: list[str] = []
    objects = rng.sample(_OBJECTS, len(quantities))
    for quantity, (singular, plural) in zip(quantities, objects, strict=True):
        if quantity == 1:
            nouns.append(singular)
            items.append(f"{_article(singular)} {singular}")
        else:
            nouns.append(plural)
            items.append(f"{_NUMBER_WORDS[quantity]} {plural}")
    text = f"{_draw_opening(count, rng)} {_join(items)}"
    return Sentence(text=text, count=count, first_object=nouns[0], last_object=nouns[-1])


def _draw_quantities(count: int, rng: random.Random) -> list[int]:
    """Split ``count`` into the quantities of the items: all 1, or all but one of them."""
    fitting = [quantity for quantity in _NUMBER_WORDS if quantity <= count]
    if not fitting or rng.random() >= _PLURAL_SHARE:
        return [1] * count
    several = rng.choice(fitting)
    quantities = [1] * (count - several)
    quantities.insert(rng.randint(0, len(quantities)), several)
    return quantities


def _draw_opening(count: int, rng: random.Random) -> str:
    """Draw what stands before the list; its verb agrees with ``count``."""
    words = {slot: rng.choice(choices) for slot, choices in _SLOTS.items()}
    return rng.choice(_OPENINGS).format(be="is" if count == 1 else "are", **words)


def _article(noun: str) -> str:
    """Return the indefinite article of one of the nouns in ``_OBJECTS``."""
    return "an" if noun[0] in "aeiou" else "a"


def _join(items: list[str]) -> str:
    """Join items the way a sentence lists them: ``a, b and c``."""
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} and {items[-1]}"
