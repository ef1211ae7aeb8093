"""A whole prompt in tokens: the same ids as a prompt of segments, and what cannot be one."""

from __future__ import annotations

import pytest

from ivcore.errors import PromptError
from ivcore.prompts import build_prompt, prompt_ids
from tests.conftest import INSTRUCTION, QUERY, make_tokenizer


@pytest.mark.parametrize("bos", [False, True])
def test_instruction_and_query_in_one_text_are_the_full_prompt(bos: bool) -> None:
    tokenizer = make_tokenizer(bos=bos)
    ids = prompt_ids(tokenizer, f"{INSTRUCTION} {QUERY}")
    assert ids == build_prompt(tokenizer, INSTRUCTION, QUERY).ids_full
    assert (ids[0] == tokenizer.bos_token_id) is bos
    assert ids != prompt_ids(tokenizer, f"{INSTRUCTION}  {QUERY}"), "every character counts"


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "empty"), (" \n", "white space"), ("x" * 100_000, "100,000"), ("a\ud800", "half a character")],
)
def test_what_is_no_prompt_is_told(text: str, words: str) -> None:
    with pytest.raises(PromptError, match=words):
        prompt_ids(make_tokenizer(), text)
