"""ivy-dpo from ivy-sft: direct preference optimisation on pairs of answers, with TRL's trainer.

Chosen is the right answer; rejected is of the wrong kind (a sibling task's answer to the same query) or of the right
kind but wrong. A small SFT term keeps the probability of the chosen answers from falling together with that of the
rejected ones.

Source: Rafailov et al. 2023, arXiv 2305.18290; the SFT term as in Pang et al. 2024, arXiv 2404.19733.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ivy.corpus import Corpus, Preference
from ivy.train import CHECKPOINTS, Log, load, save


@dataclass(frozen=True)
class PreferenceRecipe:
    """How ivy-dpo is trained. ``beta``: strength of the pull to ivy-sft."""

    stage: str = "dpo"
    seed: int = 3
    steps: int = 150
    pairs_per_step: int = 32
    learning_rate: float = 1e-4
    beta: float = 0.1
    sft_weight: float = 0.2


def preferences(recipe: PreferenceRecipe) -> list[Preference]:
    """The pairs of one run, in order."""
    corpus = Corpus(recipe.seed)
    return [corpus.preference() for _ in range(recipe.steps * recipe.pairs_per_step)]


def train_dpo(out: Path = CHECKPOINTS, recipe: PreferenceRecipe | None = None) -> None:
    """Train ivy-dpo from ivy-sft and write it. Needs ``requirements-train.txt``."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    recipe = recipe or PreferenceRecipe()
    model, tokenizer = load(out / "ivy-sft")
    rows = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in preferences(recipe)]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        arguments = DPOConfig(
            output_dir=scratch,
            max_steps=recipe.steps,
            per_device_train_batch_size=recipe.pairs_per_step,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=20,
            beta=recipe.beta,
            loss_type=["sigmoid", "sft"],
            loss_weights=[1.0, recipe.sft_weight],
            seed=recipe.seed,
            logging_steps=25,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            max_length=128,
        )
        trainer = DPOTrainer(
            model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
        )
        trainer.train()
        history = [
            (int(entry["step"]), round(float(entry["loss"]), 4))
            for entry in trainer.state.log_history
            if "loss" in entry
        ]
    tokens = sum(len(tokenizer(row["prompt"] + row[side]).input_ids) for row in rows for side in ("chosen", "rejected"))
    save(
        model.eval(),
        tokenizer,
        out / "ivy-dpo",
        [Log(asdict(recipe), tokens, round(time.perf_counter() - started, 1), history)],
    )
