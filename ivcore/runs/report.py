"""Finished runs as the JSON documents of the command line (contracts: DESIGN section 4) and as lines to read."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from ..errors import quote
from ..metrics import METRICS
from ..patching import rank_sets, superadditivity
from ..probes import LayerGeometry
from ..stats import Proportion
from .behaviour import BehaviourRun, Judged
from .geometry import GeometryRun
from .paths import PathsRun
from .sweep import SweepRun

__all__ = [
    "behaviour_document",
    "behaviour_lines",
    "geometry_document",
    "geometry_lines",
    "sweep_document",
    "sweep_lines",
    "trace_document",
    "trace_lines",
]

_ROWS_SHOWN = 15
_TESTED = "rr"
"""The metric whose superadditivity is tested in the document."""


def sweep_document(run: SweepRun) -> dict[str, Any]:
    """Everything that a sweep says, JSON-ready; what is not defined is None, with the reason beside it."""
    ranked = {metric: rank_sets(run.effects(metric), run.sets) for metric in METRICS}
    return {
        "run": run.key,
        "model": dict(run.model),
        "task": run.request.task,
        "instruction": run.request.instruction,
        "convention": run.request.convention,
        "depth": run.request.depth,
        "seed": run.request.seed,
        "n_samples": run.n_samples,
        "metrics": {
            metric: [{"layers": row.layers, "mean": row.mean, "ci": _interval(row.low, row.high)} for row in rows]
            for metric, rows in ranked.items()
        },
        "superadditivity": [
            {
                "layers": row.layers,
                "mean": row.mean,
                "ci": _interval(row.low, row.high),
                "p": row.p,
                "p_adjusted": row.p_holm,
                "p_adjusted_bh": row.p_bh,
                "p_wilcoxon": row.p_wilcoxon,
                "share": row.share,
                "third_order": None if row.third_order is None else asdict(row.third_order),
                "undefined": row.undefined,
            }
            for row in superadditivity(run.effects(_TESTED), run.sets)
        ],
        "seconds": {"sweep": run.seconds},
    }


def _interval(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]


def sweep_lines(document: dict[str, Any]) -> list[str]:
    """The best sets by RR and by logit, and the pairs that exceed the sum of their singles most clearly."""
    model = document["model"]
    lines = [
        f"{document['task']} on {model['ref']} ({model['device']}, {model['dtype']}), n = {document['n_samples']}, "
        f"convention {document['convention']}, run {document['run'][:12]}"
    ]
    for metric in ("rr", "logit"):
        lines.append(f"effect on {metric:5}  {'layers':12} {'mean':>9}  95% interval")
        lines += [f"{'':17} {_row(row)}" for row in document["metrics"][metric][:_ROWS_SHOWN]]
    tested = [row for row in document["superadditivity"] if row["p_adjusted"] is not None]
    if tested:
        lines.append(f"above the sum of singles (RR), {len(tested)} sets tested, p adjusted after Holm")
        best = sorted(tested, key=lambda row: -row["mean"])[:_ROWS_SHOWN]
        lines += [f"{'':17} {_row(row)}  p {row['p_adjusted']:.2g}  share {row['share']:.2f}" for row in best]
    return lines


def _row(row: dict[str, Any]) -> str:
    interval = "not defined" if row["ci"] is None else f"{row['ci'][0]:+.4f} to {row['ci'][1]:+.4f}"
    return f"{','.join(map(str, row['layers'])):12} {row['mean']:+9.4f}  {interval}"


def behaviour_document(run: BehaviourRun, judged: Judged | None = None) -> dict[str, Any]:
    """Everything that the answers to a task say, JSON-ready; shares without samples are None.

    Args:
        run: the answers.
        judged: what another language model says of them.
    """
    found, request = run.adherence, run.request
    return {
        "run": run.key,
        "model": dict(run.model),
        "task": request.task,
        "instruction": request.instruction,
        "valid": request.rule.in_words(),
        "seed": request.seed,
        "n": run.n_samples,
        **_shares("ema", found.ema),
        **_shares("ia", found.ia),
        "confusion": [{"task": row.task, **_shares("share", row.share), "n": row.share.n} for row in found.confusions],
        "rows": [
            {
                "query": query,
                "expected": right,
                "answer": answer,
                "normalised": verdict.answer,
                "exact": verdict.exact,
                "valid": verdict.valid,
                "answers": verdict.answers,
                **({} if judged is None else {"judged": judged.judgements[i].valid}),
            }
            for i, ((query, right), answer, verdict) in enumerate(
                zip(request.items, run.answers, found.verdicts, strict=True)
            )
        ],
        **({} if judged is None else {"judge": _judge_document(judged)}),
        "seconds": {"answers": run.seconds},
    }


def _judge_document(judged: Judged) -> dict[str, Any]:
    return {
        "model": judged.model,
        "n": judged.ia.n,
        **_shares("ia", judged.ia),
        **_shares("agreement", judged.agreement),
        "unclear": [judgement.reason for judgement in judged.judgements if judgement.reason is not None],
    }


def _shares(name: str, share: Proportion) -> dict[str, Any]:
    return {name: share.share, f"{name}_ci": _interval(share.low, share.high)}


def behaviour_lines(run: BehaviourRun, judged: Judged | None = None) -> list[str]:
    """The two scores, the confusions, and the answers that are not right."""
    found, model = run.adherence, run.model
    lines = [
        f"{run.request.task} on {model['ref']} ({model['device']}, {model['dtype']}), n = {run.n_samples}, "
        f"run {run.key[:12]}",
        f"EMA  {_share(found.ema)}  the answer is right",
        f"IA   {_share(found.ia)}  it is of the right kind: {run.request.rule.in_words()}",
    ]
    lines += [f"     {_share(row.share)}  it answers {row.task} instead" for row in found.confusions if row.share.n]
    if judged is not None:
        lines.append(f"     {_share(judged.ia)}  {judged.model} says that it is of the right kind")
        lines.append(f"     {_share(judged.agreement)}  it agrees with the rule")
    pairs = zip(run.request.items, run.answers, found.verdicts, strict=True)
    wrong = [(query, right, answer, verdict) for (query, right), answer, verdict in pairs if not verdict.exact]
    for query, right, answer, verdict in wrong[:_ROWS_SHOWN]:
        kind = "right kind" if verdict.valid else "wrong kind"
        lines.append(f"{kind}  {quote(query)} said {quote(answer)}, not {quote(right)}")
    if len(wrong) > _ROWS_SHOWN:
        lines.append(f"... and {len(wrong) - _ROWS_SHOWN} more wrong answers; --json lists all answers")
    return lines


def _share(share: Proportion) -> str:
    if share.share is None or share.low is None or share.high is None:
        return f"{'not defined':>21}"
    return f"{share.share:6.1%} ({share.low:.1%} to {share.high:.1%}, n {share.n})"


def geometry_document(run: GeometryRun) -> dict[str, Any]:
    """Everything that a comparison of paraphrases says, JSON-ready; drawn points are left out."""
    found, released = run.result, run.released
    return {
        "run": run.key,
        "model": dict(run.model),
        "component": found.component,
        "n_per_task": dict(zip(found.names, found.n_per_class, strict=True)),
        "chance": found.chance,
        **_shares("lexical_accuracy", found.lexical.accuracy),
        "embedding": None if found.embedding is None else _layer_document(found.embedding),
        "layers": [_layer_document(row) for row in found.layers],
        "released": released
        and {
            **_shares("random_split", released.random_split),
            **_shares("by_paraphrase", released.by_paraphrase),
            "n_layers": released.n_layers,
        },
        "n_folds": found.n_folds,
        "n_permutations": found.n_permutations,
        "seed": found.seed,
        "seconds": {"states": run.seconds_states, "all": run.seconds},
    }


def _layer_document(row: LayerGeometry) -> dict[str, Any]:
    return {
        "layer": row.layer,
        "probe_accuracy": row.probe.accuracy.share,
        "probe_ci": _interval(row.probe.accuracy.low, row.probe.accuracy.high),
        "shuffled_accuracy": row.shuffled_accuracy,
        "lda_heldout_accuracy": row.lda_heldout.share,
        "lda_heldout_ci": _interval(row.lda_heldout.low, row.lda_heldout.high),
        "lda_training_accuracy": row.lda_training_accuracy,
        **asdict(row.separation),
        "per_class": [share.share for share in row.probe.per_class],
        "confusion": row.probe.confusion.tolist(),
    }


def geometry_lines(run: GeometryRun) -> list[str]:
    """The probe layer by layer, with its controls."""
    found, model = run.result, run.model
    lines = [
        f"{', '.join(found.names)}: {sum(found.n_per_class)} paraphrases on {model['ref']} ({model['device']}, "
        f"{model['dtype']}), {found.component}, run {run.key[:12]}",
        f"{'layer':10} {'probe, held out':>24} {'shuffled':>9} {'LDA':>7} {'silhouette':>11} {'dimension':>10}",
    ]
    for row in run.rows:
        name = "embedding" if row.layer is None else str(row.layer)
        other = [row.shuffled_accuracy, row.lda_heldout.share, row.separation.silhouette]
        shown = ["not defined" if value is None else f"{value:.3f}" for value in other]
        size = row.separation.effective_dimension
        dimension = "not defined" if size is None else f"{size:.1f}"
        lines.append(
            f"{name:10} {_short(row.probe.accuracy):>24} {shown[0]:>9} {shown[1]:>7} {shown[2]:>11} {dimension:>10}"
        )
    lines.append(f"{'words only':10} {_short(found.lexical.accuracy):>24}   chance {found.chance:.3f}")
    if run.released is not None:
        lines.append(f"as released, all layers pooled, split at random: {_short(run.released.random_split)}")
        lines.append(f"the same with whole paraphrases held out:        {_short(run.released.by_paraphrase)}")
    return lines


def _short(share: Proportion) -> str:
    if share.share is None or share.low is None or share.high is None:
        return "not defined"
    return f"{share.share:.3f} ({share.low:.3f} to {share.high:.3f})"


def trace_document(run: PathsRun, sample: int = 0) -> dict[str, Any]:
    """The paths of one listed sample of a trace, JSON-ready; a share that is not defined is None."""
    info, request, arrays = run.samples[sample], run.request, run.arrays
    return {
        "run": run.key,
        "model": dict(run.model),
        "tokens": info.tokens,
        "t_inst": info.t_inst,
        "t_last": info.t_last,
        "answer": {"id": info.answer_id, "token": info.answer, "logit": float(arrays["answer_logit"][sample])},
        "top_k": request.top_k,
        "max_rank": request.max_rank,
        "surrogate": request.surrogate,
        "sources": [_source(run, sample, row) for row in run.rows_of(sample).tolist()],
        "from_biases": float(arrays["from_biases"][sample]),
        "completeness_error": float(arrays["completeness_error"][sample]),
        "seconds": {"trace": run.seconds},
    }


def _source(run: PathsRun, sample: int, row: int) -> dict[str, Any]:
    edges, of_all = run.edges(sample), float(run.arrays["logit_all"][row])
    return {
        "position": int(run.position[row]),
        "n_paths": int(run.n_paths[row]),
        "n_high_ranking": int(run.n_high_ranking[row]),
        "coverage": run.coverage(row),
        "coverage_of_all": run.coverage(row, of_all=True),
        "logit": float(run.arrays["logit_sum"][row]),
        "logit_of_all": of_all if math.isfinite(of_all) else None,
        "paths": [
            {
                "positions": positions.tolist(),
                "heads": edges.path_heads(positions.tolist()),
                "rank": int(rank),
                "logit": float(logit),
            }
            for positions, rank, logit in zip(*run.listed(row), strict=True)
        ],
    }


def trace_lines(document: dict[str, Any]) -> list[str]:
    """Each source with its counts and its best paths."""
    model, tokens, answer = document["model"], document["tokens"], document["answer"]
    lines = [
        f"{model['ref']} ({model['device']}, {model['dtype']}), k = {document['top_k']}, {document['surrogate']} "
        f"paths, answer {answer['token']!r} (logit {answer['logit']:.2f}), run {document['run'][:12]}"
    ]
    for source in document["sources"]:
        at, share = source["position"], source["coverage"]
        carried = "" if share is None else f", which carry {share:.1%} of the logit of all of them"
        lines.append(
            f"source {at} {tokens[at]!r}: {source['n_high_ranking']:,} of {source['n_paths']:,} paths rank the answer "
            f"at {document['max_rank']} or better{carried}"
        )
        strongest = sorted(source["paths"], key=lambda path: -path["logit"])
        lines += [_path_line(path) for path in strongest[:_ROWS_SHOWN]]
        if (more := len(source["paths"]) - _ROWS_SHOWN) > 0:
            lines.append(f"    ... and {more:,} more; --json lists them all")
    error = document["completeness_error"]
    return [*lines, f"all paths and biases together differ from the model's logits by {error:.1e}"]


def _path_line(path: dict[str, Any]) -> str:
    positions = path["positions"]
    steps = [f"{positions[0]}"]
    for layer, (at, heads) in enumerate(zip(positions[1:], path["heads"], strict=True)):
        if at != positions[layer] or heads:
            steps.append(f"{at} (layer {layer}, " + (f"heads {','.join(map(str, heads))})" if heads else "residual)"))
    return f"    rank {path['rank']:4d}  logit {path['logit']:9.3g}  {' -> '.join(steps)}"
