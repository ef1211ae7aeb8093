"""Tokens as text for display: a leading space is a space, bytes that make no whole character are shown as ``<0xE2>``.

Byte-level tokenizers (GPT-2, OLMo, Llama 3) write each byte as a printable stand-in; metaspace tokenizers (Llama 2)
write a space as U+2581.  Which of the two a tokenizer is, its decoder says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["token_text", "token_texts"]


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> tuple[str, ...]:
    """One display string for each id, in order."""
    byte_level = _is_byte_level(tokenizer)
    return tuple(_display(tokenizer, int(i), byte_level) for i in ids)


def token_text(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    """The display string of one token; an id the tokenizer does not know (padding of the embedding) is ``<id 123>``."""
    return token_texts(tokenizer, (token_id,))[0]


def _display(tokenizer: PreTrainedTokenizerBase, token_id: int, byte_level: bool) -> str:
    raw = tokenizer.convert_ids_to_tokens(token_id)
    if not isinstance(raw, str):
        return f"<id {token_id}>"
    if token_id in tokenizer.all_special_ids or token_id in tokenizer.added_tokens_decoder:
        return raw
    if not byte_level:
        return raw.replace("\u2581", " ")
    stand_ins = _stand_in_bytes()
    if any(c not in stand_ins for c in raw):
        return raw
    return _decode(bytes(stand_ins[c] for c in raw))


def _decode(data: bytes) -> str:
    """UTF-8, with each byte that is no part of a whole character written as ``<0xE2>``."""
    text = data.decode("utf-8", "surrogateescape")
    return "".join(f"<0x{ord(c) - 0xDC00:02X}>" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)


def _is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    return decoder is not None and b"ByteLevel" in decoder.__getstate__()


@cache
def _stand_in_bytes() -> dict[str, int]:
    """The byte that each printable stand-in of a byte-level vocabulary means (GPT-2's table, by its rule)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}
