"""Every family against TransformerLens, which writes each of them anew: residuals layer by layer, and logits.

transformers is the oracle of all other tests and also what our steps are built on; this is the one that shares no code
with it.  The package is no requirement of this project and most environments skip this file.  To run it, in an
environment of its own (``HookedTransformer`` is gone from version 4 on; 3.9.0 ran with the versions pinned here):

    python -m venv lens && lens/bin/pip install -r requirements.txt -r requirements-test.txt transformer_lens==3.9.0
    lens/bin/python -m pytest tests/engine/test_transformer_lens.py

Where it takes less than our tiny models have (no biases in Llama, as many key heads as query heads in OLMo-2), they
are made without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ivcore.models import LoadedModel, Network, Rotary, from_pretrained_parts
from tests import conftest

# Its imports warn of much, which is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

IDS = [5, 300, 17, 88, 240, 9, 9, 61]
"""Longer than any of the windows."""
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Case:
    """A tiny model, the name of what converts its weights, and what its configuration has of its own."""

    make: Callable[..., Any]
    convert: str
    changes: dict[str, Any] = field(default_factory=dict)
    """To the tiny model."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of ``HookedTransformerConfig``."""
    wrong: dict[str, Any] = field(default_factory=dict)
    """An entry of our family's row that makes it wrong."""


_ROTARY = {"positional_embedding_type": "rotary", "rotary_adjacent_pairs": False}
_GATED = _ROTARY | {"normalization_type": "RMS", "final_rms": True, "gated_mlp": True}
_TWO_TABLES = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
    "full_attention": {"rope_type": "default", "rope_theta": 500.0},
}

CASES = {
    "olmo": Case(
        conftest.make_olmo,
        "convert_olmo_weights",
        {"num_key_value_heads": 6},
        _GATED | {"normalization_type": "LN", "final_rms": False},
        {"mlp_in_norm": None},
    ),
    "olmo2": Case(
        conftest.make_olmo2, "convert_olmo2_weights", {"num_key_value_heads": 4}, _GATED, {"attn_out_norm": None}
    ),
    "llama": Case(
        conftest.make_llama,
        "convert_llama_weights",
        {"attention_bias": False, "mlp_bias": False},
        _GATED,
        {"mlp_in_norm": "input_layernorm"},
    ),
    "mistral": Case(conftest.make_mistral, "convert_mistral_weights", {}, _GATED, {"window": None}),
    "qwen2": Case(conftest.make_qwen2, "convert_qwen2_weights", {}, _GATED, {"window": None}),
    "qwen3": Case(
        conftest.make_qwen3,
        "convert_qwen3_weights",
        {"attention_bias": False},
        _GATED | {"use_qk_norm": True},
        {"q_norm": None},
    ),
    "gemma2": Case(
        conftest.make_gemma2,
        "convert_gemma_weights",
        {"hidden_size": 16},  # whose root, the scale of the embedding, single precision holds exactly
        _GATED
        | {
            "use_normalization_before_and_after": True,
            "attn_scale": 11**0.5,
            "attn_scores_soft_cap": 2.0,
            "output_logits_soft_cap": 7.0,
        },
        {"score_cap": None},
    ),
    "olmo3": Case(
        conftest.make_olmo3,
        "convert_olmo3_weights",
        {"rope_parameters": _TWO_TABLES},
        _GATED | {"rotary_base": 500.0, "rotary_base_local": 50.0},
        {"window": None},
    ),
    "gemma3": Case(
        conftest.make_gemma3,
        "convert_gemma_weights",
        {"hidden_size": 16, "rope_parameters": _TWO_TABLES},
        _GATED
        | {
            "use_normalization_before_and_after": True,
            "use_qk_norm": True,
            "attn_scale": 11**0.5,
            "rotary_base": 500.0,
            "rotary_base_local": 50.0,
        },
        {"k_norm": None},
    ),
    "gpt-neox": Case(
        conftest.make_gpt_neox,
        "convert_neox_weights",
        {},
        _ROTARY | {"normalization_type": "LN", "rotary_dim": 4, "parallel_attn_mlp": True},
        {"parallel": None},
    ),
    "gpt2": Case(
        conftest.make_gpt2,
        "convert_gpt2_weights",
        {},
        {"normalization_type": "LN"},
        {"position_embedding": None},
    ),
    "phi3": Case(
        conftest.make_phi3,
        "convert_phi3_weights",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}},
        _GATED,
        {"window": None},
    ),
}


def loaded(case: Case) -> LoadedModel:
    """In double precision, with weights that single precision holds too, also 1 more: Gemma's go by way of it."""
    hf = case.make(**case.changes)
    with torch.no_grad():
        for weight in hf.parameters():
            weight.copy_((weight * 4096).round() / 4096)
    return from_pretrained_parts(hf, conftest.make_tokenizer(), "lens")


def lens(model: LoadedModel, case: Case) -> Any:
    """The same weights in TransformerLens."""
    package = pytest.importorskip("transformer_lens.HookedTransformer", exc_type=ImportError)
    conversions = pytest.importorskip("transformer_lens.pretrained.weight_conversions", exc_type=ImportError)
    config, network = model.hf.config, model.network
    windows = [network.window(layer) for layer in range(model.n_layers)]
    settings: dict[str, Any] = {
        "original_architecture": type(model.hf).__name__,
        "d_model": model.d_model,
        "d_head": network.d_head,
        "n_heads": model.n_heads,
        "n_key_value_heads": model.n_kv_heads if model.n_kv_heads != model.n_heads else None,
        "d_mlp": network.d_mlp,
        "n_layers": model.n_layers,
        "d_vocab": model.vocab_size,
        "n_ctx": model.n_positions,
        "act_fn": first_of(config, "hidden_activation", "hidden_act", "activation_function"),
        "eps": first_of(config, "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon") or 1e-5,
        "use_local_attn": any(windows),
        "attn_types": ["local" if window else "global" for window in windows],
        "window_size": max((window for window in windows if window), default=None),
        "dtype": torch.float64,
        "device": "cpu",
    }
    if rope := getattr(config, "rope_parameters", None):
        settings |= {"rotary_base": rope.get("rope_theta"), "rotary_dim": network.d_head}
    made = package.HookedTransformer(package.HookedTransformerConfig(**settings | case.settings), move_to_device=False)
    made.load_and_process_state_dict(
        getattr(conversions, case.convert)(model.hf, made.cfg),
        fold_ln=False,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=False,
    )
    if made.cfg.positional_embedding_type == "rotary":
        for block in made.blocks:  # its tables have been through single precision
            size, length, base = made.cfg.rotary_dim, made.cfg.n_ctx, block.attn._rotary_base()
            sin, cos = block.attn.calculate_sin_cos_rotary(size, length, base=base, dtype=torch.float64)
            block.attn.rotary_sin, block.attn.rotary_cos = sin, cos
    return made


def first_of(config: Any, *names: str) -> Any:
    """The setting, which families call by different names."""
    return next((getattr(config, name) for name in names if hasattr(config, name)), None)


def exact_rotary(model: LoadedModel, n_tokens: int) -> Rotary:
    """The rotation in double precision: transformers keeps its tables in single, which would hide what is smaller."""
    n_turned = model.network.rotary(1, torch.zeros(1, dtype=torch.float64)).cos.shape[-1]
    rope = getattr(model.hf.config, "rope_parameters", None) or {"rope_theta": 1.0}
    kinds = dict.fromkeys(getattr(model.hf.config, "layer_types", None) or ())
    tables = [rope] if "rope_theta" in rope else [rope[kind] for kind in kinds]
    even = torch.arange(0, n_turned, 2, dtype=torch.float64) / max(n_turned, 1)
    positions = torch.arange(n_tokens, dtype=torch.float64)
    angles = torch.stack([torch.outer(positions, table["rope_theta"] ** -even).repeat(1, 2) for table in tables])
    return Rotary(angles.cos(), angles.sin())


def difference(model: LoadedModel, network: Network, expected: Any, cache: Any) -> float:
    """The largest of any residual or logit."""
    x, found = network.embed(torch.tensor([IDS])), 0.0
    positions = exact_rotary(model, len(IDS))
    for layer in range(network.n_layers):
        q, k, v = network.read(layer, x, positions)
        x = network.write(layer, x, network.mix(layer, q, k, v, network.hidden(layer, len(IDS))))
        found = max(found, largest(x, cache[f"blocks.{layer}.hook_resid_post"]))
    return max(found, largest(network.logits(x), expected))


def largest(a: Tensor, b: Tensor) -> float:
    """Of all differences."""
    return float((a - b).abs().max())


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("name", CASES)
def test_residuals_and_logits_are_those_of_transformer_lens(name: str) -> None:
    """And with one entry of the family's row made wrong they are not."""
    case = CASES[name]
    model = loaded(case)
    with torch.no_grad():
        logits, cache = lens(model, case).run_with_cache(torch.tensor([IDS]))
        assert difference(model, model.network, logits, cache) < TOLERANCE
        wrong = Network(model.hf, replace(model.network.family, **case.wrong))
        assert difference(model, wrong, logits, cache) > 1e-3
