"""Prompts and what is inside them; ``prompts.tasks`` holds the task sets."""

from __future__ import annotations

from .anatomy import MAX_CHARACTERS, Answer, Prompt, build_answer, build_prompt, prompt_ids, token_answer
from .display import token_text, token_texts
from .released import bare_answer, bare_ids

__all__ = [
    "MAX_CHARACTERS",
    "Answer",
    "Prompt",
    "bare_answer",
    "bare_ids",
    "build_answer",
    "build_prompt",
    "prompt_ids",
    "token_answer",
    "token_text",
    "token_texts",
]
