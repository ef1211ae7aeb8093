"""The badge beside every result about a model and an instruction: does the model follow it at all?

What a model cannot do tells nothing about where it stores the instruction.  The verdict is read from finished runs,
never computed here, and leads to the Behaviour page.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from streamlit.delta_generator import DeltaGenerator

from . import runs
from .behaviour import runs as behaviour_runs
from .state import OTHER
from .text import count, percent

if TYPE_CHECKING:
    from ivcore.runs import BehaviourRun

__all__ = ["follows_badge", "follows_words"]

BEHAVIOUR_PAGE = "pages/behaviour.py"
_WEAK = 0.5
"""Below this share of answers of the right kind the badge warns."""
_HELP = (
    "The share of its answers that are of the kind asked for, right or wrong, and the share that are right. A model "
    "that does not follow an instruction tells nothing about where it stores it."
)


def follows_badge(
    place: DeltaGenerator, family: str, stage: str, ref: str, instruction: str, *, short: bool = False
) -> None:
    """The verdict on this very instruction, else on the task it is a wording of, else that there is none.

    ``short`` leaves out the share of right answers, for narrow places.
    """
    from ivcore.errors import ExplorerError

    task = _task_of(instruction)
    try:
        run = _answered(ref, instruction)
        standard = None if run or task is None else _answered(ref, _instruction_of(task))
    except ExplorerError:  # damaged runs and unreadable models are told of where they are opened
        return
    if run is not None:
        words = follows_words(run, "it" if short else "this instruction", short=short)
    elif standard is not None:
        run, words = standard, follows_words(standard, "this task’s usual wording", short=short)
    else:
        words = "whether it follows this instruction: not measured"
    named = {"model": family} | ({"ref": ref} if family == OTHER else {"stage": stage})
    if task is not None:
        named |= {"tasks": task, "task": task}
    place.page_link(
        BEHAVIOUR_PAGE, label=f":{_color(run)}-badge[:material/rule: {words}]", help=_HELP, query_params=named
    )


def follows_words(run: BehaviourRun, what: str, *, short: bool = False) -> str:
    """``follows this instruction: 97% (right: 95%, n 100)``."""
    found = run.adherence
    if found.ia.share is None or found.ema.share is None:
        return f"follows {what}: not defined (n 0)"
    right = "" if short else f"right: {percent(found.ema.share)}, "
    return f"follows {what}: {percent(found.ia.share)} ({right}n {count(found.ia.n)})"


def _color(run: BehaviourRun | None) -> str:
    if run is None or run.adherence.ia.share is None:
        return "gray"
    return "green" if run.adherence.ia.share >= _WEAK else "orange"


def _answered(ref: str, instruction: str) -> BehaviourRun | None:
    """The finished answers to this instruction over most samples; the newest of equals."""
    alike = [s for s in behaviour_runs.summaries() if s.ref == ref and s.request.instruction == instruction]
    if alike and (here := runs.fingerprint(ref)) is not None:
        alike = [summary for summary in alike if summary.fingerprint == here]
    return behaviour_runs.opened(max(alike, key=lambda s: len(s.request.items)).key) if alike else None


@lru_cache(maxsize=256)
def _task_of(instruction: str) -> str | None:
    """The bundled task that the instruction is a wording of."""
    from ivcore.prompts.tasks import all_task_names, load_task

    return next((name for name in all_task_names() if instruction in load_task(name).paraphrases), None)


def _instruction_of(task: str) -> str:
    from ivcore.prompts.tasks import load_task

    return load_task(task).instruction
