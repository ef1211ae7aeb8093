"""Does the model follow an instruction at all?  Greedy answers and the two scores of the paper's section 3.

1. *Answer*: greedy tokens up to the end of the text or of the first line.
2. *EMA* (exact match accuracy): the normalised answer equals the expected one.  Normalising takes the first line,
   drops white space and punctuation at both ends, and ignores case except where the answers are proper names.
3. *IA* (instruction adherence): the answer is of a valid kind, right or wrong (``Task.is_valid``).

Source: arXiv 2602.07930, section 3 and Appendix C.
"""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .models import LoadedModel
from .prompts.tasks import Task

__all__ = ["Verdict", "greedy_answers", "judge", "normalise"]

MAX_ANSWER_TOKENS = 8
ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Verdict:
    """One answer, judged. ``answer``: normalised. ``exact``: EMA's criterion; ``valid``: IA's."""

    answer: str
    exact: bool
    valid: bool


def normalise(text: str, *, cased: bool = False) -> str:
    """The first line of an answer without white space and punctuation at its ends; lower case unless ``cased``."""
    lines = text.strip().splitlines()
    first = lines[0].strip(string.whitespace + string.punctuation) if lines else ""
    return first if cased else first.lower()


def judge(task: Task, answer: str, expected: str) -> Verdict:
    """EMA's and IA's verdict on one answer."""
    said = normalise(answer, cased=task.cased)
    exact = said == normalise(expected, cased=task.cased)
    return Verdict(said, exact, exact or task.is_valid(said))


@torch.no_grad()
def greedy_answers(
    model: LoadedModel, prompts: Sequence[Sequence[int]], max_tokens: int = MAX_ANSWER_TOKENS
) -> list[str]:
    """The model's greedy continuation of each prompt, up to the end of the text, a line break or ``max_tokens``.

    Prompts of equal length share a batch, without padding; so a batch gives what each prompt gives alone.

    Args:
        model: takes its own lock.
        prompts: token ids, each of at least one token.
    """
    rows = [list(prompt) for prompt in prompts]
    answers: list[list[int]] = [[] for _ in rows]
    open_rows = set(range(len(rows)))
    for _ in range(max_tokens):
        by_length: dict[int, list[int]] = defaultdict(list)
        for row in sorted(open_rows):
            by_length[len(rows[row])].append(row)
        for members in by_length.values():
            for start in range(0, len(members), ROWS_AT_ONCE):
                batch = members[start : start + ROWS_AT_ONCE]
                for row, token in zip(batch, _next_tokens(model, [rows[r] for r in batch]), strict=True):
                    if _ends(model, token):
                        open_rows.discard(row)
                    else:
                        rows[row].append(token)
                        answers[row].append(token)
    return [str(model.tokenizer.decode(tokens)) for tokens in answers]


def _next_tokens(model: LoadedModel, rows: list[list[int]]) -> list[int]:
    with model.lock:
        logits = model.hf(input_ids=torch.tensor(rows, device=model.device), use_cache=False, logits_to_keep=1).logits
    best: list[int] = logits[:, -1].argmax(-1).tolist()
    return best


def _ends(model: LoadedModel, token: int) -> bool:
    return token == model.tokenizer.eos_token_id or "\n" in model.tokenizer.decode([token])
