"""The command line: arguments in, one table or one JSON document out (contracts: DESIGN section 4).

Exit code 0 on success, 2 on bad input with one line on standard error, 1 on an internal failure or a failed check.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import ExplorerError

if TYPE_CHECKING:
    from .check import CheckReport
    from .metrics import Metrics
    from .models import LoadedModel
    from .patching import PatchReport

_ROWS_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except ExplorerError as err:
        return _complain(" ".join(str(err).split()), 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as err:
        if os.environ.get("IVCORE_TRACEBACK"):
            traceback.print_exc()
        reason = " ".join(f"{type(err).__name__}: {err}".split())
        return _complain(f"internal failure, please report it: {reason} (IVCORE_TRACEBACK=1 shows where)", 1)
    return code


def _models(options: argparse.Namespace) -> int:
    from .models import list_models

    rows = [
        {
            "name": entry.name,
            "group": entry.group,
            "stage": entry.stage,
            "label": entry.label,
            "bundled": entry.bundled,
            "present": entry.path.is_dir() if entry.path else None,
        }
        for entry in list_models()
    ]
    lines = [f"{row['name']:34} {row['label']}{'' if row['present'] is not False else '  (missing)'}" for row in rows]
    _show(options, {"models": rows}, [*lines, "Any local folder in Hugging Face format and any hub id works too."])
    return 0


def _check(options: argparse.Namespace) -> int:
    from .check import check_model

    model, load_seconds = _load(options)
    report = check_model(model)
    _show(options, _check_document(model, report, load_seconds), _check_lines(model, report))
    return 0 if report.passed else 1


def _patch(options: argparse.Namespace) -> int:
    from .patching import layer_sets, patch
    from .prompts import build_answer, build_prompt

    model, load_seconds = _load(options)
    prompt = build_prompt(
        model.tokenizer,
        options.instruction,
        options.query,
        filler=options.filler,
        t_inst=options.t_inst,
        position=options.position,
        chat=options.chat,
    )
    answer = None if options.answer is None else build_answer(model.tokenizer, prompt, options.answer)
    sets = options.layers if options.layers else layer_sets(model.n_layers, options.depth)
    report = patch(model, prompt, answer, sets)
    _show(options, _patch_document(model, report, load_seconds), _patch_lines(model, report, bool(options.layers)))
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from .run_commands import sweep

    _show(options, *sweep(_load(options)[0], options))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from .run_commands import evaluate

    _show(options, *evaluate(_load(options)[0], options))
    return 0


def _geometry(options: argparse.Namespace) -> int:
    from .run_commands import geometry

    _show(options, *geometry(_load(options)[0], options))
    return 0


def _trace(options: argparse.Namespace) -> int:
    from .run_commands import trace

    _show(options, *trace(_load(options)[0], options))
    return 0


def _heads(options: argparse.Namespace) -> int:
    from .run_commands import heads

    _show(options, *heads(_load(options)[0], options))
    return 0


def _precompute(options: argparse.Namespace) -> int:
    from .run_commands import precompute

    _show(options, *precompute(options))
    return 0


def _cache(options: argparse.Namespace) -> int:
    from .cache_command import cache
    from .store import default_store

    document, lines, code = cache(default_store(), options.action, days=options.days, keep=options.keep)
    _show(options, document, lines)
    return code


def _load(options: argparse.Namespace) -> tuple[LoadedModel, float]:
    """The model that the options name, and the seconds it took."""
    import torch

    from .models import load_model
    from .run_commands import Remarks

    torch.manual_seed(options.seed)
    start, remarks = time.perf_counter(), Remarks()
    model = load_model(
        options.model,
        device=options.device,
        dtype=options.dtype,
        revision=options.revision,
        on_progress=remarks.loading,
    )
    return model, time.perf_counter() - start


def _check_document(model: LoadedModel, report: CheckReport, load_seconds: float) -> dict[str, Any]:
    items = [
        {
            "name": item.name,
            "passed": item.passed,
            "value": item.value if math.isfinite(item.value) else None,
            "tolerance": item.tolerance,
            "explanation": item.explanation,
        }
        for item in report.items
    ]
    from .runs import model_document

    seconds = {"load": load_seconds, "check": report.seconds}
    return {"model": model_document(model), "passed": report.passed, "items": items, "seconds": seconds}


def _patch_document(model: LoadedModel, report: PatchReport, load_seconds: float) -> dict[str, Any]:
    from .runs import model_document

    prompt, answer = report.prompt, report.answer
    return {
        "model": model_document(model),
        "prompt": {
            "ids_full": prompt.ids_full,
            "tokens_full": prompt.tokens_full,
            "t_inst": prompt.t_inst,
            "t_last": prompt.t_last,
            "ids_target": prompt.ids_target,
            "tokens_target": prompt.tokens_target,
            "patch_position": prompt.patch_position,
            "warnings": (*prompt.warnings, *answer.warnings),
        },
        "answer": {"text": answer.text, "id": answer.id, "token": answer.token, "n_tokens": answer.n_tokens},
        "baseline": {"full": _metrics(report.full.metrics), "target": _metrics(report.target.metrics)},
        "patched": [{"layers": row.layers, **_metrics(row.metrics)} for row in report.patched],
        "seconds": {"load": load_seconds, "sweep": report.seconds},
    }


def _metrics(metrics: Metrics) -> dict[str, float]:
    return {"rank": metrics.rank, "rr": metrics.rr, "logit": metrics.logit, "logprob": metrics.logprob}


def _check_lines(model: LoadedModel, report: CheckReport) -> list[str]:
    rows = [f"{'ok    ' if i.passed else 'FAILED'} {i.name:20} {i.value:9.2e}  {i.explanation}" for i in report.items]
    verdict = "passed" if report.passed else "FAILED: do not trust numbers of this model"
    return [*rows, f"{model.ref}: self-check {verdict} in {report.seconds:.1f} s ({model.device}, {model.dtype})"]


def _patch_lines(model: LoadedModel, report: PatchReport, as_given: bool) -> list[str]:
    from .metrics import recovery

    prompt, answer = report.prompt, report.answer
    rows = list(report.patched)
    if not as_given:
        rows.sort(key=lambda row: (-row.metrics.rr, -row.metrics.logit))

    def line(name: str, m: Metrics, share: float | None) -> str:
        shown = "" if share is None else f"{share:9.1%}"
        return f"{name:16} {m.rank:7d} {m.rr:8.4f} {m.logit:9.3f} {m.logprob:9.3f} {shown}"

    target, full = report.target.metrics, report.full.metrics
    lines = [
        f"{model.ref}: {model.family}, {model.n_layers} layers, {model.device}, {model.dtype}",
        f"source  {_marked(prompt.tokens_full, prompt.t_inst)}",
        f"target  {_marked(prompt.tokens_target, prompt.patch_position)}",
        f"answer  {answer.token!r}",
        *(f"note    {warning}" for warning in (*prompt.warnings, *answer.warnings)),
        f"{'':16} {'rank':>7} {'RR':>8} {'logit':>9} {'logprob':>9} {'recovery':>9}",
        line("full prompt", full, None),
        line("target alone", target, None),
        *(
            line(",".join(map(str, row.layers)), row.metrics, recovery(row.metrics, target, full, "rr"))
            for row in rows[:_ROWS_SHOWN]
        ),
    ]
    if len(rows) > _ROWS_SHOWN:
        lines.append(f"... and {len(rows) - _ROWS_SHOWN} more sets; --json lists them all")
    return lines


def _marked(tokens: Sequence[str], position: int) -> str:
    """Tokens between bars, on one line, with the one at ``position`` in brackets."""
    shown = [repr(token)[1:-1] for token in tokens]
    shown[position] = f"[{shown[position]}]"
    return "|".join(shown)


def _show(options: argparse.Namespace, document: dict[str, Any], lines: Sequence[str]) -> None:
    if options.json:
        print(json.dumps(document, allow_nan=False))
        return
    text = "\n".join(lines)
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _complain(message: str, code: int) -> int:
    print(f"ivcore: {message}".encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_complain(f"{message} (see '{self.prog} --help')", 2))


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m ivcore", description="Where a language model keeps an instruction.", allow_abbrev=False
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)
    _add_verb(verbs, "models", _models, "list the models that are offered by name")
    _add_model(_add_verb(verbs, "check", _check, "prove that a model is measured rightly"))
    verb = _add_verb(verbs, "patch", _patch, "write the instruction vector into the query and measure the answer")
    _add_model(verb)
    verb.add_argument("--instruction", required=True, metavar="TEXT")
    verb.add_argument(
        "--query", required=True, metavar="TEXT", help="the whole query, such as 'Adjective: big. Answer:'"
    )
    verb.add_argument("--answer", metavar="TEXT", help="default: the model's own best token on the full prompt")
    which = verb.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--layers",
        action="append",
        type=_layers,
        metavar="L,L",
        help="layers patched at once; give it again for more sets",
    )
    which.add_argument("--depth", type=int, choices=(1, 2, 3), help="all sets of up to this many layers")
    verb.add_argument("--filler", default="bos", metavar="bos|TEXT", help="what stands where the instruction stood")
    verb.add_argument("--t-inst", type=int, metavar="N", help="read the source at this position of the full prompt")
    verb.add_argument("--position", type=int, metavar="N", help="patch this position of the target prompt")
    verb.add_argument("--chat", action="store_true", help="use the tokenizer's chat template")
    _add_sweep(verbs)
    verb = _add_verb(verbs, "evaluate", _evaluate, "let the model answer a task: is it right, and of the right kind?")
    _add_model(verb)
    _add_task(verb)
    verb.add_argument(
        "--judge",
        metavar="URL",
        help="also ask a language model whether each answer is of the right kind: an address that speaks the OpenAI "
        "protocol, such as http://localhost:8000/v1; its key is read from IVCORE_JUDGE_KEY",
    )
    verb.add_argument("--judge-model", metavar="NAME", help="with --judge: the model's name there")
    verb = _add_verb(verbs, "geometry", _geometry, "do paraphrases of different instructions lie apart?")
    _add_model(verb)
    which = verb.add_mutually_exclusive_group(required=True)
    which.add_argument("--tasks", metavar="NAME,NAME", help="two to eight bundled tasks")
    which.add_argument("--paraphrases", nargs="+", metavar="FILE", help="CSV files: index,instruction; one a task")
    verb.add_argument(
        "--component",
        choices=("resid", "attn", "mlp"),
        default="resid",
        help="the residual stream, or what attention or the MLP adds to it",
    )
    verb.add_argument("--released", action="store_true", help="also the pooled probe of the released code")
    _add_trace(verbs)
    verb = _add_verb(verbs, "precompute", _precompute, "compute the runs of a plan ahead of time")
    verb.add_argument(
        "plan",
        metavar="PLAN.toml",
        help="[[sweep]], [[behaviour]], [[geometry]] and [[paths]] tables with model, task, ...",
    )
    verb.add_argument("--out", metavar="FOLDER", help="keep the runs here; default: cache/runs")
    _add_memory(verb)
    verb = _add_verb(verbs, "cache", _cache, "the finished runs on disk")
    verb.add_argument("action", choices=("ls", "verify", "gc"), help="list them, check them, or free what is waste")
    verb.add_argument("--days", type=float, default=7.0, help="gc: drafts untouched for so long go too; default 7")
    verb.add_argument("--keep", action="append", default=[], metavar="RUN", help="gc: leave this run alone")
    return parser


def _add_sweep(verbs: Any) -> None:
    verb = _add_verb(verbs, "sweep", _sweep, "patch every set of layers over many samples of a task")
    _add_model(verb)
    _add_task(verb)
    verb.add_argument("--depth", type=int, required=True, choices=(1, 2, 3), help="all sets of up to this many layers")
    verb.add_argument(
        "--convention", choices=("exact", "released"), default="exact", help="as defined, or as the released code does"
    )
    verb.add_argument("--filler", default="bos", metavar="bos|TEXT", help="what stands where the instruction stood")
    _add_memory(verb)


def _add_trace(verbs: Any) -> None:
    verb = _add_verb(verbs, "trace", _trace, "follow the paths that carry the instruction to the answer")
    _add_model(verb)
    verb.add_argument("--instruction", required=True, metavar="TEXT")
    verb.add_argument(
        "--query", required=True, metavar="TEXT", help="the whole query, such as 'Adjective: big. Answer:'"
    )
    verb.add_argument("--answer", required=True, metavar="TEXT")
    verb.add_argument(
        "--sources",
        default="t_inst",
        metavar="t_inst|from_t_inst|from_before|all|N,N",
        help="where the paths begin: T_inst (the default), it and what follows, these and the token before, every "
        "token, or these positions",
    )
    verb.add_argument("--t-inst", type=int, metavar="N", help="take this position for T_inst")
    _add_paths(verb)
    verb = _add_verb(verbs, "heads", _heads, "which heads do the paths from T_inst use, more than chance would?")
    _add_model(verb)
    _add_task(verb)
    verb.add_argument(
        "--offset", type=int, default=0, metavar="N", help="paths from N tokens after T_inst (before: -1); default 0"
    )
    _add_paths(verb)


def _add_paths(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--top-k", type=int, default=1, metavar="K", help="positions that each head attends to; default 1"
    )
    verb.add_argument("--max-rank", type=int, default=100, metavar="R", help="list paths up to this rank; default 100")
    verb.add_argument(
        "--surrogate", choices=("exact", "released"), default="exact", help="as defined, or as the released code does"
    )
    verb.add_argument(
        "--max-paths", type=int, default=1_000_000, metavar="N", help="refuse to follow more; default 1,000,000"
    )
    _add_memory(verb)


def _add_task(verb: argparse.ArgumentParser) -> None:
    which = verb.add_mutually_exclusive_group(required=True)
    which.add_argument("--task", metavar="NAME", help="a bundled task, such as adj_comp")
    which.add_argument("--task-csv", metavar="FILE", help="columns: query, and one for each subtask's answers")
    which.add_argument("--task-json", metavar="FILE", help="BIG-bench's task.json of one of the paper's four tasks")
    verb.add_argument(
        "--subtask",
        metavar="COLUMN|NAME",
        help="with --task-csv: the column of the answers; with --task-json: which task it is",
    )
    verb.add_argument("--instruction", metavar="TEXT", help="with --task-csv")
    verb.add_argument("--field", metavar="WORD", help="with --task-csv: what stands before each query, as 'Adjective'")
    verb.add_argument("--samples", type=int, default=100, metavar="N")


def _add_memory(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--memory", type=_gigabytes, default=2.0, metavar="GIB", help="memory beside the weights; default 2"
    )


def _add_verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
    verb.add_argument("--json", action="store_true", help="print one JSON document")
    verb.set_defaults(run=run)
    return verb


def _add_model(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--model", required=True, help="a name that 'models' lists, a local folder, or a hub id")
    verb.add_argument("--revision", help="branch, tag or commit on the hub")
    verb.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="auto: a GPU if there is one; a model that one GPU cannot hold is divided among all",
    )
    verb.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16", "float64"))
    verb.add_argument(
        "--seed",
        type=int,
        default=0,
        help="chooses the samples of a task, or the folds of a probe; patching and checking draw nothing at random",
    )


def _gigabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.01 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of GiB from 0.01 to 10000")
    return value


def _layers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of layers such as 3,7") from None


if __name__ == "__main__":
    sys.exit(main())
