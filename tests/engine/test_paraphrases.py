"""Paraphrase sets: where they come from, what is left out, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from ivcore.errors import DataError
from ivcore.prompts.paraphrases import (
    MAX_PARAPHRASES,
    ParaphraseSet,
    check_sets,
    load_paraphrase_csv,
    make_set,
    normal_form,
    pasted_paraphrases,
    task_paraphrases,
)
from ivcore.prompts.tasks import DATA, load_task, task_names


def some(name: str, n: int = 10) -> ParaphraseSet:
    return make_set(name, [f"Way {i} to ask for the {name}." for i in range(n)])


def sentence_of(call: object, *args: object) -> str:
    """The error's message: one line that ends in a full stop."""
    with pytest.raises(DataError) as caught:
        call(*args)  # type: ignore[operator]
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and len(message) < 320
    return message


# Where sets come from


def test_bundled_paraphrases_are_all_kept_and_comparable() -> None:
    sets = [task_paraphrases(name) for name in task_names()]
    for one in sets:
        assert one.texts == load_task(one.name).paraphrases
        assert one.n_empty == one.n_repeated == 0
    for first in range(0, len(sets), 8):
        check_sets([*sets[first : first + 8], *sets[: 2 if first + 8 > len(sets) else 0]][:8])


def test_a_bundled_file_reads_like_the_task() -> None:
    found = load_paraphrase_csv(DATA / "paraphrases" / "adj_comp.csv")
    assert found == task_paraphrases("adj_comp")


def test_a_csv_may_have_quotes_line_breaks_a_byte_order_mark_and_other_columns() -> None:
    data = '\ufeffindex, Instruction ,note\r\n0,"Say ""no"", please.",x\r\n\r\n1,"Two\nlines.",\r\n2,,\r\n3,=1+1,\r\n'
    found = load_paraphrase_csv(data.encode(), "mine")
    assert found == ParaphraseSet("mine", ('Say "no", please.', "Two\nlines.", "=1+1"), n_empty=2)


def test_pasted_lines() -> None:
    found = pasted_paraphrases("  Give the plural.\n\n give the  PLURAL\r\nName the plural.\n \t\n", "plural")
    assert found == ParaphraseSet("plural", ("Give the plural.", "Name the plural."), n_empty=2, n_repeated=1)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Give the opposite.", "give  the OPPOSITE", True),
        ("Give the opposite:", "\u201cGive\u201d the opposite", False),
        ("ﬁnd it", "Find it!", True),
        ("Straße?", "STRASSE", True),
        ("Give the opposite", "Give the opposites", False),
        ("A, b", "A b", False),
        ("?!", "?", False),
    ],
)
def test_the_normal_form(a: str, b: str, same: bool) -> None:
    assert (normal_form(a) == normal_form(b)) is same
    assert normal_form(a)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"index,text\n0,hello\n", "no column 'instruction'; begin with the line index,instruction"),
        (b"instruction,instruction\na,b\n", "more than one column"),
        (b"\n\n", "no column 'instruction'"),
        (b"index,instruction\n0,Give a, b\n", "line 2: 3 cells where the header has 2"),
        (b'index,instruction\n0,"open\n', "line 2: the row cannot be read as CSV"),
        (b"index,instruction\n0,\xff\n", "not UTF-8"),
        (b"index,instruction\n0,a\0b\n", "NUL"),
        (b"index,instruction\n0," + b"a" * 200_000, "cannot be read as CSV"),
        (b"index,instruction\n0," + b"a" * 2_001, "has 2,001 characters; at most 2,000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_are_no_paraphrases(data: bytes, says: str) -> None:
    assert says in sentence_of(load_paraphrase_csv, data, "mine")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in sentence_of(load_paraphrase_csv, tmp_path / "none.csv")


# What cannot be a set


def test_limits_of_a_set() -> None:
    assert len(some("x", MAX_PARAPHRASES).texts) == MAX_PARAPHRASES
    assert "'x' has more than 2,000 different paraphrases" in sentence_of(some, "x", MAX_PARAPHRASES + 1)
    assert "has 2,001 characters; at most 2,000" in sentence_of(make_set, "x", ["a" * 2001])
    assert "no text" in sentence_of(make_set, "x", ["half \ud83d of it"])
    assert "empty name" in sentence_of(make_set, " ", ["a"])


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_few_or_too_many_sets(n: int) -> None:
    message = sentence_of(check_sets, [some(f"task{i}") for i in range(n)])
    assert message.startswith(f"{n} set") and "2 to 8" in message


def test_sets_that_cannot_be_told_apart() -> None:
    assert "'b' has 9 different paraphrases; at least 10" in sentence_of(check_sets, [some("a"), some("b", 9)])
    assert "Two sets are called 'a'" in sentence_of(check_sets, [some("a"), some("a")])
    shared = make_set("b", [*some("b").texts, "WAY 3 to ask for the a!"])
    message = sentence_of(check_sets, [some("a"), shared])
    assert "'WAY 3 to ask for the a!' is in the set 'a' and in 'b'" in message


def test_sets_made_by_hand_are_cleaned() -> None:
    raw = ParaphraseSet(" a ", (*some("a").texts, "way 1 to ask for the a", " "), n_empty=1)
    assert check_sets([raw, some("b")])[0] == ParaphraseSet("a", some("a").texts, n_empty=2, n_repeated=1)
    dropped_below = ParaphraseSet("b", tuple(["same"] * 10))
    assert "1 different paraphrases" in sentence_of(check_sets, [some("a"), dropped_below])
    assert check_sets([some("a"), some("b")]) == (some("a"), some("b")), "what is clean stays"
