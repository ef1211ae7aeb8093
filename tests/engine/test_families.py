"""Every family against plain transformers: logits, residuals, attention, patches, and the linear parts it hands out.

All in double precision (``exact_float64``), so that what differs is a bug and not rounding; each family also has twins
that are wrong in one entry of its row, which must show.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ivcore.activations import COMPONENTS, attention_patterns, component_states, patched_logits, residuals
from ivcore.check import check_model
from ivcore.errors import UnknownFamilyError
from ivcore.models import (
    FAMILIES,
    Affine,
    BlockWeights,
    LoadedModel,
    Network,
    Norm,
    Rotary,
    from_pretrained_parts,
    load_model,
    products,
)
from ivcore.models.block import _secant
from ivcore.models.families import Fused
from ivcore.models.folder import check_config
from ivcore.patching import final_residuals
from tests.conftest import MAKERS, loaded, make_gpt2, make_gpt_neox, make_llama, make_tokenizer, save_folder
from tests.engine.oracle import hidden_states

IDS = [5, 300, 17, 88, 240, 9, 9, 61]
"""Longer than any of the windows."""
TEXTS = ["Given an adjective, state its comparative form.", "State its color.", "yes"]
TOLERANCE = 1e-10
LINEAR = [name for name in MAKERS if name != "olmo-clipped"]


@pytest.fixture(params=list(MAKERS))
def model(request: pytest.FixtureRequest) -> LoadedModel:
    """A tiny model of every family in turn."""
    return loaded(request.param)


def plain_logits(model: LoadedModel, ids: list[list[int]]) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model.hf(input_ids=torch.tensor(ids)).logits
    return logits


def difference(model: LoadedModel, network: Network) -> float:
    """Of all logits of two prompts, the largest."""
    ids = [IDS, IDS[::-1]]
    with torch.no_grad():
        return float((network.forward(torch.tensor(ids)) - plain_logits(model, ids)).abs().max())


def test_every_family_has_a_tiny_model() -> None:
    assert {type(loaded(name).hf).__name__ for name in MAKERS} == set(FAMILIES)
    for name in MAKERS:
        network = loaded(name).network
        assert network.n_layers != network.n_heads
        windows = {int((~network.hidden(n, 99)).sum(1).max()) for n in range(network.n_layers)}
        assert min(windows) < len(IDS) or network.family.window is None, "a window must be shorter than the prompt"


@pytest.mark.usefixtures("exact_float64")
def test_logits_are_those_of_transformers(model: LoadedModel) -> None:
    assert difference(model, model.network) < TOLERANCE


@pytest.mark.usefixtures("exact_float64")
def test_residuals_agree_block_by_block(model: LoadedModel) -> None:
    ids = torch.tensor([IDS])
    network, expected, x = model.network, hidden_states(model.hf, ids), model.network.embed(ids)
    positions = network.rotary(len(IDS), x)
    for layer in range(network.n_layers):
        q, k, v = network.read(layer, x, positions)
        x = network.write(layer, x, network.mix(layer, q, k, v, network.hidden(layer, len(IDS))))
        assert torch.allclose(x, expected[layer], rtol=0, atol=TOLERANCE), layer
    assert torch.equal(residuals(model, IDS), expected[:, 0])


@pytest.mark.usefixtures("exact_float64")
def test_a_part_of_the_prompt_reads_like_the_whole(model: LoadedModel) -> None:
    x = model.network.embed(torch.tensor([IDS]))
    positions = model.network.rotary(len(IDS), x)
    whole = model.network.read(1, x, positions)
    part = model.network.read(1, x[:, 3:6], positions[3:6])
    for a, b in zip(whole, part, strict=True):
        assert torch.allclose(a[..., 3:6, :], b, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("exact_float64")
def test_attention_patterns_are_those_of_transformers(model: LoadedModel) -> None:
    network, ids = model.network, torch.tensor([IDS])
    with torch.no_grad():
        expected = torch.stack(model.hf(input_ids=ids, output_attentions=True).attentions)[:, 0]
    assert torch.equal(attention_patterns(model, IDS), expected)
    x = torch.cat((network.embed(ids), hidden_states(model.hf, ids)[:-1, 0]))
    positions = network.rotary(len(IDS), x)
    for layer in range(network.n_layers):
        q, k, _ = network.read(layer, x[layer], positions)
        hidden = network.hidden(layer, len(IDS))
        found = network.pattern(layer, q, k, hidden)
        assert torch.allclose(found, expected[layer], rtol=0, atol=TOLERANCE)
        assert bool((expected[layer][:, hidden] == 0).all())
        assert bool((expected[layer][:, ~hidden] > 0).all())


WRONG: dict[str, list[dict[str, Any]]] = {
    "olmo": [{"attn_in_norm": None}, {"mlp_in_norm": None}],
    "olmo-clipped": [{"clip": None}],
    "olmo2": [{"mlp_out_norm": "post_attention_layernorm"}, {"k_norm": None}],
    "olmo3": [{"window": None}, {"q_norm": None}, {"attn_out_norm": None}],
    "llama": [{"mlp_in_norm": "input_layernorm"}, {"up_proj": "mlp.gate_proj"}],
    "mistral": [{"window": None}],
    "qwen2": [{"window": None}],
    "qwen3": [{"window": None}, {"q_norm": None}, {"k_norm": "self_attn.q_norm"}],
    "gemma2": [{"window": None}, {"score_cap": None}, {"logit_cap": None}, {"mlp_in_norm": "post_attention_layernorm"}],
    "gemma3": [{"window": None}, {"k_norm": None}, {"attn_out_norm": None}],
    "gpt-neox": [{"parallel": None}, {"q_proj": Fused("attention.query_key_value", 0)}],
    "gpt-neox-sequential": [{"parallel": "attention.is_causal"}],
    "gpt2": [{"position_embedding": None}, {"k_proj": Fused("attn.c_attn", 2)}, {"mlp_in_norm": "ln_1"}],
    "phi3": [{"window": None}, {"gate_proj": Fused("mlp.gate_up_proj", 1), "up_proj": Fused("mlp.gate_up_proj", 0)}],
}
"""Entries of a family's row, each of which makes it wrong."""


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("name", MAKERS)
def test_a_wrong_entry_shows(name: str) -> None:
    model = loaded(name)
    for entries in WRONG[name]:
        wrong = Network(model.hf, replace(model.network.family, **entries))
        assert difference(model, wrong) > 1e-3, entries


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("name", ["olmo3", "gemma3"])
def test_the_other_rotary_table_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(loaded(name).hf, loaded(name).network.family)
    rotary = network.rotary

    def swapped(n_tokens: int, like: Tensor) -> Rotary:
        tables = rotary(n_tokens, like)
        return Rotary(tables.cos.flip(0), tables.sin.flip(0))

    monkeypatch.setattr(network, "rotary", swapped)
    assert difference(loaded(name), network) > 1e-3


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("position", [0, 2, 7])
def test_patches_in_one_pass_are_those_of_nnsight(model: LoadedModel, position: int) -> None:
    generator = torch.Generator().manual_seed(position)
    vectors = 3 * torch.randn(model.n_layers, model.d_model, generator=generator, dtype=torch.float64)
    sets = [(), (0,), (1,), (0, 1), (1, model.n_layers - 1)]
    with torch.no_grad():
        finals = final_residuals(model.network, vectors, torch.tensor([IDS]), position, sets, memory_budget=2**30)
        found = model.network.logits(finals)[:, 0]
    for layers, logits in zip(sets, found, strict=True):
        expected = patched_logits(model, IDS, position, vectors, layers)
        assert torch.allclose(logits, expected, rtol=0, atol=TOLERANCE), layers
    # What layer 0 leaves moves on by less than a window in each later layer, so it may not get to the last token.
    seen = [~model.network.hidden(layer, len(IDS))[-1] for layer in range(1, model.n_layers)]
    reached = sum(int(row.sum()) - 1 for row in seen) >= len(IDS) - 1 - position
    assert bool((found[1] - found[0]).abs().max() > 1e-3) == reached


def test_what_the_parts_add_makes_up_the_last_residual(model: LoadedModel) -> None:
    resid, attn, mlp = (component_states(model, TEXTS, component) for component in COMPONENTS)
    total = resid[:, 0] + attn.sum(axis=1) + mlp.sum(axis=1)
    assert np.allclose(total, resid[:, -1], rtol=0, atol=1e-5 * np.abs(total).max())
    assert np.abs(total - attn[:, -1] - resid[:, -1]).max() > 0.05, "one part missing must show"


# The linear parts ----------------------------------------------------------------------------------------------------


def apply(affine: Affine, x: Tensor) -> Tensor:
    return x @ affine.weight.T + (0 if affine.bias is None else affine.bias)


def normed(norm: Norm | None, x: Tensor) -> Tensor:
    if norm is None:
        return x
    out = norm.inverse_scale(x) * (x - x.mean(-1, keepdim=True) if norm.centred else x)
    return out * (1 if norm.weight is None else norm.weight) + (0 if norm.bias is None else norm.bias)


def step(network: Network, layer: int, x: Tensor, weights: BlockWeights) -> Tensor:
    """The block's output from its linear parts, its patterns and its gates."""
    q, k, v = network.read(layer, x, network.rotary(x.shape[-2], x))
    pattern = network.pattern(layer, q, k, network.hidden(layer, x.shape[-2]))
    values = apply(weights.v, normed(weights.attn_in, x)).unflatten(-1, (network.n_kv_heads, network.d_head))
    assert torch.allclose(v.transpose(0, 1), values, rtol=0, atol=TOLERANCE)
    each = values.repeat_interleave(network.n_heads // network.n_kv_heads, dim=-2)
    mixed = torch.einsum("hij,jhd->ihd", pattern, each)
    attention = apply(weights.o, mixed.flatten(-2))
    assert torch.allclose(network.attention_output(layer, mixed.transpose(0, 1)), attention, rtol=0, atol=TOLERANCE)
    mid = x + normed(weights.attn_out, attention)
    read = x if weights.parallel else mid
    mlp = apply(weights.down, network.gates(layer, read) * apply(weights.up, normed(weights.mlp_in, read)))
    assert torch.allclose(network.mlp_output(layer, read), mlp, rtol=0, atol=TOLERANCE)
    return mid + normed(weights.mlp_out, mlp)


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("name", LINEAR)
def test_the_linear_parts_make_up_the_model(name: str) -> None:
    """From one of its residuals to the next, and from the last to the logits."""
    model = loaded(name)
    network, ids = model.network, torch.tensor([IDS])
    x = torch.cat((network.embed(ids), hidden_states(model.hf, ids)[:, 0]))
    for layer in range(network.n_layers):
        found = step(network, layer, x[layer], network.weights(layer))
        assert torch.allclose(found, x[layer + 1], rtol=0, atol=TOLERANCE), layer
    uncapped = apply(network.unembedding, normed(network.final_norm, x[-1]))
    assert torch.allclose(network.uncapped_logits(x[-1]), uncapped, rtol=0, atol=TOLERANCE)
    cap = network.logit_cap
    logits = uncapped if cap is None else cap * torch.tanh(uncapped / cap)
    assert torch.allclose(logits, plain_logits(model, [IDS])[0], rtol=0, atol=TOLERANCE)
    assert network.unembedding.weight.shape == (model.vocab_size, model.d_model)
    assert network.not_linear is None


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("name", LINEAR)
def test_a_norm_read_wrongly_shows(name: str) -> None:
    """Negative control: the mean, the weight's offset and eps each matter."""
    network = loaded(name).network
    norm, x = network.final_norm, network.embed(torch.tensor([IDS]))[0] / 10
    assert norm is not None
    expected = normed(norm, x)
    wrong = [{"norms_centred": not norm.centred}, {"norm_eps": norm.eps + 1e-3}]
    if norm.weight is not None:
        wrong.append({"norm_weight_offset": 1 - network.family.norm_weight_offset})
    for entries in wrong:
        other = Network(loaded(name).hf, replace(network.family, **entries)).final_norm
        assert (normed(other, x) - expected).abs().max() > 1e-4, entries


@pytest.mark.parametrize("name", LINEAR)
def test_weights_are_the_models_own(name: str) -> None:
    """Views of its parameters, not copies; but where GPT-NeoX stores them head by head there is no such view."""
    own = {parameter.untyped_storage().data_ptr() for parameter in loaded(name).hf.parameters()}
    weights = loaded(name).network.weights(1)
    parts = {"v": weights.v, "o": weights.o, "up": weights.up, "down": weights.down}
    copied = {key for key, part in parts.items() if part.weight.untyped_storage().data_ptr() not in own}
    assert copied == ({"v"} if name.startswith("gpt-neox") else set())


def test_a_model_that_clips_says_why_it_is_not_linear() -> None:
    assert "clips" in (loaded("olmo-clipped").network.not_linear or "")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "activation", [torch.nn.GELU(), torch.nn.GELU(approximate="tanh"), torch.nn.SiLU(), torch.nn.Tanh()]
)
def test_the_secant_goes_over_into_the_slope_at_zero(
    activation: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    z = torch.tensor([0.0, -0.0, 1e-40, -1e-30, 1e-9, -2.0, 3.0], dtype=dtype)
    at_zero = torch.zeros((), dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(activation(at_zero), at_zero)
    found = _secant(activation, z)
    assert torch.allclose(found[:4], slope.expand(4), rtol=1e-6, atol=0)
    assert torch.allclose(found * z, activation(z), rtol=1e-6, atol=0)


# Loading and the self-check ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_the_self_check_passes_in_single_precision(name: str) -> None:
    """Where oneDNN computes, which must not be given a transposed weight: it takes a thousand times as long."""
    report = check_model(from_pretrained_parts(MAKERS[name]().float(), make_tokenizer(), "fresh"))  # type: ignore[arg-type]
    assert report.passed, [item for item in report.items if not item.passed]


def test_onednn_is_given_no_transposed_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    def onednn(x: Tensor, weight: Tensor, bias: Tensor | None, *_: Any) -> Tensor:
        assert weight.is_contiguous()
        return torch.nn.functional.linear(x, weight, bias)

    monkeypatch.setattr(products, "_ONEDNN", onednn)
    model = from_pretrained_parts(make_gpt2().float(), make_tokenizer(), "fresh")
    assert torch.isfinite(model.network.forward(torch.tensor([IDS]))).all()


@pytest.mark.parametrize("name", MAKERS)
def test_a_saved_model_loads_as_it_was(name: str, tmp_path: Path) -> None:
    hf = loaded(name).hf
    model = load_model(str(save_folder(hf, tmp_path / "model")), device="cpu", dtype="float64")
    assert model.family == loaded(name).family
    assert model.n_positions == 96
    found, expected = plain_logits(model, [IDS]), plain_logits(loaded(name), [IDS])
    assert torch.allclose(found, expected, rtol=0, atol=0.1), "half precision"
    assert torch.allclose(model.network.forward(torch.tensor([IDS])), found, rtol=0, atol=1e-4)


def test_checkpoints_as_the_hub_has_them(tmp_path: Path) -> None:
    """GPT-2's names lack the prefix, and it and Pythia store masks and rotary tables that transformers leaves aside."""
    for make, rename, extra in (
        (make_gpt2, lambda key: key.removeprefix("transformer."), "h.0.attn.bias"),
        (make_gpt_neox, str, "gpt_neox.layers.0.attention.masked_bias"),
        (make_gpt_neox, str, "gpt_neox.layers.0.attention.rotary_emb.inv_freq"),
    ):
        folder = save_folder(make(), tmp_path / extra)
        tensors = {rename(key): tensor for key, tensor in load_file(folder / "model.safetensors").items()}
        save_file(tensors | {extra: torch.ones(4)}, folder / "model.safetensors", metadata={"format": "pt"})
        model = load_model(str(folder), device="cpu", dtype="float64")
        assert difference(model, model.network) < 1e-4


def test_a_window_in_the_config_of_a_family_without_one_is_left_aside() -> None:
    """As transformers does: Llama's configuration may hold any key, and its attention knows no window."""
    model = from_pretrained_parts(make_llama(sliding_window=3), make_tokenizer(), "fresh")
    assert model.hf.config.sliding_window == 3
    assert difference(model, model.network) < 1e-4


@pytest.mark.parametrize("key", [{"use_bidirectional_attention": True}, {"is_causal": False}])
def test_a_model_that_reads_both_ways_is_refused(key: dict[str, bool]) -> None:
    config = json.loads(loaded("gemma3").hf.config.to_json_string()) | {"architectures": ["Gemma3ForCausalLM"]}
    assert check_config(config).name == "Gemma 3 text"
    with pytest.raises(UnknownFamilyError, match="left to right"):
        check_config(config | key)
