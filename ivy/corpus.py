"""The text that the ivy models learn from: facts as prose, and instructions with answers, in many forms.

1. *Facts.* Sentences and cards that state every (task, query) pair of the bundled tasks ("The antonym of big is
   small.").
2. *Instructions.* A wording of a task's instruction and one or more queries with their answers. The form varies:
   several queries after one instruction, several turns with an instruction each, two instructions of which one is to
   be followed, the query first, other field words, the instruction alone followed by what it asks for.
3. *Preferences.* A prompt with the right answer and a wrong one: of the wrong kind (the answer to a sibling task) or
   of the right kind but wrong.

Held out, and checked by the tests: every paraphrase whose index leaves 2 when divided by 3, and one pair in ten (by a
hash of its name), never occur in instruction form. Held-out pairs do occur as facts: what is tested on them is
whether an instruction retrieves what was only read.
"""

from __future__ import annotations

import hashlib
import random
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ivcore.prompts.tasks import Task, kind_tasks, load_task, query_text, read_rows, task_names
from ivy.sentences import make_sentences
from ivy.wordings import assemble, disturb, vary

DATA = Path(__file__).parent / "data"
MAX_WORDS = 66
"""Documents are kept under about this number of words, so that they fit into one row of training."""

FIELD_WORDS = ("Word", "Input", "Item", "Query", "Given")
ANSWER_WORDS = ("Output", "Result", "Reply", "Solution")
OPENINGS = (
    "Please do this.",
    "Here is a task.",
    "Read carefully.",
    "Do as told.",
    "Next task.",
    "Instruction:",
    "Task:",
)
CLOSINGS = (
    "Give one word only.",
    "Be brief.",
    "Write nothing else.",
    "Thank you.",
    "Answer below.",
    "No explanation is needed.",
)


@dataclass(frozen=True)
class Segment:
    """A piece of a document.

    ``is_target``: SFT trains on these pieces only: answers, and the whole of a fact document.
    """

    text: str
    is_target: bool = False


Document = tuple[Segment, ...]


@dataclass(frozen=True)
class Preference:
    """One DPO example:

    ``chosen`` is the right answer to ``prompt``; ``reason`` says what is wrong with ``rejected``.
    """

    prompt: str
    chosen: str
    rejected: str
    reason: str


def is_heldout_paraphrase(index: int) -> bool:
    """Whether the paraphrase in this row of a paraphrase CSV is never trained on."""
    return index % 3 == 2


def is_heldout_pair(task: str, query: str) -> bool:
    """Whether this (task, query) pair is never trained on in instruction form: one in ten, by a hash of its name."""
    return hashlib.sha256(f"{task}|{query}".encode()).digest()[0] % 10 == 0


@cache
def _phrases() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((DATA / "facts.toml").read_text(encoding="utf-8"))


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


@cache
def _content_words(text: str) -> frozenset[str]:
    return frozenset(_words(text))


def _is_near_copy(a: str, b: str) -> bool:
    words_a, words_b = _content_words(a), _content_words(b)
    return len(words_a & words_b) > 0.7 * len(words_a | words_b)


@cache
def heldout_instructions(task: str) -> tuple[str, ...]:
    """The wordings of a task's instruction that no training sees."""
    return tuple(text for index, text in enumerate(load_task(task).paraphrases) if is_heldout_paraphrase(index))


@cache
def _everything_heldout() -> tuple[str, ...]:
    return tuple(text.lower() for name in task_names() for text in heldout_instructions(name))


@cache
def contains_heldout(text: str) -> bool:
    """Whether a text contains a held-out wording of any task."""
    lower = text.lower()
    return any(other in lower for other in _everything_heldout())


@cache
def trained_instructions(task: str) -> tuple[str, ...]:
    """The written wordings of a task's instruction that training may use.

    The trained rows of the paraphrase CSV, and the training-only ones in ``ivy/data/instructions``, less those that
    come close to a held-out paraphrase (more than 0.7 of their words in common) or contain one of any task.
    """
    kept = [text for index, text in enumerate(load_task(task).paraphrases) if not is_heldout_paraphrase(index)]
    kept += [row["instruction"] for row in read_rows(DATA / "instructions" / f"{task}.csv")]
    own = heldout_instructions(task)
    return tuple(
        text
        for text in dict.fromkeys(kept)
        if not contains_heldout(text) and not any(_is_near_copy(text, other) for other in own)
    )


@cache
def rare_words() -> tuple[str, ...]:
    """Words that occur in one trained wording only, of all tasks."""
    seen = Counter(word for name in task_names() for text in trained_instructions(name) for word in set(_words(text)))
    return tuple(word for word, n in seen.items() if n == 1)


class Corpus:
    """A seeded source of documents. Two with the same seed give the same documents in the same order.

    ``task_power``: a task is drawn for instructions in proportion to this power of its number of queries: 0 for all
    alike.
    """

    def __init__(self, seed: int, n_sentences: int = 20_000, *, task_power: float = 0.5) -> None:
        self.rng = random.Random(seed)
        self.tasks = {name: load_task(name) for name in task_names()}
        self.facts = {name: dict(zip(task.queries, task.answers, strict=True)) for name, task in self.tasks.items()}
        self.trained = {name: [q for q in facts if not is_heldout_pair(name, q)] for name, facts in self.facts.items()}
        self.weights = [len(task.queries) for task in self.tasks.values()]
        self.instruction_weights = [weight**task_power for weight in self.weights]
        self._add_sentences(n_sentences, seed)
        self.queries = {name: list(facts) for name, facts in self.facts.items()}
        self.kinds_of_answer = {name: list(dict.fromkeys(facts.values())) for name, facts in self.facts.items()}

    def _add_sentences(self, n: int, seed: int) -> None:
        """More sentences to count, none of them among the task's own queries."""
        own = set(self.facts["object_counting"])
        for sentence in make_sentences(n, seed=seed + 1000):
            if sentence.text not in own:
                answers = (str(sentence.count), sentence.first_object, sentence.last_object)
                for name, answer in zip(kind_tasks("sentence"), answers, strict=True):
                    self.facts[name][sentence.text] = answer
                    if self.rng.random() < 0.5:
                        self.trained[name].append(sentence.text)

    def _pick_task(self) -> Task:
        """A task for facts: as often as it has pairs to remember."""
        return self.rng.choices(list(self.tasks.values()), self.weights)[0]

    def _pick_instructed_task(self) -> Task:
        """A task for instructions: more equally often, since all have as many wordings to understand."""
        return self.rng.choices(list(self.tasks.values()), self.instruction_weights)[0]

    # ---- facts

    def fact_document(self) -> Document:
        """A document that states facts: a card, or a few sentences about one or several queries."""
        task = self._pick_task()
        form = self.rng.random()
        if form < 0.35:
            text = self._card(task)
        elif form < 0.5:
            text = self._table(task)
        else:
            text = " ".join(
                self._statement(self.rng.choice(kind_tasks(task.kind)), query) for query in self._queries(task, 3)
            )
        return (Segment(text, True),)

    def _queries(self, task: Task, most: int) -> list[str]:
        n = 1 if task.kind == "sentence" else self.rng.randint(1, most)
        return self.rng.choices(self.queries[task.name], k=n)

    def _statement(self, name: str, query: str) -> str:
        phrases, answer = _phrases()[name], self.facts[name][query]
        if self.rng.random() < 0.5:
            return self.rng.choice(phrases["sentences"]).format(q=query, a=answer)
        label = self.rng.choice(phrases["labels"])
        if load_task(name).kind == "sentence":
            return f"{query}. {label.capitalize()}: {answer}."
        shape = self.rng.choice(
            ("The {l} of {q} is {a}.", "{L} of {q}: {a}.", "As {l} of {q} we have {a}.", "For {q} the {l} is {a}.")
        )
        return shape.format(l=label, L=label.capitalize(), q=query, a=answer)

    def _card(self, task: Task) -> str:
        """ "Adjective: big. Comparative: bigger. Antonym: small." """
        query = self.rng.choice(self.queries[task.name])
        names = self.rng.sample(kind_tasks(task.kind), k=self.rng.randint(1, len(kind_tasks(task.kind))))
        lines = [f"{self._field(task)}: {query}."]
        lines += [f"{self.rng.choice(_phrases()[n]['labels']).capitalize()}: {self.facts[n][query]}." for n in names]
        return " ".join(lines)

    def _table(self, task: Task) -> str:
        """ "Antonym: big, small; hot, cold." """
        label = self.rng.choice(_phrases()[task.name]["labels"]).capitalize()
        pairs = [f"{query}, {self.facts[task.name][query]}" for query in self._queries(task, 5)]
        return f"{label}: {'; '.join(pairs)}."

    def _field(self, task: Task) -> str:
        return task.field if self.rng.random() < 0.7 else self.rng.choice(FIELD_WORDS)

    # ---- instructions

    def instruction_document(self) -> Document:
        """A document in instruction form."""
        task = self._pick_instructed_task()
        form = self.rng.random()
        if form < 0.08:
            return self._instruction_alone(task)
        if form < 0.20:
            return self._query_first(task)
        if form < 0.34:
            return self._one_of_two(task)
        if form < 0.64:
            return self._turns(task)
        return self._instruction_first(task, n_queries=1 if form < 0.80 else self.rng.randint(2, 6))

    def _instruction(self, name: str) -> str:
        text = (
            self._assembled(name)
            if self.rng.random() < 0.4
            else vary(self.rng, self.rng.choice(trained_instructions(name)))
        )
        if self.rng.random() < 0.3:
            text = disturb(self.rng, text, rare_words())
        if self.rng.random() < 0.1:
            text = f"{self.rng.choice(OPENINGS)} {text}"
        if self.rng.random() < 0.1:
            text = f"{text} {self.rng.choice(CLOSINGS)}"
        return text if not contains_heldout(text) else load_task(name).instruction

    def _assembled(self, name: str) -> str:
        kind = load_task(name).kind
        siblings = [_phrases()[other]["names"] for other in kind_tasks(kind) if other != name]
        return assemble(self.rng, kind, _phrases()[name]["names"], siblings)

    def _trained_pair(self, task: Task) -> tuple[str, str]:
        query = self.rng.choice(self.trained[task.name])
        return query, self.facts[task.name][query]

    def _instruction_alone(self, task: Task) -> Document:
        """The instruction, and at once what it asks for: its name, or examples."""
        instruction = self._instruction(task.name)
        if self.rng.random() < 0.7:
            label = self.rng.choice(_phrases()[task.name]["labels"])
            return Segment(instruction), Segment(f" {label.capitalize()}.", True)
        query, answer = self._trained_pair(task)
        return Segment(f"{instruction} For example, {query}:"), Segment(f" {answer}", True)

    def _query_first(self, task: Task) -> Document:
        query, answer = self._trained_pair(task)
        marker = " Answer:" if self.rng.random() < 0.5 else ""
        return Segment(f"{self._field(task)}: {query}. {self._instruction(task.name)}{marker}"), Segment(
            f" {answer}", True
        )

    def _one_of_two(self, task: Task) -> Document:
        """Two instructions for the same query, and which of them to follow."""
        sibling = self.rng.choice([name for name in kind_tasks(task.kind) if name != task.name])
        wanted = self.rng.randint(0, 1)
        names = [task.name, sibling] if wanted == 0 else [sibling, task.name]
        first, second = self.rng.choice((("A", "B"), ("1", "2"), ("One", "Two")))
        query, answer = self._trained_pair(task)
        listed = f"{first}: {self._instruction(names[0])} {second}: {self._instruction(names[1])}"
        choice = self.rng.choice(("Do {c}.", "Follow {c}.", "Now {c}.")).format(c=(first, second)[wanted])
        return Segment(f"{listed} {choice} {self._query_shape(task).format(q=query)}"), Segment(f" {answer}", True)

    def _turns(self, task: Task) -> Document:
        """Two or three turns, each with an instruction of its own, mostly on the same kind of query and often on the
        same query.
        """
        segments: list[Segment] = []
        words, query = 0, None
        for number in range(self.rng.randint(2, 3)):
            turn = (
                task
                if not number
                else load_task(self.rng.choice(kind_tasks(task.kind)))
                if self.rng.random() < 0.8
                else self._pick_instructed_task()
            )
            if (
                query is None
                or self.rng.random() < 0.5
                or is_heldout_pair(turn.name, query)
                or query not in self.facts[turn.name]
            ):
                query = self._trained_pair(turn)[0]
            instruction = self._instruction(turn.name)
            words += len(instruction.split()) + len(query.split()) + 4
            if number and words > MAX_WORDS:
                break
            prompt = f"{instruction} {self._query_shape(turn).format(q=query)}"
            segments += [Segment(("\n" if number else "") + prompt), Segment(f" {self.facts[turn.name][query]}", True)]
        return tuple(segments)

    def _instruction_first(self, task: Task, n_queries: int) -> Document:
        instruction = self._instruction(task.name)
        shape = self._query_shape(task)
        segments = [Segment(instruction)]
        words = len(instruction.split())
        for number in range(n_queries):
            query, answer = self._trained_pair(task)
            words += len(query.split()) + 5
            if number and words > MAX_WORDS:
                break
            joint = "\n" if number else " "
            segments += [Segment(joint + shape.format(q=query)), Segment(f" {answer}", True)]
        return tuple(segments)

    def _query_shape(self, task: Task) -> str:
        """How a query stands after the instruction: mostly ``Adjective: big. Answer:``."""
        form = self.rng.random()
        if form < 0.65:
            return query_text(task.field, "{q}")
        if form < 0.85:
            return f"{self._field(task)}: {{q}}. {self.rng.choice(ANSWER_WORDS)}:"
        return self.rng.choice(("{q}:", "{q} ->", "Q: {q}. A:", "{q} ="))

    # ---- preferences

    def preference(self) -> Preference:
        """A prompt in the main form with the right answer and a wrong one."""
        task = self._pick_instructed_task()
        query, answer = self._trained_pair(task)
        siblings = [n for n in kind_tasks(task.kind) if query in self.facts[n] and self.facts[n][query] != answer]
        if siblings and self.rng.random() < 0.6:
            rejected, reason = self.facts[self.rng.choice(siblings)][query], "wrong kind"
        else:
            others = [other for other in self.kinds_of_answer[task.name] if other != answer]
            rejected, reason = self.rng.choice(others), "wrong answer"
        prompt = f"{self._instruction(task.name)} {query_text(task.field, query)}"
        return Preference(prompt, f" {answer}", f" {rejected}", reason)

    def documents(self, instruction_share: float) -> Iterator[Document]:
        """Documents without end, this share of them in instruction form."""
        while True:
            yield self.instruction_document() if self.rng.random() < instruction_share else self.fact_document()
