"""The prompt drawn as its tokens: full prompt above, target prompt below, with the places that matter marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .text import html, ordinal, visible

if TYPE_CHECKING:
    from ivcore.prompts import Answer, Prompt

__all__ = ["prompt_html"]

_LEGEND = (
    ("inst", "instruction"),
    ("spot", "the vector is read at T_inst and written over the filler"),
    ("last", "T_last, where the model answers"),
    ("reply", "answer token that is measured"),
)
_MAX_DRAWN = 400


def prompt_html(prompt: Prompt, answer: Answer, rank_full: int, rank_target: int) -> str:
    """HTML of both rows; every text in it is escaped."""
    last = len(prompt.tokens_target) - 1
    full = [_token(text, i, *_full_mark(prompt, i)) for i, text in enumerate(prompt.tokens_full)]
    target = [_token(text, i, *_target_mark(prompt, i, last)) for i, text in enumerate(prompt.tokens_target)]
    legend = "".join(f'<span class="{mark}">{text}</span>' for mark, text in _LEGEND)
    return (
        '<div class="iv"><div class="iv-prompt">'
        f"{_row('Full prompt', 'instruction and query', _shorten(full, prompt.t_inst), answer, rank_full)}"
        f"{_row('Target alone', 'filler and query', _shorten(target, prompt.patch_position), answer, rank_target)}"
        f'</div><div class="iv-legend">{legend}</div></div>'
    )


def _full_mark(prompt: Prompt, position: int) -> tuple[str, str]:
    marks = ["inst"] if _first(prompt) <= position <= prompt.t_inst_default else []
    labels = []
    if position == prompt.t_inst:
        marks, labels = [*marks, "spot"], ["read here"]
    if position == prompt.t_last:
        marks, labels = [*marks, "last"], [*labels, "answers here"]
    return " ".join(marks), ", ".join(labels)


def _first(prompt: Prompt) -> int:
    """Where the instruction starts: in a chat, where the filler stands instead of it."""
    return prompt.patch_position if prompt.chat else 0


def _target_mark(prompt: Prompt, position: int, last: int) -> tuple[str, str]:
    marks, labels = [], []
    if position == prompt.patch_position:
        marks, labels = ["spot"], ["written here"]
    if position == last:
        marks, labels = [*marks, "last"], [*labels, "answers here"]
    return " ".join(marks), ", ".join(labels)


def _row(name: str, note: str, tokens: Sequence[str], answer: Answer, rank: int) -> str:
    reply = _token(answer.token, None, "reply", f"ranked {ordinal(rank)}")
    return (
        f'<div class="name">{name}<small>{note}</small></div>'
        f'<div class="iv-tokens">{"".join(tokens)}<span class="iv-arrow">→</span>{reply}</div>'
    )


def _token(text: str, position: int | None, marks: str, label: str) -> str:
    title = "the answer token" if position is None else f"position {position}"
    below = f"<i>{label}</i>" if label else ""
    return f'<span class="iv-token {marks}" title="{title}"><b class="mono">{html(visible(text))}</b>{below}</span>'


def _shorten(tokens: Sequence[str], kept: int) -> list[str]:
    """Of a very long prompt both ends and the token at ``kept``, with the number of tokens left out between them."""
    n, half = len(tokens), _MAX_DRAWN // 2
    if n <= _MAX_DRAWN:
        return list(tokens)
    drawn = sorted({*range(half), kept, *range(n - half, n)})
    out: list[str] = []
    for before, position in zip([-1, *drawn], drawn, strict=False):
        if position > before + 1:
            out.append(f'<span class="iv-arrow">… {position - before - 1:,} more tokens …</span>')
        out.append(tokens[position])
    return out
