"""Probes of all layers beside scikit-learn called plainly, and the forward passes that they need, in one run.

    python -m benchmarks.geometry                     # ivy-sft: two to three minutes on two cores
    python -m benchmarks.geometry --shape 1b          # random states and a random model of OLMo-2 1B's shape

``ivy``: eight tasks of 200 texts through the bundled model; where fewer paraphrases are bundled, wordings that the
model was trained on fill up. ``1b``: 1,600 states of 16 layers with planted classes, and a few real batches through
a random model. ``plain scikit-learn`` is ``GridSearchCV`` of a pipeline in a loop over the folds, true labels alone
and on few layers, scaled to all layers and to the shuffled labels; ``LDA`` the same with scikit-learn's.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ivcore.activations import component_states
from ivcore.models import LoadedModel, from_pretrained_parts, load_model
from ivcore.probes import Plan, geometry, lexical_probe, plan_geometry, released_probe, tsne_view
from ivcore.probes.nested import STRENGTHS
from ivcore.prompts.paraphrases import ParaphraseSet, make_set, task_paraphrases

TASKS = ("adj_comp", "adj_ant", "anim_color", "can_fly", "country_capital", "verb_past", "noun_plural", "num_next")
N_PER_TASK = 200
_WORDINGS = Path(__file__).parents[1] / "ivy" / "data" / "instructions"


def main() -> None:
    """Measure and print."""
    options = _parse()
    torch.manual_seed(0)
    plan = plan_geometry([_texts(name) for name in TASKS])
    model = load_model("ivy-sft", device="cpu") if options.shape == "ivy" else _random_1b()
    print(f"{len(plan.texts)} texts, {len(plan.names)} classes, {model.n_layers} layers of {model.d_model}")
    part = len(plan.texts) if options.shape == "ivy" else options.texts
    forward, states = _forward(model, plan.texts, part)
    if options.shape == "1b":
        states = _planted(plan, model.n_layers + 1, model.d_model)
    start = time.perf_counter()
    found = geometry(plan, states)
    probes = time.perf_counter() - start
    print(
        f"{'forward passes, all layers in one':44} {forward:8.1f} s" + ("" if part == len(plan.texts) else " (scaled)")
    )
    print(f"{'probes, LDA, controls and views of all layers':44} {probes:8.1f} s")
    print(f"{'share of the probes in both':44} {probes / (probes + forward):8.1%}")
    for name, run in (
        ("words alone", lambda: lexical_probe(plan)),
        ("one t-SNE", lambda: tsne_view(states[:, -1])),
        ("pooled as released, both splits", lambda: released_probe(plan, states)),
    ):
        start = time.perf_counter()
        run()
        print(f"{name:44} {time.perf_counter() - start:8.1f} s")
    _compare(
        plan, states, [one.probe.accuracy.hits for one in (found.embedding, *found.layers) if one], options, probes
    )


def _compare(plan: Plan, states: np.ndarray, ours: Sequence[int], options: argparse.Namespace, probes: float) -> None:
    """Plain scikit-learn on few layers, scaled to all; and whether it tells the same."""
    rows = np.linspace(1, states.shape[1] - 1, options.plain_layers).astype(int)
    probe = lda = 0.0
    differ = []
    for row in rows:
        start = time.perf_counter()
        hits = sum(_plain_probe(states[:, row], plan, fold) for fold in range(options.plain_folds))
        probe += time.perf_counter() - start
        start = time.perf_counter()
        _plain_lda(states[:, row], plan)
        lda += time.perf_counter() - start
        differ.append(abs(hits - ours[row]))
    layers = states.shape[1] / len(rows)
    probe *= layers * 5 / options.plain_folds * (1 + len(plan.shuffled))
    lda *= layers * 5
    print(f"{'plain scikit-learn, probes':44} {probe:8.1f} s (from {len(rows)} layers, true labels)")
    print(f"{'plain scikit-learn, LDA':44} {lda:8.1f} s (from {len(rows)} layers, one fold)")
    print(f"{'plain over ours':44} {(probe + lda) / probes:8.1f}")
    if options.plain_folds == 5:
        print(f"held-out hits differ from plain scikit-learn's by at most {max(differ)} of {len(plan.texts)} a layer")


def _plain_probe(states: np.ndarray, plan: Plan, fold: int) -> int:
    training = plan.folds != fold
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(tol=1e-4, max_iter=5_000)),
        {"logisticregression__C": [strength / states.shape[1] for strength in STRENGTHS]},
        cv=PredefinedSplit(plan.folds[training]),
    ).fit(states[training], plan.labels[training])
    return int((search.predict(states[~training]) == plan.labels[~training]).sum())


def _plain_lda(states: np.ndarray, plan: Plan) -> None:
    training = plan.folds != 0
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"))
    model.fit(states[training].astype(np.float64), plan.labels[training]).predict(states[~training])


def _forward(model: LoadedModel, texts: Sequence[str], n: int) -> tuple[float, np.ndarray]:
    """Seconds for all texts, from every so many-th of them in order of length, and their states."""
    chosen = sorted(texts, key=len)[:: max(1, len(texts) // n)] if n < len(texts) else list(texts)
    component_states(model, chosen[:2])
    start = time.perf_counter()
    states = component_states(model, chosen)
    return (time.perf_counter() - start) * len(texts) / len(chosen), states


def _planted(plan: Plan, n_rows: int, d: int) -> np.ndarray:
    """States with a steep spectrum and classes that overlap, more separate layer by layer."""
    rng = np.random.default_rng(0)
    decay = np.exp(-np.arange(100) / 25)
    means = rng.normal(size=(len(plan.names), 100)) * decay
    states = np.empty((len(plan.texts), n_rows, d), dtype=np.float32)
    for row in range(n_rows):
        hidden = means[plan.labels] * row / n_rows + rng.normal(size=(len(plan.labels), 100)) * decay
        states[:, row] = hidden @ rng.normal(size=(100, d)) + 0.3 * rng.normal(size=(len(plan.labels), d))
    return states


def _texts(name: str) -> ParaphraseSet:
    """Bundled paraphrases, filled up with training wordings."""
    bundled = task_paraphrases(name).texts
    with (_WORDINGS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        more = [row["instruction"] for row in csv.DictReader(file)]
    filled = make_set(name, [*bundled, *more])
    return make_set(name, filled.texts[:N_PER_TASK])


def _random_1b() -> LoadedModel:
    from transformers import Olmo2Config, Olmo2ForCausalLM

    tokenizer: Any = load_model("ivy-sft", device="cpu").tokenizer
    config = Olmo2Config(
        vocab_size=8192,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=16,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return from_pretrained_parts(Olmo2ForCausalLM(config), tokenizer, "random-1b")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.geometry", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=("ivy", "1b"), default="ivy")
    parser.add_argument("--texts", type=int, default=80, help="how many texts run through the random model")
    parser.add_argument("--plain-layers", type=int, default=2, help="on how many layers scikit-learn runs plainly")
    parser.add_argument("--plain-folds", type=int, choices=range(1, 6), default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
