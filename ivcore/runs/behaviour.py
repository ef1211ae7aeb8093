"""Answers to many queries of a task as a run: computed once, stored, found again, judged on opening.

What is stored are the model's own words.  The rule that judges them (``prompts.tasks.AnswerRule``) is part of the
request, so a run says by which rule its figures came about, and another rule makes another run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..behaviour import MAX_ANSWER_TOKENS, Adherence, adherence, greedy_answers
from ..behaviour.llm_judge import (
    Judgement,
    JudgementCache,
    JudgeSettings,
    JudgingStopped,
    Question,
    default_cache,
    judge_kinds,
)
from ..errors import PromptError, quote
from ..models import LoadedModel
from ..prompts import build_prompt
from ..prompts.tasks import (
    AnswerPattern,
    AnswerRule,
    Task,
    all_task_names,
    answer_pattern,
    choose_items,
    kind_tasks,
    load_task,
)
from ..stats import Proportion, proportion
from ..store import Run, Store, run_key
from .meta import model_meta
from .progress import Progress, Stopped, Watch
from .stored import Summary, find_run, list_runs, own_fields, reading, sound

__all__ = [
    "BehaviourRequest",
    "BehaviourRun",
    "BehaviourSummary",
    "Judged",
    "behaviour_request",
    "find_behaviour",
    "judge_answers",
    "list_behaviours",
    "open_behaviour",
    "run_behaviour",
]

_ANALYSIS = "behaviour"
_VERSION = 1
"""Raised when the same request would give other answers than before."""


@dataclass(frozen=True)
class BehaviourRequest:
    """What is asked, apart from the model."""

    task: str
    """A name for people; bundled tasks under their own."""
    instruction: str
    items: tuple[tuple[str, str], ...]
    """(query text as it stands in the prompt, right answer), in order."""
    rule: AnswerRule
    siblings: tuple[tuple[str, tuple[str | None, ...]], ...] = ()
    """(task, its answers to the same queries, None where it has none): what else might be confused with the right
    answer."""
    max_tokens: int = MAX_ANSWER_TOKENS
    seed: int = 0
    """Which chose the items; recorded, so that they can be chosen again."""

    def document(self, dtype: str) -> dict[str, Any]:
        """The canonical request."""
        return {"analysis": _ANALYSIS, "version": _VERSION, "dtype": dtype, **asdict(self)}


@dataclass(frozen=True)
class BehaviourRun:
    """Finished answers."""

    key: str
    request: BehaviourRequest
    model: Mapping[str, Any]
    """ref, family, n_layers, revision, fingerprint, device, dtype."""
    created: str
    """ISO 8601, UTC."""
    seconds: float
    """Wall time of the computation."""
    bundled: bool
    answers: tuple[str, ...]
    """As the model wrote them, one for each item."""

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.request.items)

    @cached_property
    def adherence(self) -> Adherence:
        """The answers, judged by the request's rule."""
        right = [answer for _, answer in self.request.items]
        return adherence(self.request.rule, self.answers, right, dict(self.request.siblings))


@dataclass(frozen=True)
class Judged:
    """What another language model says of a run's answers."""

    model: str
    """The judge."""
    judgements: tuple[Judgement, ...]
    """One for each answer, in order."""
    ia: Proportion
    """Of the answers on which it gave a verdict."""
    agreement: Proportion
    """Share of those on which the rule says the same."""


BehaviourSummary = Summary[BehaviourRequest]


def behaviour_request(
    task: Task, n_samples: int, seed: int = 0, siblings: Mapping[str, Task] | None = None
) -> BehaviourRequest:
    """Ask a task's canonical instruction over ``n_samples`` of its queries, chosen by ``seed``.

    Args:
        task: bundled or one's own.
        n_samples: at most as many as the task has queries.
        seed: as in ``choose_items``.
        siblings: tasks on the same queries; for a bundled task, those of its kind.

    Raises:
        DataError: the task has fewer queries.
    """
    chosen = choose_items(task, n_samples, seed)
    if siblings is None:
        siblings = _bundled_siblings(task)
    tables = {name: dict(zip(other.queries, other.answers, strict=True)) for name, other in siblings.items()}
    columns = tuple((name, tuple(table.get(query) for query, _ in chosen)) for name, table in tables.items())
    items = tuple((task.prompt_text(query), answer) for query, answer in chosen)
    return BehaviourRequest(task.name, task.instruction, items, task.rule, columns, seed=seed)


def _bundled_siblings(task: Task) -> dict[str, Task]:
    if task.name not in all_task_names() or load_task(task.name) != task:
        return {}
    return {name: load_task(name) for name in kind_tasks(task.kind) if name != task.name}


def find_behaviour(store: Store, fingerprint: str, dtype: str, request: BehaviourRequest) -> BehaviourRun | None:
    """The finished run of this request on this model, if there is one. Raises DamagedRunError."""
    return find_run(store, fingerprint, dtype, request, open_behaviour)


def list_behaviours(store: Store) -> tuple[BehaviourSummary, ...]:
    """All finished runs, newest first, from their descriptions alone; damaged ones are left out."""
    return list_runs(store, _ANALYSIS, _request)


def open_behaviour(run: Run) -> BehaviourRun:
    """The answers of a finished run. Raises DamagedRunError where they do not fit together."""
    request = _request(run)
    with reading(run):
        answers = json.loads(run.arrays()["answers"].tobytes().decode("utf-8"))
        if len(answers) != len(request.items) or not all(isinstance(answer, str) for answer in answers):
            raise ValueError("its answers do not fit its request")
        model, created, seconds = dict(run.meta["model"]), str(run.meta["created"]), float(run.meta["seconds"])
    return BehaviourRun(run.key, request, model, created, seconds, run.bundled, tuple(answers))


def run_behaviour(
    store: Store,
    model: LoadedModel,
    request: BehaviourRequest,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> BehaviourRun:
    """The finished run of this request on this model: found, or computed. A damaged one is computed again.

    Args:
        store: where runs are kept.
        model: locked batch by batch.
        request: what is asked.
        on_progress: told how far it is, after every batch.
        should_stop: asked as often; True ends the call.

    Raises:
        Stopped: ``should_stop`` said so.
        InputError: a prompt cannot be used with this model; the message names its query.
        RunBusyError: another thread or process computes the same run.
        StoreError: the store cannot be written.
    """
    find = partial(find_behaviour, store, model.fingerprint, model.dtype, request)
    if (found := sound(find)) is not None:
        return found
    prompts = _prompts(model, request)
    watch = Watch(len(prompts), 1, on_progress, should_stop)
    document = request.document(model.dtype)
    with store.draft(run_key(document, model.fingerprint), document, model_meta(model)) as draft:
        if (found := sound(find)) is not None:  # another finished it just before
            return found
        watch.finished(0)
        answers = greedy_answers(model, prompts, request.max_tokens, on_batch=watch.reached)
        text = json.dumps(answers).encode("utf-8")
        return open_behaviour(draft.finish({"answers": np.frombuffer(text, dtype=np.uint8)}))


def judge_answers(
    run: BehaviourRun,
    settings: JudgeSettings,
    cache: JudgementCache | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Judged:
    """Ask another language model of every answer whether it is of the kind that the instruction asks for.

    Args:
        run: whose answers.
        settings: whom to ask.
        cache: where verdicts are kept; by default in the folder of one's own runs.
        on_progress: told how far it is.
        should_stop: True ends the call; verdicts so far are in the cache.

    Raises:
        Stopped: ``should_stop`` said so.
        InputError, JudgeError, StoreError: as ``judge_kinds``.
    """
    pairs = zip(run.request.items, run.answers, strict=True)
    questions = [Question(run.request.instruction, query, answer) for (query, _), answer in pairs]
    watch = Watch(len(questions), 1, on_progress, None)
    try:
        found = judge_kinds(
            settings, questions, cache or default_cache(), on_progress=watch.reached, should_stop=should_stop
        )
    except JudgingStopped as err:
        raise Stopped from err
    valid = [judgement.valid for judgement in found]
    both = [(rule.valid, said) for rule, said in zip(run.adherence.verdicts, valid, strict=True) if said is not None]
    return Judged(
        settings.model,
        found,
        proportion(sum(said for _, said in both), len(both)),
        proportion(sum(rule == said for rule, said in both), len(both)),
    )


def _prompts(model: LoadedModel, request: BehaviourRequest) -> list[tuple[int, ...]]:
    prompts = []
    with model.lock:
        for query, _ in request.items:
            try:
                prompts.append(build_prompt(model.tokenizer, request.instruction, query).ids_full)
            except PromptError as error:
                raise PromptError(f"The query {quote(query)}: {error}") from error
    return prompts


def _request(run: Run) -> BehaviourRequest:
    with reading(run, "one for answers"):
        fields = own_fields(run)
        rule = fields["rule"]
        pattern = None if rule["pattern"] is None else _known(AnswerPattern(**rule["pattern"]))
        request = BehaviourRequest(**fields)
        return replace(
            request,
            items=tuple((str(query), str(answer)) for query, answer in fields["items"]),
            rule=AnswerRule(tuple(map(str, rule["options"])), pattern, bool(rule["cased"])),
            siblings=tuple((str(name), tuple(answers)) for name, answers in fields["siblings"]),
        )


def _known(pattern: AnswerPattern) -> AnswerPattern:
    """A regular expression from a file could be made to run for ever: only the program's own are used."""
    if answer_pattern(pattern.name) != pattern:
        raise ValueError("another rule")
    return pattern
