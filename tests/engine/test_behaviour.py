"""Greedy answers against plain ``generate``, batches against single prompts, and the two scores."""

from __future__ import annotations

import pytest
import torch

from ivcore.behaviour import greedy_answers, judge, normalise
from ivcore.models import LoadedModel
from ivcore.prompts.tasks import load_task

PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13, 14], [5, 6, 8], [9, 8, 7, 6, 5, 4, 3]]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (" bigger", "bigger"),
        ("Bigger.\nAdjective: small.", "bigger"),
        ("  'yes'!", "yes"),
        ("\n\nno", "no"),
        ("", ""),
        (" . ", ""),
    ],
)
def test_normalising(said: str, expected: str) -> None:
    assert normalise(said) == expected


def test_case_counts_for_proper_names_only() -> None:
    assert judge(load_task("country_capital").rule, " Paris", "Paris").exact
    assert not judge(load_task("country_capital").rule, " paris", "Paris").exact
    assert judge(load_task("adj_comp").rule, " Bigger", "bigger").exact


def test_a_wrong_answer_of_the_right_kind_is_valid() -> None:
    assert judge(load_task("can_fly").rule, " yes", "no") == judge(load_task("can_fly").rule, " yes", "no").__class__(
        "yes", False, True
    )
    assert not judge(load_task("can_fly").rule, " black", "no").valid
    assert judge(load_task("adj_comp").rule, " gooder", "better").valid
    assert not judge(load_task("adj_comp").rule, " small", "bigger").valid


def test_greedy_answers_equal_plain_generation_alone_and_in_a_batch(olmo2: LoadedModel) -> None:
    together = greedy_answers(olmo2, PROMPTS, max_tokens=5)
    for prompt, answer in zip(PROMPTS, together, strict=True):
        ids = torch.tensor([prompt])
        plain = olmo2.hf.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=5)[
            0, len(prompt) :
        ]
        text = olmo2.tokenizer.decode(plain, skip_special_tokens=True).split("\n")[0]
        assert answer == greedy_answers(olmo2, [prompt], max_tokens=5)[0]
        assert answer.split("\n")[0] == text
    assert len(set(together)) > 1, "the prompts must not all get one answer, or a mix-up would not show"
