"""The verbs that make runs: options in, finished runs out (contracts: DESIGN section 4)."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DataError

if TYPE_CHECKING:
    from .behaviour.llm_judge import JudgeSettings
    from .models import LoadedModel, LoadProgress
    from .prompts.tasks import Task
    from .runs import BehaviourRun, GeometryRun, PathsRun, Planned, Progress, SweepRun

__all__ = ["Remarks", "evaluate", "geometry", "heads", "precompute", "sweep", "trace"]

_SECONDS_BETWEEN_REMARKS = 2.0


def sweep(model: LoadedModel, options: Namespace) -> tuple[dict[str, Any], list[str]]:
    """Compute the sweep that the options name, or open it: its JSON document, and lines to read."""
    from .runs import run_sweep, sweep_document, sweep_lines, sweep_request
    from .store import default_store

    request = sweep_request(
        _task(options), options.samples, options.depth, options.convention, options.seed, options.filler
    )
    budget = int(options.memory * 2**30)
    run = run_sweep(default_store(), model, request, on_progress=Remarks(), memory_budget=budget)
    document = sweep_document(run)
    return document, sweep_lines(document)


def evaluate(model: LoadedModel, options: Namespace) -> tuple[dict[str, Any], list[str]]:
    """Let the model answer the task that the options name: the JSON document, and lines to read."""
    from .runs import behaviour_document, behaviour_lines, behaviour_request, judge_answers, run_behaviour
    from .store import default_store

    task = _task(options)
    request = behaviour_request(task, options.samples, options.seed, _other_columns(task, options))
    settings = _judge_settings(options)
    run = run_behaviour(default_store(), model, request, on_progress=Remarks())
    judged = None if settings is None else judge_answers(run, settings)
    return behaviour_document(run, judged), behaviour_lines(run, judged)


def geometry(model: LoadedModel, options: Namespace) -> tuple[dict[str, Any], list[str]]:
    """Compare the paraphrases that the options name: the JSON document, and lines to read."""
    from .prompts.paraphrases import load_paraphrase_csv, task_paraphrases
    from .runs import geometry_document, geometry_lines, geometry_request, run_geometry
    from .store import default_store

    if options.tasks is not None:
        sets = [task_paraphrases(name.strip()) for name in options.tasks.split(",")]
    else:
        sets = [load_paraphrase_csv(Path(path)) for path in options.paraphrases]
    request = geometry_request(sets, options.component, released=options.released, seed=options.seed)
    run = run_geometry(default_store(), model, request, on_progress=Remarks())
    return geometry_document(run), geometry_lines(run)


def trace(model: LoadedModel, options: Namespace) -> tuple[dict[str, Any], list[str]]:
    """Follow the paths of the prompt that the options name: the JSON document, and lines to read."""
    from .runs import paths_request, run_paths, trace_document, trace_lines
    from .store import default_store

    request = paths_request(
        options.instruction,
        [(options.query, options.answer)],
        options.top_k,
        sources=options.sources,
        max_rank=options.max_rank,
        surrogate=options.surrogate,
        t_inst=options.t_inst,
    )
    budget = int(options.memory * 2**30)
    run = run_paths(
        default_store(), model, request, on_progress=Remarks(), max_paths=options.max_paths, memory_budget=budget
    )
    document = trace_document(run)
    return document, trace_lines(document)


def heads(model: LoadedModel, options: Namespace) -> tuple[dict[str, Any], list[str]]:
    """Which heads the paths of a task use, by the options: the JSON document, and lines to read."""
    from .runs import find_covering, heads_document, heads_lines, run_paths, sources_with, task_paths_request
    from .store import default_store

    request = task_paths_request(
        _task(options),
        options.samples,
        options.top_k,
        sources=sources_with(options.offset),
        max_rank=options.max_rank,
        surrogate=options.surrogate,
        n_listed=0,
        seed=options.seed,
    )
    store, budget = default_store(), int(options.memory * 2**30)
    run = find_covering(store, model.fingerprint, model.dtype, request) or run_paths(
        store, model, request, on_progress=Remarks(), max_paths=options.max_paths, memory_budget=budget
    )
    document = heads_document(run, options.offset)
    return document, heads_lines(document)


def precompute(options: Namespace) -> tuple[dict[str, Any], list[str]]:
    """Compute every run of a plan that is not there yet; models are loaded once each, in the plan's order."""
    from .models import load_model
    from .runs import read_plan

    planned = read_plan(Path(options.plan))
    requests = [(row, row.request()) for row in planned]  # every task is looked up before the first model is loaded
    rows: list[dict[str, Any]] = []
    model, loaded = None, None
    for number, (row, request) in enumerate(requests, start=1):
        if (wanted := (row.model, row.device, row.dtype)) != loaded:
            model, loaded = load_model(row.model, device=row.device, dtype=row.dtype), wanted
        print(f"{number}/{len(requests)} {row.name}", file=sys.stderr, flush=True)
        assert model is not None
        rows.append(_computed(model, row, request, options))
    return {"runs": rows}, [f"{row['run'][:12]}  {row['seconds']:8.1f} s  {row['name']}" for row in rows]


def _computed(model: LoadedModel, row: Planned, request: Any, options: Namespace) -> dict[str, Any]:
    from .runs import BehaviourRequest, GeometryRequest, PathsRequest, run_behaviour, run_geometry, run_paths, run_sweep
    from .store import Store, default_store

    store = default_store() if options.out is None else Store(Path(options.out))
    budget = int(options.memory * 2**30)
    found: BehaviourRun | GeometryRun | PathsRun | SweepRun
    if isinstance(request, BehaviourRequest):
        found = run_behaviour(store, model, request, on_progress=Remarks())
    elif isinstance(request, GeometryRequest):
        found = run_geometry(store, model, request, on_progress=Remarks())
    elif isinstance(request, PathsRequest):
        found = run_paths(store, model, request, on_progress=Remarks(), memory_budget=budget)
    else:
        found = run_sweep(store, model, request, on_progress=Remarks(), memory_budget=budget)
    return {"run": found.key, "name": row.name, "n_samples": found.n_samples, "seconds": found.seconds}


def _task(options: Namespace) -> Task:
    from .prompts.tasks import load_bigbench, load_task, load_task_csv

    own = {"--subtask": options.subtask, "--instruction": options.instruction, "--field": options.field}
    if options.task is not None:
        _refuse(own, "belongs to --task-csv; a bundled task has its own")
        return load_task(options.task)
    if options.task_json is not None:
        _refuse(own, "belongs to --task-csv; a BIG-bench task has the paper's", but="--subtask")
        if options.subtask is None:
            raise DataError("--task-json needs --subtask too: which BIG-bench task the file holds.")
        return load_bigbench(Path(options.task_json), options.subtask)
    if missing := [flag for flag, value in own.items() if value is None]:
        raise DataError(f"--task-csv needs {' and '.join(missing)} too.")
    return load_task_csv(
        Path(options.task_csv),
        subtask=options.subtask,
        instruction=options.instruction,
        field=options.field,
        name=f"{Path(options.task_csv).stem}:{options.subtask}",
    )


def _refuse(given: Mapping[str, str | None], why: str, but: str | None = None) -> None:
    """Raise DataError for the first flag that was given, apart from ``but``."""
    if named := [flag for flag, value in given.items() if value is not None and flag != but]:
        raise DataError(f"{named[0]} {why}.")


def _judge_settings(options: Namespace) -> JudgeSettings | None:
    """Whom to ask; proved usable before the model answers anything."""
    from .behaviour.llm_judge import JudgeSettings, check_settings

    if (options.judge is None) != (options.judge_model is None):
        raise DataError("--judge and --judge-model belong together; give both or none.")
    if options.judge is None:
        return None
    settings = JudgeSettings(options.judge, options.judge_model, os.environ.get("IVCORE_JUDGE_KEY"))
    check_settings(settings)
    return settings


def _other_columns(task: Task, options: Namespace) -> dict[str, Task] | None:
    """The other subtasks of a task CSV: their answers are what an answer may be confused with."""
    from .prompts.tasks import load_task_csv, subtasks_of

    if options.task_csv is None:
        return None
    path = Path(options.task_csv)
    names = [name for name in subtasks_of(path) if name != options.subtask]
    read = partial(load_task_csv, path, instruction=options.instruction, field=options.field)
    return {name: read(subtask=name) for name in names}


class Remarks:
    """Progress on standard error: on a terminal only, so that scripts see nothing, and not too often."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Of a run."""
        left = "" if progress.remaining is None else f", about {progress.remaining:.0f} s left"
        self._tell(f"{progress.samples_done} of {progress.n_samples} samples, {progress.seconds:.0f} s{left}")

    def loading(self, progress: LoadProgress) -> None:
        """Of a model's loading."""
        from .models.memory import size_text

        what = {"download": "fetched", "read": "read"}[progress.stage]
        whole = "" if progress.total is None else f" of {size_text(progress.total)}"
        self._tell(f"{size_text(progress.done)}{whole} {what}")

    def _tell(self, words: str) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._last >= _SECONDS_BETWEEN_REMARKS:
            self._last = now
            print(f"  {words}", file=sys.stderr, flush=True)
