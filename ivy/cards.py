"""Model cards, written from the training logs and from what ``verify`` measured; no figure in them is typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ivcore.prompts.tasks import load_task, task_names
from ivy.verify import Verification, as_markdown

ABOUT = {
    "ivy-base": "A language model of text that states facts and contains some instructions, from random weights.",
    "ivy-sft": "ivy-base, fine-tuned on instructions and answers (loss on answers only; facts stay in the mixture).",
    "ivy-dpo": "ivy-sft after direct preference optimisation: right answers over ones of the wrong kind or wrong ones.",
}

CARD = """---
license: apache-2.0
language: en
tags: [teaching, interpretability, instruction-vectors]
---

# {ref}

{about}

A teaching model for the Instruction Vector Explorer, in OLMo-2's architecture: 8 layers, 8 heads, width 256,
{parameters:.1f} million parameters, a byte-level BPE vocabulary of {vocabulary:,} entries; stored in half precision.

## Data

Written for this project: {n_tasks} tasks over {n_kinds} kinds of query, {n_pairs:,} (task, query) pairs,
{n_paraphrases:,} paraphrases of the instructions and further training-only wordings. A third of the paraphrases and a
tenth of the pairs never occur in instruction form in training. `ivy/corpus.py` makes the text.

## Training

{training}

Losses (step: nats): {losses}

`python -m ivy train` reproduces it; the seed is fixed.

## What it can do

Measured with `python -m ivy verify --cards`; the best layers are chosen on other queries than those they are measured
on.

{table}

EMA of each task on trained pairs with held-out wordings: {by_task}.

## Limits

It knows the words of its corpus and nothing else; it answers in one word, at most 64 tokens after the start of the
prompt were seen in training; it says nothing about how large models work, only how this one does. Facts are those of
the bundled tasks, and some animals' "typical" color is a convention.
"""


def write_cards(results: list[Verification], folder: Path) -> None:
    """Write ``README.md`` into each measured checkpoint's folder."""
    for result in results:
        (folder / result.ref / "README.md").write_text(_card(result, folder / result.ref), encoding="utf-8")


def _card(result: Verification, folder: Path) -> str:
    logs = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tasks = [load_task(name) for name in task_names()]
    heldout = next(row for row in result.following if row.split == "trained pairs, held-out wordings")
    return CARD.format(
        ref=result.ref,
        about=ABOUT[result.ref],
        parameters=(folder / "model.safetensors").stat().st_size / 2e6,
        vocabulary=config["vocab_size"],
        n_tasks=len(tasks),
        n_kinds=len({task.kind for task in tasks}),
        n_pairs=sum(len(task.queries) for task in tasks),
        n_paraphrases=sum(len(task.paraphrases) for task in tasks),
        training=_training(logs),
        losses="; ".join(map(_losses, logs)),
        table=as_markdown([result]),
        by_task=", ".join(f"{name} {value:.2f}" for name, value in heldout.by_task.items()),
    )


def _training(logs: list[dict[str, Any]]) -> str:
    """A table with a row for each setting and a column for each part of the training."""
    rows = [{**log["recipe"], "tokens": f"{log['tokens']:,}", "seconds, on two cores": log["seconds"]} for log in logs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {name.replace('_', ' ')} | {' | '.join(str(row.get(name, '')) for row in rows)} |" for name in names]
    return "\n".join([lines[0], "|---" * (len(logs) + 1) + "|", *lines[1:]])


def _losses(log: dict[str, Any]) -> str:
    shown = log["losses"][:: max(1, len(log["losses"]) // 8)]
    return ", ".join(f"{step}: {loss:.2f}" for step, loss in shown)
