"""Target prompt and answer token as the code released with arXiv 2602.07930 takes them (REFERENCE, departures 2, 3).

The target is the bare query without a filler, so that position 0 is the query's first token; the answer token is the
first token of the answer without a leading space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AnswerError, PromptError, quote
from .anatomy import Answer
from .display import token_text
from .encoding import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["bare_answer", "bare_ids"]


def bare_ids(tokenizer: PreTrainedTokenizerBase, query: str) -> tuple[int, ...]:
    """The query text on its own, without special tokens. Raises PromptError if it makes no token."""
    ids = encode(tokenizer, query, special=False).ids
    if not ids:
        raise PromptError(f"The tokenizer makes no token of the query {quote(query)}; give a visible word.")
    return ids


def bare_answer(tokenizer: PreTrainedTokenizerBase, text: str) -> Answer:
    """The first token of the answer on its own. Raises AnswerError if it makes none or only the unknown token."""
    ids = encode(tokenizer, text.strip(), special=False).ids
    if not ids or tokenizer.unk_token_id in ids:
        raise AnswerError(f"The tokenizer has no token for the answer {quote(text)}; give an answer it can write.")
    return Answer(text, ids[0], token_text(tokenizer, ids[0]), len(ids))
