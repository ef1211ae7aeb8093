"""DPO with TRL: a short run on the bundled ivy-sft widens the margin between right and wrong answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from ivcore.models import LoadedModel, load_model
from ivy.corpus import Preference
from ivy.dpo import PreferenceRecipe, preferences, train_dpo
from ivy.train import CHECKPOINTS

pytestmark = [
    pytest.mark.slow,
    # Raised inside TRL and the libraries it drives; nothing here can change them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def log_probability(model: LoadedModel, prompt: str, answer: str) -> float:
    start, whole = (model.tokenizer(text).input_ids for text in (prompt, prompt + answer))
    with torch.no_grad():
        logprobs = model.hf(torch.tensor([whole])).logits[0].log_softmax(-1)
    return float(sum(logprobs[i - 1, whole[i]] for i in range(len(start), len(whole))))


def margin(model: LoadedModel, pairs: list[Preference]) -> float:
    gaps = [log_probability(model, p.prompt, p.chosen) - log_probability(model, p.prompt, p.rejected) for p in pairs]
    return sum(gaps) / len(gaps)


def test_a_short_run_widens_the_margin(tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINTS / "ivy-sft", tmp_path / "ivy-sft")
    recipe = PreferenceRecipe(steps=12, pairs_per_step=8, learning_rate=1e-4)
    train_dpo(tmp_path, recipe)
    pairs = preferences(recipe)[:40]
    before, after = (margin(load_model(str(tmp_path / name)), pairs) for name in ("ivy-sft", "ivy-dpo"))
    assert after > before + 0.5
