"""The self-check passes whole models in every dtype and fails broken ones, each by the item that should notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ivcore.check import CheckReport, check_model
from ivcore.errors import DamagedModelError
from ivcore.models import LoadedModel, Network, causal_mask, from_pretrained_parts
from ivcore.patching import shared_prefix
from tests.conftest import MAKERS, make_gemma2, make_gpt2, make_llama, make_olmo2, make_tokenizer


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
        "weights",
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
    assert {"weights", "logits"} <= failed(report)
    assert not report.passed


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_no_number_fails_where_no_prompt_needs_it(value: float) -> None:
    """The row of a token that no tokenizer makes."""
    model = fresh()
    assert len(model.tokenizer) < model.vocab_size
    with torch.no_grad():
        model.hf.model.embed_tokens.weight[-1, 3] = value
    assert failed(check_model(model)) == {"weights"}


WINDOWED = {"mistral": 14, "qwen2": 15, "qwen3": 16, "gemma2": 17, "gemma3": 18, "olmo3": 19, "phi3": 20}
"""Windows that the short prompts do not reach."""


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_longer_than_the_short_prompts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that knows no window, or one of another length, fails by the masks alone."""
    make: Any = MAKERS[name]
    model = fresh(lambda: make(sliding_window=WINDOWED[name]))
    report, right = check_model(model), model.network
    assert report.passed, failed(report)
    windows = next(item for item in report.items if item.name == "windows")
    assert f"of {WINDOWED[name] + 3} tokens" in windows.explanation

    model.network = Network(model.hf, replace(right.family, window=None))
    assert failed(check_model(model)) == {"windows"}

    def longer(layer: int, n_tokens: int) -> torch.Tensor:
        window = right.window(layer)
        return causal_mask(n_tokens, torch.device("cpu"), None if window is None else window + 1)

    model.network = right
    monkeypatch.setattr(right, "hidden", longer)
    assert failed(check_model(model)) == {"windows"}


def test_a_window_in_the_wrong_layers_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh(lambda: make_gemma2(sliding_window=20))
    own = model.network.hidden
    monkeypatch.setattr(model.network, "hidden", lambda layer, *rest: own(max(layer - 1, 0), *rest))
    assert failed(check_model(model)) == {"windows"}


def test_a_window_that_the_model_leaves_aside_is_no_fault() -> None:
    """Llama's configuration may hold any key; its attention knows no window."""
    report = check_model(fresh(lambda: make_llama(sliding_window=20)))
    assert "windows" in {item.name for item in report.items}
    assert report.passed


def test_the_blocks_are_whole_after_their_masks_are_read() -> None:
    model = fresh(lambda: make_gemma2(sliding_window=20))
    ids = torch.tensor([[5, 300, 17]])
    before = model.hf(input_ids=ids).logits
    for _ in range(2):
        assert check_model(model).passed
        assert torch.equal(model.hf(input_ids=ids).logits, before)


def test_a_window_longer_than_the_context_is_compared_within_it() -> None:
    model = fresh(lambda: make_gemma2(sliding_window=5000))
    windows = next(item for item in check_model(model).items if item.name == "windows")
    assert windows.passed
    assert "of 96 tokens" in windows.explanation


def test_a_short_context_is_no_obstacle() -> None:
    model = fresh(lambda: make_olmo2(max_position_embeddings=8))
    assert check_model(model).passed


def test_a_model_that_transformers_cannot_run_says_so() -> None:
    model = fresh(lambda: make_gpt2(embd_pdrop=float("nan")))
    with pytest.raises(DamagedModelError, match=r"^transformers cannot run 'fresh' \(dropout probability .*\); its"):
        check_model(model)
