"""Activations through nnsight against forward hooks, and what the wrapper leaves alone."""

from __future__ import annotations

import os
import threading

import pytest
import torch

from ivcore.activations import attention_patterns, patched_logits, residuals, source_vectors
from ivcore.errors import PromptError
from ivcore.models import LoadedModel, from_pretrained_parts
from tests.conftest import make_llama, make_olmo2, make_tokenizer
from tests.engine.oracle import hidden_states, hooked_logits

IDS = [5, 300, 17, 88, 240, 9, 61]


def test_residuals_are_the_outputs_of_the_blocks(model: LoadedModel) -> None:
    expected = hidden_states(model.hf, torch.tensor([IDS]))[:, 0]
    found = residuals(model, IDS)
    assert torch.equal(found, expected)
    assert (found[1:] - expected[:-1]).abs().max() > 0.1, "one layer off must show"


def test_source_vectors_are_one_column(model: LoadedModel) -> None:
    assert torch.equal(source_vectors(model, IDS, 3), residuals(model, IDS)[:, 3])


def test_what_follows_cannot_change_the_source(model: LoadedModel) -> None:
    alone, followed = source_vectors(model, IDS[:4], 3), source_vectors(model, IDS, 3)
    assert torch.allclose(alone, followed, rtol=0, atol=1e-5)
    assert (source_vectors(model, [6, *IDS[1:]], 3) - followed).abs().max() > 0.1


def test_attention_patterns_are_those_that_transformers_reports(model: LoadedModel) -> None:
    with torch.no_grad():
        expected = torch.stack(model.hf(input_ids=torch.tensor([IDS]), output_attentions=True).attentions)[:, 0]
    assert torch.equal(attention_patterns(model, IDS), expected)


@pytest.mark.parametrize("layers", [(), (0,), (1, 3), (0, 1, 2, 3)])
def test_a_traced_patch_is_a_hooked_one(model: LoadedModel, layers: tuple[int, ...]) -> None:
    vectors = torch.randn(
        model.n_layers, model.d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    found = patched_logits(model, IDS, 2, vectors, layers)
    expected = hooked_logits(model.hf, torch.tensor([IDS]), 2, vectors, layers)[0]
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)
    if layers:
        assert (found - patched_logits(model, IDS, 2, vectors, ())).abs().max() > 1e-3


@pytest.mark.parametrize("position", [-1, 7])
def test_a_position_that_is_not_there(olmo2: LoadedModel, position: int) -> None:
    with pytest.raises(PromptError, match="choose 0 to 6"):
        source_vectors(olmo2, IDS, position)


def test_prompts_that_do_not_fit(olmo2: LoadedModel) -> None:
    with pytest.raises(PromptError, match="97 tokens but the model takes 96"):
        residuals(olmo2, [5] * 97)
    with pytest.raises(PromptError, match="no tokens"):
        residuals(olmo2, [])


def test_the_wrapper_changes_neither_objects_nor_tokenizer_nor_environment() -> None:
    tokenizer = make_tokenizer()
    tokenizer.padding_side, tokenizer.pad_token = "right", None
    loaded = from_pretrained_parts(make_olmo2(), tokenizer, "fresh")
    before = dict(os.environ)
    residuals(loaded, IDS)
    assert not hasattr(object(), "save"), "nnsight must not add a method to every object"
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("right", None)
    assert dict(os.environ) == before
    tracer = loaded.tracer
    residuals(loaded, IDS)
    assert loaded.tracer is tracer, "wrapped once"


def test_two_models_run_side_by_side(olmo2: LoadedModel) -> None:
    """One lock for each model: traces of different models in different threads do not meet."""
    other = from_pretrained_parts(make_llama(), make_tokenizer(), "other")
    expected = {0: residuals(olmo2, IDS), 1: residuals(other, IDS)}
    found: dict[int, list[torch.Tensor]] = {0: [], 1: []}

    def work(n: int) -> None:
        found[n] += [residuals((olmo2, other)[n], IDS) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in (0, 1):
        assert len(found[n]) == 20
        assert all(torch.equal(one, expected[n]) for one in found[n])


def test_threads_share_one_model(olmo2: LoadedModel) -> None:
    expected = [residuals(olmo2, [n, *IDS]) for n in range(6)]
    found: dict[int, torch.Tensor] = {}

    def work(n: int) -> None:
        for _ in range(5):
            found[n] = residuals(olmo2, [n, *IDS])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[n], expected[n]) for n in range(6))
