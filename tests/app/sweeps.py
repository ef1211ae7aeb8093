"""Finished sweeps with made-up numbers, whose effects can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from ivcore.metrics import Measures
from ivcore.runs import SweepRequest, SweepRun

__all__ = ["make_run"]

Layers = tuple[int, ...]


def make_run(
    effect: Callable[[Layers], float] | None = None,
    *,
    n_layers: int = 4,
    n: int = 12,
    depth: int = 2,
    noise: float = 0.1,
    seed: int = 0,
    task: str = "made_up",
    ref: str = "tiny",
    convention: str = "exact",
    key: str | None = None,
    **model: Any,
) -> SweepRun:
    """A run whose logit effects are ``effect(layers)`` plus noise; by default their number, and 5 more for (1, 3)."""
    wanted = effect or (lambda layers: len(layers) + 5.0 * (layers == (1, 3)))
    sets = tuple(s for size in range(1, depth + 1) for s in combinations(range(n_layers), size))
    rng = np.random.default_rng(seed)
    target = rng.normal(0.0, 1.0, n).astype(np.float32)
    patched = np.array([[wanted(layers)] * n for layers in sets]) + noise * rng.normal(size=(len(sets), n)) + target
    items = tuple((f"Thing: item {i}. Answer:", f"answer {i}") for i in range(n))
    described = {"ref": ref, "family": "Tiny", "n_layers": n_layers, "revision": None, "fingerprint": "f" * 64}
    return SweepRun(
        key=key or f"{seed:064x}",
        request=SweepRequest(task, "Say it.", items, depth, convention),
        model=described | {"device": "cpu", "dtype": "float32"} | model,
        created="2026-01-02T03:04:05+00:00",
        seconds=1.5,
        bundled=False,
        sets=sets,
        answer_tokens=tuple(f" answer{i}" for i in range(n)),
        full=_measures(target + 8),
        target=_measures(target),
        patched=_measures(patched),
    )


def _measures(logits: np.ndarray) -> Measures:
    """Ranks that fall as logits rise, from 1 on."""
    values = np.asarray(logits, dtype=np.float32)
    rank = np.maximum(1, np.round(12 - values)).astype(np.int32)
    return Measures(rank, values, np.minimum(values - 20, 0).astype(np.float32))
