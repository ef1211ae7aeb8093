"""Greedy answers: the most likely token, again and again, up to the end of the text or of the first line.

Prompts of one task begin alike: what they share is run once, and every batch goes on from its keys and values.  Prompts
of equal length share a batch, so nothing is padded and each gets what it would get alone.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from transformers import DynamicCache

from ..errors import InputError, PromptError
from ..metrics import TokenScore, top_tokens
from ..models import LoadedModel
from ..prompts import token_text

__all__ = ["MAX_ANSWER_TOKENS", "Step", "answer_steps", "greedy_answers"]

MAX_ANSWER_TOKENS = 8
ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Step:
    """One token of an answer, and what else the model might have said."""

    id: int
    token: str
    top: tuple[TokenScore, ...]
    """The most likely tokens, best first; the first is the one taken."""
    ends: bool
    """Whether the answer is over here: the end of the text, or a line break."""


@torch.no_grad()
def greedy_answers(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    max_tokens: int = MAX_ANSWER_TOKENS,
    *,
    on_batch: Callable[[int], None] | None = None,
) -> list[str]:
    """The model's greedy continuation of each prompt, up to the end of the text, a line break or ``max_tokens``.

    Args:
        model: locked batch by batch, so that others may use it in between.
        prompts: token ids, each of at least one token.
        max_tokens: at least 1.
        on_batch: told after each batch how many prompts are answered; may raise to stop.

    Raises:
        PromptError: a prompt is empty, or with its answer longer than the model takes.
    """
    _check(model, prompts, max_tokens)
    answers: list[list[int]] = [[] for _ in prompts]
    shared = _common_prefix(prompts)
    prefix = _prefix_cache(model, prompts[0][:shared]) if shared else None
    done = 0
    for members in _batches(prompts):
        found = _continue(model, prefix, [list(prompts[i][shared:]) for i in members], max_tokens)
        for i, answer in zip(members, found, strict=True):
            answers[i] = answer
        done += len(members)
        if on_batch is not None:
            on_batch(done)
    return [str(model.tokenizer.decode(tokens)) for tokens in answers]


@torch.no_grad()
def answer_steps(
    model: LoadedModel, prompt: Sequence[int], max_tokens: int = MAX_ANSWER_TOKENS, n_top: int = 10
) -> tuple[Step, ...]:
    """One greedy answer, token by token, each with the ``n_top`` most likely tokens; the last step may be its end.

    Raises:
        PromptError: as ``greedy_answers``.
        InputError: ``n_top`` is below 1.
    """
    _check(model, [prompt], max_tokens)
    if n_top < 1:
        raise InputError(f"The {n_top} most likely tokens were asked for; ask for at least 1.")
    rest, cache, steps = [list(prompt)], DynamicCache(config=model.hf.config), list[Step]()
    while len(steps) < max_tokens:
        logits = _logits(model, rest, cache)
        top = top_tokens(logits, n_top, partial(token_text, model.tokenizer))[0]
        steps.append(Step(top[0].id, top[0].token, top, _ends(model, top[0].id)))
        if steps[-1].ends:
            break
        rest = [[top[0].id]]
    return tuple(steps)


def _check(model: LoadedModel, prompts: Sequence[Sequence[int]], max_tokens: int) -> None:
    if max_tokens < 1:
        raise InputError(f"An answer of {max_tokens} tokens was asked for; ask for at least 1.")
    if not all(len(prompt) for prompt in prompts):
        raise PromptError("A prompt without tokens cannot be answered; give at least one word.")
    longest = max((len(prompt) for prompt in prompts), default=0) + max_tokens
    if model.n_positions is not None and longest > model.n_positions:
        raise PromptError(
            f"A prompt with its answer has up to {longest} tokens but the model takes {model.n_positions}; shorten it."
        )


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; of each prompt at least one token is left over."""
    if len(prompts) < 2:
        return 0
    alike = takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))
    return min(sum(1 for _ in alike), min(len(prompt) for prompt in prompts) - 1)


def _batches(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        by_length[len(prompt)].append(i)
    groups = by_length.values()
    return [members[at : at + ROWS_AT_ONCE] for members in groups for at in range(0, len(members), ROWS_AT_ONCE)]


def _prefix_cache(model: LoadedModel, tokens: Sequence[int]) -> DynamicCache:
    cache = DynamicCache(config=model.hf.config)
    _logits(model, [list(tokens)], cache)
    return cache


def _continue(
    model: LoadedModel, prefix: DynamicCache | None, rows: list[list[int]], max_tokens: int
) -> list[list[int]]:
    """Answers to prompts of equal length that go on from ``prefix``. A row that has ended runs along unread."""
    cache = DynamicCache(config=model.hf.config) if prefix is None else copy.deepcopy(prefix)
    if prefix is not None:
        cache.batch_repeat_interleave(len(rows))
    answers: list[list[int]] = [[] for _ in rows]
    still_open = set(range(len(rows)))
    for _ in range(max_tokens):
        best: list[int] = _logits(model, rows, cache).argmax(-1).tolist()
        ended = {row for row in still_open if _ends(model, best[row])}
        still_open -= ended
        if not still_open:
            break
        for row in still_open:
            answers[row].append(best[row])
        rows = [[token] for token in best]
    return answers


def _logits(model: LoadedModel, rows: list[list[int]], cache: DynamicCache) -> torch.Tensor:
    """Next-token logits (n_rows, vocab_size); ``cache`` grows by the rows' tokens."""
    with model.lock:
        ids = torch.tensor(rows, device=model.device)
        out: Any = model.hf(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    logits: torch.Tensor = out.logits[:, -1]
    return logits


def _ends(model: LoadedModel, token: int) -> bool:
    return token == model.tokenizer.eos_token_id or "\n" in model.tokenizer.decode([token])
