"""The prompt as its tokens with their positions, so that positions can be named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..text import html, visible

if TYPE_CHECKING:
    from ivcore.runs import SampleInfo

__all__ = ["prompt_row_html"]


def prompt_row_html(info: SampleInfo) -> str:
    """HTML of one row; every text in it is escaped."""
    tokens = "".join(_token(text, at, info) for at, text in enumerate(info.tokens))
    reply = f'<span class="iv-token reply"><b class="mono">{html(visible(info.answer))}</b><i>answer</i></span>'
    return (
        '<div class="iv"><div class="iv-prompt"><div class="name">Prompt<small>with positions</small></div>'
        f'<div class="iv-tokens">{tokens}<span class="iv-arrow">→</span>{reply}</div></div></div>'
    )


def _token(text: str, at: int, info: SampleInfo) -> str:
    marks = (["inst"] if at <= info.t_inst else []) + (["spot"] if at == info.t_inst else [])
    marks += ["last"] if at == info.t_last else []
    names = {info.t_inst: f"{at} T_inst", info.t_last: f"{at} T_last"}
    label = names.get(at, str(at))
    return f'<span class="iv-token {" ".join(marks)}"><b class="mono">{html(visible(text))}</b><i>{label}</i></span>'
