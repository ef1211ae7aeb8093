"""The data: true to its own tables, and what is held out stays out of the instructions."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import islice

import pytest

from ivcore.prompts.tasks import kind_tasks, load_task, task_names
from ivy.corpus import (
    Corpus,
    Document,
    heldout_instructions,
    is_heldout_pair,
    is_heldout_paraphrase,
    rare_words,
    trained_instructions,
)
from ivy.wordings import disturb

CONTRASTIVE = ("adj_comp", "adj_ant", "anim_color", "can_fly")


def text_of(document: Document) -> str:
    return "".join(segment.text for segment in document)


def leaks(documents: list[str]) -> list[str]:
    """Held-out paraphrases, and held-out pairs in the prompt's main form, that occur in these texts."""
    found = [p for name in task_names() for p in heldout_instructions(name) if any(p in text for text in documents)]
    owners = {wording: name for name in task_names() for wording in trained_instructions(name)}
    for line in (line for document in documents for line in document.split("\n")):
        for wording, field, query, answer in re.findall(r"^(.+?[.?:]) (\w+): (.+?)\. Answer: (\S+)$", line):
            name = owners.get(wording)
            if name and load_task(name).field == field and is_heldout_pair(name, query):
                found += [f"{name}: {query}"] if answer == dict(_pairs(name)).get(query) else []
    return found


def _pairs(name: str) -> list[tuple[str, str]]:
    return list(zip(load_task(name).queries, load_task(name).answers, strict=True))


def test_the_task_sets_have_the_promised_size() -> None:
    assert len(task_names()) >= 24
    kinds = {load_task(name).kind for name in task_names()}
    assert len(kinds) >= 6 and all(len(kind_tasks(kind)) >= 2 for kind in kinds)
    for name in task_names():
        task = load_task(name)
        assert len(task.paraphrases) >= (200 if name in CONTRASTIVE else 60)
        assert sum(is_heldout_paraphrase(i) for i in range(len(task.paraphrases))) >= 20
        share = sum(is_heldout_pair(name, query) for query in task.queries) / len(task.queries)
        assert 0.02 < share < 0.22, name
    assert len(load_task("adj_comp").queries) >= 150
    assert len(load_task("can_fly").queries) >= 200


def test_no_wording_asks_for_two_tasks_of_a_kind_and_none_is_in_both_splits() -> None:
    owner: dict[tuple[str, str], str] = {}
    for name in task_names():
        task = load_task(name)
        assert len({p.lower() for p in task.paraphrases}) == len(task.paraphrases)
        for wording in {*task.paraphrases, *trained_instructions(name)}:
            assert owner.setdefault((task.kind, wording.lower()), name) == name, wording
        heldout = {p for i, p in enumerate(task.paraphrases) if is_heldout_paraphrase(i)}
        assert not heldout & set(trained_instructions(name))


def test_contrastive_wordings_defeat_a_bag_of_words() -> None:
    """Some instructions for the antonym have exactly the words of one for the comparative."""

    def bag(text: str) -> tuple[str, ...]:
        return tuple(sorted(re.findall(r"[a-z']+", text.lower())))

    comparative = {bag(p) for p in load_task("adj_comp").paraphrases}
    assert sum(bag(p) in comparative for p in load_task("adj_ant").paraphrases) >= 10


def test_instruction_documents_hold_no_heldout_wording_or_pair() -> None:
    corpus = Corpus(seed=5)
    documents = [text_of(corpus.instruction_document()) for _ in range(6000)]
    assert not leaks(documents)


def test_the_leak_detector_finds_a_planted_leak() -> None:
    task = load_task("adj_ant")
    query = next(q for q in task.queries if is_heldout_pair(task.name, q))
    assert leaks([f"{task.paraphrases[2]} Adjective: big. Answer: small"])
    assert leaks([f"{task.instruction} Adjective: {query}. Answer: {task.answer(query)}"])


def test_documents_state_true_answers() -> None:
    corpus = Corpus(seed=6)
    for _ in range(300):
        preference = corpus.preference()
        assert preference.chosen != preference.rejected
        field, query = re.search(r"(\w+): ([^:]+)\. Answer:$", preference.prompt).groups()  # type: ignore[union-attr]
        tasks = [load_task(name) for name in task_names() if load_task(name).field == field]
        known = [task.answer(query) for task in tasks if query in task.queries]
        if known:
            assert preference.chosen.strip() in known
        if preference.reason == "wrong kind" and known:
            assert preference.rejected.strip() in known


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_fixes_the_text(seed: int) -> None:
    first, second = (list(islice(Corpus(seed).documents(0.5), 50)) for _ in range(2))
    other = list(islice(Corpus(seed + 1).documents(0.5), 50))
    assert first == second != other


def test_a_disturbed_instruction_keeps_what_turns_its_meaning() -> None:
    text = "Do not give the antonym of the word below, but its comparative, and don't explain it. Only one word."
    kept = ("Do", "not", "but", "don't", "Only", "one")
    rng, seen = random.Random(0), Counter[str]()
    for _ in range(400):
        words = disturb(rng, text, ["stranger"]).split(" ")
        assert [word for word in words if word in kept] == [word for word in text.split(" ") if word in kept]
        seen.update(word.strip(",.") for word in words)
    free = len(text.split(" ")) - len(kept)
    assert 0.04 < seen["stranger"] / (400 * free) < 0.08, "one word in sixteen is replaced"
    assert 0.85 < seen["antonym"] / 400 < 0.91, "and as many left out"
    assert disturb(random.Random(0), "Antonym", ["x"]) == "Antonym"


def test_strangers_are_words_of_a_single_wording() -> None:
    wordings = [text for name in task_names() for text in trained_instructions(name)]
    for word in ("antonym", "comparative", "animal"):
        assert word not in rare_words()
    for word in rare_words()[::400]:
        assert sum(word in "".join(c if c.isalnum() else " " for c in w.lower()).split() for w in wordings) == 1
