"""Finished answers with made-up words, whose shares can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ivcore.prompts.tasks import AnswerRule
from ivcore.runs import BehaviourRequest, BehaviourRun

__all__ = ["make_answers"]

OPTIONS = ("red", "green", "blue", "black")


def make_answers(
    answers: Sequence[str],
    *,
    expected: Sequence[str] | None = None,
    others: Sequence[tuple[str, tuple[str | None, ...]]] = (),
    task: str = "made_up",
    ref: str = "tiny",
    key: str = "0" * 64,
    **model: Any,
) -> BehaviourRun:
    """A run in which ``red``, ``green``, ``blue`` and ``black`` are of the right kind, and ``red`` is right."""
    right = expected or ["red"] * len(answers)
    items = tuple((f"Thing: item {i}. Answer:", wanted) for i, wanted in enumerate(right))
    described = {"ref": ref, "family": "Tiny", "n_layers": 4, "revision": None, "fingerprint": "f" * 64}
    return BehaviourRun(
        key=key,
        request=BehaviourRequest(task, "Name a color.", items, AnswerRule(OPTIONS, None, cased=False), tuple(others)),
        model=described | {"device": "cpu", "dtype": "float32"} | model,
        created="2026-01-02T03:04:05+00:00",
        seconds=1.5,
        bundled=False,
        answers=tuple(answers),
    )
