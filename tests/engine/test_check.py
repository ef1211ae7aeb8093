"""The self-check passes whole models in every dtype and fails broken ones, each by the item that should notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ivcore.check import CheckReport, check_model
from ivcore.models import LoadedModel, Network, from_pretrained_parts
from ivcore.patching import shared_prefix
from tests.conftest import make_llama, make_olmo2, make_tokenizer


def fresh(make: Callable[[], Any] = make_olmo2, dtype: torch.dtype = torch.float64) -> LoadedModel:
    """A model of its own, so that a test may break it."""
    return from_pretrained_parts(make().to(dtype), make_tokenizer(), "fresh")


def failed(report: CheckReport) -> set[str]:
    return {item.name for item in report.items if not item.passed}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", [make_olmo2, make_llama])
def test_whole_models_pass(make: Callable[[], Any], dtype: torch.dtype) -> None:
    model = fresh(make, dtype)
    report = check_model(model)
    assert report.passed, failed(report)
    assert report.fingerprint == model.fingerprint
    assert [item.name for item in report.items] == [
        "logits",
        "attention_rows",
        "attention_patterns",
        "own_residual",
        "nnsight_patch",
        "batch",
        "paths",
    ]
    for item in report.items:
        assert 0 <= item.value <= item.tolerance
        assert f"{item.tolerance:g}: " in item.explanation


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_network_without_its_query_norm_fails(dtype: torch.dtype) -> None:
    model = fresh(dtype=dtype)
    model.network = Network(model.hf, replace(model.network.family, q_norm=None))
    assert {"logits", "attention_patterns", "own_residual", "nnsight_patch"} <= failed(check_model(model))


def test_a_network_with_other_gates_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh()
    own = model.network.gates
    monkeypatch.setattr(model.network, "gates", lambda layer, x: 1.01 * own(layer, x))
    assert failed(check_model(model)) == {"paths"}


def test_a_network_with_another_attention_scale_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh()
    monkeypatch.setattr(model.network, "scale", lambda layer: 1.001 * model.hf.model.layers[layer].self_attn.scaling)
    assert {"logits", "attention_patterns"} <= failed(check_model(model))


def test_a_model_that_looks_ahead_fails() -> None:
    model = fresh()
    model.hf.config._attn_implementation = "eager"
    for block in model.hf.model.layers:
        attention = block.self_attn
        block.self_attn.forward = lambda *args, _own=attention.forward, **kw: _own(
            *args, **kw | {"attention_mask": None}
        )
    report = check_model(model)
    rows = next(item for item in report.items if item.name == "attention_rows")
    assert not rows.passed
    assert rows.value > 0.01


@pytest.mark.parametrize(
    ("method", "item"),
    [("_choose_variants", "nnsight_patch"), ("_advance_variants", "own_residual"), ("_attend", "batch")],
)
def test_a_broken_pass_fails(monkeypatch: pytest.MonkeyPatch, method: str, item: str) -> None:
    own = getattr(shared_prefix._Pass, method)

    def late_variants(self: Any, layer: int, before: list[int], after: list[int]) -> None:
        own(self, layer, before, after)
        self.variants = self.variants.roll(1, 0)

    def stale_variants(self: Any, layer: int, prefix: Any) -> Any:
        kept = self.variants.clone()
        columns = own(self, layer, prefix)
        self.variants = kept
        return columns

    def leaking_samples(self: Any, layer: int, x: Any, *rest: Any) -> Any:
        return own(self, layer, x.mean(dim=1, keepdim=True).expand_as(x), *rest)

    broken = {"_choose_variants": late_variants, "_advance_variants": stale_variants, "_attend": leaking_samples}[
        method
    ]
    monkeypatch.setattr(shared_prefix._Pass, method, broken)
    report = check_model(fresh())
    assert item in failed(report)
    assert not report.passed


def test_weights_that_are_not_numbers_fail() -> None:
    model = fresh()
    with torch.no_grad():
        model.hf.model.layers[2].mlp.up_proj.weight[0, 0] = float("nan")
    report = check_model(model)
    assert "logits" in failed(report)
    assert not report.passed


def test_a_short_context_is_no_obstacle() -> None:
    model = fresh(lambda: make_olmo2(max_position_embeddings=8))
    assert check_model(model).passed
