"""Patch reports with made-up numbers, whose effects can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping

from ivcore.metrics import Metrics, TokenScore
from ivcore.patching import Outcome, Patched, PatchReport
from ivcore.prompts import Answer, Prompt

__all__ = ["make_prompt", "make_report", "measured"]


def measured(rank: int, logit: float, logprob: float = -1.0) -> Metrics:
    return Metrics(rank=rank, rr=1 / rank, logit=logit, logprob=logprob)


def make_prompt(tokens_full: tuple[str, ...] = ("Say", " it", ".", " big", ":"), t_inst: int = 2) -> Prompt:
    """A prompt whose instruction ends at ``t_inst``."""
    target = ("<s>", *tokens_full[t_inst + 1 :])
    return Prompt(
        instruction="Say it.",
        query="big:",
        text_full="".join(tokens_full),
        ids_full=tuple(range(len(tokens_full))),
        tokens_full=tokens_full,
        t_inst=t_inst,
        t_inst_default=t_inst,
        t_last=len(tokens_full) - 1,
        ids_target=tuple(range(len(target))),
        tokens_target=target,
        patch_position=0,
        filler="bos",
        chat=False,
        warnings=(),
    )


def make_report(
    patched: Mapping[tuple[int, ...], Metrics],
    *,
    full: Metrics | None = None,
    target: Metrics | None = None,
    token: str = " small",
    prompt: Prompt | None = None,
) -> PatchReport:
    """A report on an answer that the full prompt puts first and the target alone tenth, unless told otherwise."""
    top = (TokenScore(7, token, 3.0, 0.5), TokenScore(8, " other", 1.0, 0.1))
    return PatchReport(
        prompt=prompt or make_prompt(),
        answer=Answer(text=token.strip(), id=7, token=token, n_tokens=1),
        full=Outcome(full or measured(1, 6.0), top),
        target=Outcome(target or measured(10, 1.0), top),
        patched=tuple(Patched(layers, metrics, top) for layers, metrics in patched.items()),
        seconds=0.1,
    )
