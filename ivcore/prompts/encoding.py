"""Cutting text into tokens, and finding the token at which a piece of the text ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import quote
from .display import token_text, token_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Boundary", "Encoding", "boundary", "encode", "encode_alone"]

_MERGED = (
    "The tokenizer merges the end of one segment and the start of the next in the token {}; it counts to the first of "
    "them, so it is part of the instruction side and missing from the target prompt."
)
_CUT_DIFFERENTLY = (
    "The tokenizer cuts the instruction differently when the query follows; the source is read from the tokens as they "
    "stand in the full prompt."
)


@dataclass(frozen=True)
class Encoding:
    """Tokens of a text with the characters that each covers."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Boundary:
    """How many tokens belong to the text before a character, and a warning where that is unclear."""

    n_tokens: int
    warnings: tuple[str, ...] = ()


def encode(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool) -> Encoding:
    """Cut ``text`` into tokens.

    With ``special`` the tokenizer puts its BOS before it, if it has that habit; what it would put *after* the text is
    left out, since the text is to be continued.
    """
    made = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, verbose=False)
    ids, offsets = list(made["input_ids"]), [(int(a), int(b)) for a, b in made["offset_mapping"]]
    n = len(ids) - (_n_special_after(tokenizer) if special else 0)
    return Encoding(tuple(ids[:n]), tuple(offsets[:n]))


def encode_alone(tokenizer: PreTrainedTokenizerBase, lead: str, text: str) -> tuple[int, ...]:
    """``lead + text`` cut on its own, also by a tokenizer that puts a space of its own before every text."""
    plain = encode(tokenizer, text, special=False).ids
    spaced = encode(tokenizer, lead + text, special=False).ids
    return plain if "".join(token_texts(tokenizer, plain)) == lead + text else spaced


def boundary(tokenizer: PreTrainedTokenizerBase, whole: Encoding, text: str, at: int, *, special: bool) -> Boundary:
    """The tokens of ``text``, cut as ``whole``, that begin before character ``at``."""
    alone = encode(tokenizer, text[:at], special=special).ids
    if alone == whole.ids[: len(alone)]:
        return Boundary(len(alone))
    n = 1 + max((i for i, (start, end) in enumerate(whole.offsets) if start < at and end > start), default=-1)
    if n and whole.offsets[n - 1][1] > at:
        return Boundary(n, (_MERGED.format(quote(token_text(tokenizer, whole.ids[n - 1]))),))
    return Boundary(n, (_CUT_DIFFERENTLY,))


def _n_special_after(tokenizer: PreTrainedTokenizerBase) -> int:
    """How many special tokens this tokenizer adds after every text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    wrapped = tokenizer("a")["input_ids"]
    n_added = len(wrapped) - len(plain)
    before = next((n for n in range(n_added + 1) if wrapped[n : n + len(plain)] == plain), n_added)
    return n_added - before
