"""Greedy answers in shared batches against ``generate`` prompt by prompt, on a bundled model, in one run.

    python -m benchmarks.behaviour                      # seconds
    python -m benchmarks.behaviour --model ivy-dpo --samples 50

The plain loop answers a few prompts of every task and is scaled to all; both must give the same words.
"""

from __future__ import annotations

import argparse
import time

import torch

from ivcore.behaviour import MAX_ANSWER_TOKENS, greedy_answers
from ivcore.models import LoadedModel, load_model
from ivcore.prompts import build_prompt
from ivcore.prompts.tasks import all_task_names, choose_items, load_task

_LOOPED = 5
"""Prompts of each task that the plain loop answers."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ivy-sft")
    parser.add_argument("--samples", type=int, default=100, help="prompts a task, at most; default 100")
    options = parser.parse_args()
    model = load_model(options.model)
    tasks = [_prompts(model, name, options.samples) for name in all_task_names()]
    n = sum(map(len, tasks))
    _plain(model, tasks[0][0])  # the first call pays for what the library sets up

    started = time.perf_counter()
    answers = [greedy_answers(model, prompts) for prompts in tasks]
    shared = time.perf_counter() - started
    started = time.perf_counter()
    looped = [[_plain(model, prompt) for prompt in prompts[:_LOOPED]] for prompts in tasks]
    few = sum(map(len, looped))
    plain = (time.perf_counter() - started) * n / few

    same = sum(a == b for found, some in zip(answers, looped, strict=True) for a, b in zip(found, some, strict=False))
    tokens = sum(len(prompt) for prompts in tasks for prompt in prompts)
    print(f"{options.model}, {torch.get_num_threads()} threads: {n} prompts of {len(tasks)} tasks, {tokens:,} tokens")
    print(f"in shared batches {shared:9.2f} s, {n / shared:.0f} prompts a second")
    print(f"prompt by prompt  {plain:9.2f} s, {plain / shared:.1f} times as long (from {few} prompts)")
    print(f"same words in {same} of {few}")


def _prompts(model: LoadedModel, name: str, most: int) -> list[tuple[int, ...]]:
    task = load_task(name)
    items = choose_items(task, min(most, len(set(task.queries))), 0)
    return [build_prompt(model.tokenizer, task.instruction, task.prompt_text(query)).ids_full for query, _ in items]


def _plain(model: LoadedModel, prompt: tuple[int, ...]) -> str:
    ids = torch.tensor([prompt], device=model.device)
    found = model.hf.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=MAX_ANSWER_TOKENS
    )
    text: str = model.tokenizer.decode(found[0, len(prompt) :], skip_special_tokens=True)
    return text.split("\n")[0]


if __name__ == "__main__":
    main()
