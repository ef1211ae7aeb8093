"""The steps of each family against transformers' own forward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ivcore.errors import UnknownFamilyError
from ivcore.models import FAMILIES, LoadedModel, Network, causal_mask
from ivcore.models.families import find_family
from tests.engine.oracle import hidden_states

IDS = torch.tensor([[5, 300, 17, 88, 240, 9, 9, 61], [7, 41, 399, 2, 150, 33, 12, 8]])


def plain_logits(model: LoadedModel) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model.hf(input_ids=IDS).logits
    return logits


def difference(model: LoadedModel, network: Network) -> float:
    with torch.no_grad():
        return float((network.forward(IDS) - plain_logits(model)).abs().max())


@pytest.mark.usefixtures("exact_float64")
def test_logits_are_those_of_transformers(model: LoadedModel) -> None:
    assert difference(model, model.network) < 1e-10


@pytest.mark.usefixtures("exact_float64")
def test_a_wrong_row_of_the_table_shows(model: LoadedModel) -> None:
    """Negative control: leave a norm out, or put the attention's norm where the family has none."""
    family = model.network.family
    norms = ["attn_in_norm", "attn_out_norm", "mlp_in_norm", "mlp_out_norm"]
    norms += [name for name in ("q_norm", "k_norm") if getattr(family, name)]
    for name in norms:
        other = None if getattr(family, name) else family.attn_in_norm or family.attn_out_norm
        wrong: Any = replace(family, **{name: other})
        assert difference(model, Network(model.hf, wrong)) > 1e-3, name


@pytest.mark.usefixtures("exact_float64")
def test_residuals_agree_block_by_block(model: LoadedModel) -> None:
    network, expected = model.network, hidden_states(model.hf, IDS)
    x = network.embed(IDS)
    positions, hidden = network.rotary(IDS.shape[1], x), causal_mask(IDS.shape[1], IDS.device)
    for layer in range(network.n_layers):
        q, k, v = network.read(layer, x, positions)
        x = network.write(layer, x, network.mix(layer, q, k, v, hidden))
        assert torch.allclose(x, expected[layer], rtol=0, atol=1e-10), layer


@pytest.mark.usefixtures("exact_float64")
def test_a_slice_of_positions_reads_like_the_whole(model: LoadedModel) -> None:
    x = model.network.embed(IDS)
    positions = model.network.rotary(IDS.shape[1], x)
    whole = model.network.read(1, x, positions)
    part = model.network.read(1, x[:, 3:6], positions[3:6])
    for a, b in zip(whole, part, strict=True):
        assert torch.allclose(a[..., 3:6, :], b, rtol=0, atol=1e-12)
    moved = model.network.read_queries(1, x[:, 3:6], positions[2:5])
    assert (moved - part[0]).abs().max() > 1e-3, "positions must matter"


def test_sizes_are_those_of_the_config(model: LoadedModel) -> None:
    config, network = model.hf.config, model.network
    assert (network.n_layers, network.n_heads) == (config.num_hidden_layers, config.num_attention_heads)
    assert (network.n_kv_heads, network.d_model) == (config.num_key_value_heads, config.hidden_size)
    assert network.vocab_size == config.vocab_size
    assert (model.n_layers, model.n_kv_heads, model.vocab_size) == (
        network.n_layers,
        network.n_kv_heads,
        config.vocab_size,
    )


def test_every_row_names_a_class_of_transformers() -> None:
    import transformers

    for architecture, family in FAMILIES.items():
        assert family.architecture == architecture
        assert hasattr(transformers, architecture)
        assert family.differs.endswith(".")


def test_an_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(UnknownFamilyError) as caught:
        find_family("BertForMaskedLM")
    assert "'BertForMaskedLM'" in str(caught.value)
    assert all(family.name in str(caught.value) for family in FAMILIES.values())
