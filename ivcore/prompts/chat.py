"""The tokenizer's own chat template around one user message, as text.

1. The template is applied to a stand-in for the message and to the message itself; what it puts before and after must
   be the same both times, so that the message's place in the text is known.
2. A message that holds the template's own control tokens is refused: it would become turns of its own.
3. The answer is the start of the assistant's turn, and what the template puts before it is asked of the template.

A template that takes a date is given a fixed one, so that a prompt is the same on every day; one that lets the model
think first is asked not to, so that the answer comes at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import PromptError, quote
from .display import token_text
from .encoding import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatText", "control_token", "lead_of_answer", "wrap"]

_STAND_IN = "instruction-and-query-stand-here"
_DAY = "26 Jul 2024"
"""The day that Llama's templates name where they have no clock."""
_DATED = "The chat template writes today's date into the prompt, so its numbers may differ from day to day."
_MARK = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Z_]{2,60}\]")
"""How templates mark turns, also those whose marks are plain text to the tokenizer."""


@dataclass(frozen=True)
class ChatText:
    """A message in its template."""

    text: str
    start: int
    """The character at which the message starts."""
    warnings: tuple[str, ...] = ()


def wrap(tokenizer: PreTrainedTokenizerBase, message: str) -> ChatText:
    """The text of one user message with the generation prompt.

    Raises:
        PromptError: there is no template, it fails, it changes the message, or the message holds its control tokens.
    """
    if not tokenizer.chat_template:
        raise PromptError("This model's tokenizer has no chat template; leave the chat option off.")
    before, found, after = _render(tokenizer, _STAND_IN).partition(_STAND_IN)
    marks = (mark for mark in _MARK.findall(before + after) if mark in message)
    if (mark := next(marks, None) or control_token(tokenizer, message)) is not None:
        raise PromptError(
            f"The instruction or the query holds {quote(mark)}, a control token of this model's chat and no text; take "
            "it out, or leave the chat option off."
        )
    text = _render(tokenizer, message)
    if not found or text != before + message + after:
        raise PromptError(
            "The chat template changes the message it wraps, so the instruction cannot be found in it; remove spaces "
            "and line breaks around instruction and query, or leave the chat option off."
        )
    template = tokenizer.get_chat_template()
    dated = "strftime_now" in template and "date_string" not in template
    return ChatText(text, len(before), (_DATED,) if dated else ())


def control_token(tokenizer: PreTrainedTokenizerBase, text: str) -> str | None:
    """The first special token that the tokenizer reads in a text, if any; an unknown piece is none."""
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special} - {tokenizer.unk_token_id}
    found = next((i for i in encode(tokenizer, text, special=False).ids if i in special), None)
    return None if found is None else token_text(tokenizer, found)


def lead_of_answer(tokenizer: PreTrainedTokenizerBase, message: str, text: str) -> str | None:
    """The white space that the template puts between ``text``, the generation prompt at its end, and the answer.

    None where the template does not say: it has no such turn, or the two do not fit together.
    """
    try:
        whole = _render(tokenizer, message, answer=_STAND_IN)
    except PromptError:
        return None
    lead, found, _ = whole.removeprefix(text).partition(_STAND_IN)
    return lead if found and whole.startswith(text) and not lead.strip() else None


def _render(tokenizer: PreTrainedTokenizerBase, message: str, answer: str | None = None) -> str:
    turns = [{"role": "user", "content": message}]
    if answer is not None:
        turns.append({"role": "assistant", "content": answer})
    try:
        return str(
            tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=answer is None,
                date_string=_DAY,
                enable_thinking=False,
            )
        )
    except Exception as err:
        reason = " ".join(str(err).split())[:120]
        raise PromptError(f"The chat template cannot be applied ({reason}); leave the chat option off.") from err
