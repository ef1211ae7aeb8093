"""Prompt anatomy: segments, T_inst, T_last, the filler and the answer token (DESIGN section 2).

1. The *full prompt* is instruction + one space + query, cut into tokens as one text.  With ``chat`` the tokenizer's
   own chat template wraps it as one user message with the generation prompt (``chat``); no BOS is added to the
   template's own.
2. The instruction segment ends at ``T_inst``.  Where the tokenizer cuts the text up to the end of the instruction just
   as it does within the full prompt, that is its last token; else the tokenizer's offsets decide and a warning says so.
3. The *target prompt* is the filler and then exactly the full prompt's tokens after the instruction segment; in a chat
   the template's tokens stay around it.  Moving ``t_inst`` moves only where the source vectors are read.
4. The *answer token* is the first token of the answer as it continues the full prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import AnswerError, InputError, PromptError, quote
from .chat import ChatText, control_token, lead_of_answer, wrap
from .display import token_text, token_texts
from .encoding import boundary, encode, encode_alone

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["MAX_CHARACTERS", "Answer", "Prompt", "build_answer", "build_prompt", "prompt_ids", "token_answer"]

MAX_CHARACTERS = 20_000
"""Longer texts are refused before they are cut into tokens."""

_MERGED = (
    "The tokenizer merges the chat template's end with the start of the instruction in one token, which counts to the "
    "template and so stays in the target prompt."
)


@dataclass(frozen=True)
class Answer:
    """The token by which an answer is measured."""

    text: str
    """The answer as given (or the token's own text)."""
    id: int
    token: str
    """The first token as text for display."""
    n_tokens: int
    """How many tokens the whole answer has; only the first is measured."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """One full prompt, its target prompt, and where everything stands in them (positions are 0-based)."""

    instruction: str
    query: str
    text_full: str
    """The text that was cut into ``ids_full`` (with the chat template's own text, if any)."""
    ids_full: tuple[int, ...]
    tokens_full: tuple[str, ...]
    t_inst: int
    """Position in the full prompt at which the source vectors are read."""
    t_inst_default: int
    """The last token of the instruction segment, whatever ``t_inst`` was moved to."""
    t_last: int
    """Last position of the full prompt."""
    ids_target: tuple[int, ...]
    tokens_target: tuple[str, ...]
    patch_position: int
    """Position in the target prompt whose residual is replaced."""
    filler: str
    """The filler as asked for: ``bos`` or a text of one token."""
    chat: bool
    warnings: tuple[str, ...]

    @property
    def ids_source(self) -> tuple[int, ...]:
        """The tokens up to and including ``t_inst``."""
        return self.ids_full[: self.t_inst + 1]


def build_prompt(
    tokenizer: PreTrainedTokenizerBase,
    instruction: str,
    query: str,
    *,
    filler: str = "bos",
    t_inst: int | None = None,
    position: int | None = None,
    chat: bool = False,
) -> Prompt:
    """Cut instruction and query into a full prompt and its target prompt.

    Args:
        tokenizer: a fast tokenizer (one that reports offsets).
        instruction: the instruction segment; kept verbatim.
        query: the whole query text, such as ``Adjective: big. Answer:``; kept verbatim.
        filler: ``bos`` for the BOS token (EOS where there is none), or a text of exactly one token.
        t_inst: position in the full prompt to read the source from instead of the instruction's last token.
        position: position in the target prompt to patch instead of the filler's.
        chat: wrap instruction and query in the tokenizer's chat template.

    Raises:
        PromptError: a text is empty, too long or no text; the filler is not one token; a position does not exist.
    """
    _check_text(instruction, "instruction", PromptError)
    _check_text(query, "query", PromptError)
    message = f"{instruction} {query}"
    wrapped = wrap(tokenizer, message) if chat else ChatText(message, 0)
    cut = _cut(tokenizer, wrapped.text, wrapped.start, wrapped.start + len(instruction), chat)
    filler_id = _filler_id(tokenizer, filler)
    target = (*cut.ids[: cut.n_before], filler_id, *cut.ids[cut.last + 1 :])
    source = _position(t_inst, cut.last, len(cut.ids), "T_inst", "full prompt")
    patched = _position(position, cut.n_before, len(target), "patch position", "target prompt")
    return Prompt(
        instruction=instruction,
        query=query,
        text_full=wrapped.text,
        ids_full=cut.ids,
        tokens_full=token_texts(tokenizer, cut.ids),
        t_inst=source,
        t_inst_default=cut.last,
        t_last=len(cut.ids) - 1,
        ids_target=target,
        tokens_target=token_texts(tokenizer, target),
        patch_position=patched,
        filler=filler,
        chat=chat,
        warnings=(
            *wrapped.warnings,
            *cut.warnings,
            *_remarks(tokenizer, cut.ids, target, message, source > cut.last, chat),
        ),
    )


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """A whole prompt as the model reads it, for questions in which no segment matters.

    Raises:
        PromptError: ``text`` is empty, too long or no text, or makes no token.
    """
    _check_text(text, "prompt", PromptError)
    if not encode(tokenizer, text, special=False).ids:
        raise PromptError(f"The tokenizer makes no token of the prompt {quote(text)}; give a visible word.")
    return encode(tokenizer, text, special=True).ids


def build_answer(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, text: str) -> Answer:
    """The first token of ``text`` as it continues the full prompt: with a leading space where the prompt ends in none.

    In a chat it starts the assistant's turn, and what the template puts there stands before it instead.

    Raises:
        AnswerError: ``text`` is empty, too long, or makes no token or only the unknown token.
    """
    _check_text(text, "answer", AnswerError)
    lead = "" if text[:1].isspace() else _lead(tokenizer, prompt)
    n = len(prompt.ids_full)
    joined = encode(tokenizer, prompt.text_full + lead + text, special=not prompt.chat).ids
    merges = joined[:n] != prompt.ids_full
    ids = encode_alone(tokenizer, lead, text) if merges else joined[n:]
    if not ids:
        raise AnswerError(f"The tokenizer makes no token of the answer {quote(text)}; give a visible word.")
    if tokenizer.unk_token_id in ids:
        raise AnswerError(f"The tokenizer has no token for the answer {quote(text)}; give an answer it can write.")
    token = token_text(tokenizer, ids[0])
    return Answer(text, ids[0], token, len(ids), _answer_remarks(text, token, len(ids), merges))


def _lead(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    if prompt.chat:
        lead = lead_of_answer(tokenizer, f"{prompt.instruction} {prompt.query}", prompt.text_full)
        if lead is not None:
            return lead
    return "" if prompt.text_full[-1:].isspace() else " "


def token_answer(tokenizer: PreTrainedTokenizerBase, token_id: int) -> Answer:
    """The answer that is just this token."""
    token = token_text(tokenizer, token_id)
    return Answer(text=token, id=token_id, token=token, n_tokens=1)


@dataclass(frozen=True)
class _Cut:
    """A full prompt in tokens: ``n_before`` template tokens, then the instruction up to ``last``, then the query."""

    ids: tuple[int, ...]
    n_before: int
    last: int
    warnings: tuple[str, ...]


def _cut(tokenizer: PreTrainedTokenizerBase, text: str, start: int, end: int, chat: bool) -> _Cut:
    """Cut ``text``, whose characters ``start`` to ``end`` are the instruction."""
    whole = encode(tokenizer, text, special=not chat)
    n_before = _n_before(whole.offsets, text, start) if start else 0
    inside = boundary(tokenizer, whole, text, end, special=not chat)
    if inside.n_tokens <= n_before:
        raise PromptError(
            "The tokenizer makes no token of the instruction; write it in characters that the model's vocabulary has."
        )
    if inside.n_tokens == len(whole.ids):
        raise PromptError("The tokenizer leaves no token of its own for the query; write a longer query.")
    merged = n_before > 0 and whole.offsets[n_before - 1][1] > start
    return _Cut(whole.ids, n_before, inside.n_tokens - 1, ((_MERGED,) if merged else ()) + inside.warnings)


def _n_before(offsets: tuple[tuple[int, int], ...], text: str, start: int) -> int:
    """How many tokens belong to what stands before character ``start``.

    A token of white space before it and the instruction's first letters is the instruction's: it would else leave the
    instruction's first word in the target prompt.
    """
    for n, (first, end) in enumerate(offsets):
        if first >= start or (text[first:start].isspace() and text[start:end].strip()):
            return n
    return len(offsets)


def _filler_id(tokenizer: PreTrainedTokenizerBase, filler: str) -> int:
    if filler == "bos":
        if (chosen := tokenizer.bos_token_id) is None and (chosen := tokenizer.eos_token_id) is None:
            raise PromptError(
                "This tokenizer has neither a BOS nor an EOS token; name a filler of one token, such as 'the'."
            )
        return int(chosen)
    _check_text(filler, "filler", PromptError, may_be_space=True)
    ids = encode(tokenizer, filler, special=False).ids
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        shown = ", ".join(quote(token) for token in token_texts(tokenizer, ids[:8]))
        raise PromptError(
            f"The filler {quote(filler)} must be exactly one token of this model, but it is {len(ids)}"
            f"{f' ({shown})' if len(ids) > 1 else ''}; use 'bos' or another word."
        )
    return ids[0]


def _position(asked: int | None, default: int, n_tokens: int, name: str, where: str) -> int:
    if asked is None:
        return default
    if isinstance(asked, bool) or not isinstance(asked, int) or not 0 <= asked < n_tokens:
        raise PromptError(
            f"The {name} {asked!r} is not a position of the {where}, which has {n_tokens} tokens; choose 0 to "
            f"{n_tokens - 1}."
        )
    return asked


def _check_text(text: str, name: str, error: type[InputError], *, may_be_space: bool = False) -> None:
    if not isinstance(text, str):
        raise error(f"The {name} must be text, not {type(text).__name__}; write it out.")
    if len(text) > MAX_CHARACTERS:
        raise error(f"The {name} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are taken, so shorten it.")
    if not text or not (may_be_space or text.strip()):
        raise error(f"The {name} is {'only white space' if text else 'empty'}; type some text.")
    for i, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise error(
                f"Character {i + 1} of the {name} is half a character (U+{ord(character):04X}), which no tokenizer can "
                "read; delete it or type it again."
            )


def _remarks(
    tokenizer: PreTrainedTokenizerBase,
    full: tuple[int, ...],
    target: tuple[int, ...],
    message: str,
    late: bool,
    chat: bool,
) -> tuple[str, ...]:
    """Warnings about things that are allowed but rarely meant."""
    unknown = tokenizer.unk_token_id
    bos = tokenizer.bos_token_id
    found = []
    if late:
        found.append("T_inst stands after the instruction: the source vectors have read part of the query.")
    if message[-1:].isspace():
        found.append("The query ends in white space, after which most models expect another token than after ':'.")
    if unknown is not None and unknown in full:
        found.append(
            f"The model has no token for {full.count(unknown)} piece(s) of the text and reads them as unknown."
        )
    if not chat and (control := control_token(tokenizer, message)) is not None:
        found.append(f"The model reads {quote(control)} in the text as a control token, not as these characters.")
    if not chat and bos is not None and full[0] == bos != target[0]:
        found.append(
            "This tokenizer starts every text with its BOS token; the target prompt starts with the filler instead."
        )
    return tuple(found)


def _answer_remarks(text: str, token: str, n_tokens: int, merges: bool) -> tuple[str, ...]:
    found = []
    if n_tokens > 1:
        found.append(f"The answer {quote(text)} has {n_tokens} tokens; only the first, {quote(token)}, is measured.")
    if merges:
        found.append("The tokenizer would merge the answer with the end of the prompt; it was cut on its own instead.")
    return tuple(found)
