"""Activations through nnsight against forward hooks, and what the wrapper leaves alone."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch

from ivcore import activations
from ivcore.activations import (
    COMPONENTS,
    attention_patterns,
    component_states,
    patched_logits,
    residuals,
    source_vectors,
    state_rows,
)
from ivcore.errors import InputError, PromptError
from ivcore.models import LoadedModel, from_pretrained_parts
from ivcore.prompts import build_prompt
from tests.conftest import make_llama, make_olmo2, make_tokenizer
from tests.engine.oracle import hidden_states, hooked_logits

IDS = [5, 300, 17, 88, 240, 9, 61]
TEXTS = [
    "Given an adjective, state its comparative form.",
    "State its color.",
    "Given an animal, state its color.",
    "State its form:.",
    "yes",
    "State its colour.",
]
"""Of several lengths, some of them equal."""


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


def hooked(model: LoadedModel, text: str, component: str) -> np.ndarray:
    """The component by forward hooks on plain transformers, one text; where it stands is written out for each
    family."""
    core: Any = model.hf.model
    parts = {
        ("OLMo-2", "attn"): lambda block: block.post_attention_layernorm,
        ("OLMo-2", "mlp"): lambda block: block.post_feedforward_layernorm,
        ("Llama", "attn"): lambda block: block.self_attn,
        ("Llama", "mlp"): lambda block: block.mlp,
    }
    if component == "resid":
        modules = [core.embed_tokens, *core.layers]
    else:
        modules = [parts[model.family, component](block) for block in core.layers]
    seen: list[torch.Tensor] = []

    def keep(_module: Any, _args: Any, output: Any) -> None:
        seen.append((output[0] if isinstance(output, tuple) else output)[0, -1])

    with ExitStack() as hooks, torch.no_grad():
        for module in modules:
            hooks.callback(module.register_forward_hook(keep).remove)
        model.hf(input_ids=torch.tensor([model.tokenizer(text)["input_ids"]]), use_cache=False)
    return torch.stack(seen).numpy()


@pytest.mark.parametrize("component", COMPONENTS)
def test_component_states_are_what_hooks_see_on_plain_transformers(model: LoadedModel, component: str) -> None:
    found = component_states(model, TEXTS, component)
    expected = np.stack([hooked(model, text, component) for text in TEXTS])
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert found.shape[1] == len(state_rows(component, model.n_layers)) == model.n_layers + (component == "resid")
    scale = np.abs(expected).max()
    assert np.allclose(found, expected, rtol=0, atol=1e-6 * scale)
    assert np.abs(found[0] - expected[1]).max() > 0.1, "another text's states must show"


def test_what_the_parts_add_makes_up_the_last_residual(model: LoadedModel) -> None:
    resid, attn, mlp = (component_states(model, TEXTS, component) for component in COMPONENTS)
    total = resid[:, 0] + attn.sum(axis=1) + mlp.sum(axis=1)
    assert np.allclose(total, resid[:, -1], rtol=0, atol=1e-5 * np.abs(total).max())
    assert np.abs(total - mlp[:, -1] - resid[:, -1]).max() > 0.1, "one part missing must show"


def test_a_batch_equals_its_texts(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    together = component_states(model, TEXTS)
    alone = np.concatenate([component_states(model, [text]) for text in TEXTS])
    assert np.allclose(together, alone, rtol=0, atol=1e-6 * np.abs(alone).max())
    monkeypatch.setattr(activations, "_ROWS_AT_ONCE", 1)
    assert np.allclose(component_states(model, TEXTS), alone, rtol=0, atol=1e-6 * np.abs(alone).max())


def test_the_state_is_the_source_vector_of_the_same_instruction(olmo2: LoadedModel) -> None:
    prompt = build_prompt(olmo2.tokenizer, TEXTS[0], "Adjective: big. Answer:")
    expected = source_vectors(olmo2, prompt.ids_source, prompt.t_inst).numpy()
    assert np.allclose(component_states(olmo2, TEXTS[:1])[0, 1:], expected, atol=1e-5)


def test_a_pass_stops_before_the_logits(olmo2: LoadedModel) -> None:
    called: list[str] = []
    with ExitStack() as hooks:
        for name in ("model.norm", "lm_head"):
            module = olmo2.hf.get_submodule(name)
            hooks.callback(module.register_forward_pre_hook(lambda *_, n=name: called.append(n)).remove)
        component_states(olmo2, TEXTS)
        assert called == []
        residuals(olmo2, IDS)
        assert called, "the hooks would have seen it"


def test_progress_counts_texts_and_may_stop(olmo2: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "_TOKENS_AT_ONCE", 1)
    seen: list[int] = []
    component_states(olmo2, TEXTS, on_batch=seen.append)
    assert seen == [1, 2, 3, 4, 5, 6]

    def stop(done: int) -> None:
        raise KeyboardInterrupt(done)

    with pytest.raises(KeyboardInterrupt, match="1"):
        component_states(olmo2, TEXTS, on_batch=stop)
    assert not olmo2.lock._is_owned()  # type: ignore[attr-defined]
    assert len(component_states(olmo2, TEXTS)) == len(TEXTS), "the model still runs"


def test_texts_and_components_that_cannot_be_read(olmo2: LoadedModel) -> None:
    with pytest.raises(InputError, match="'value'; choose one of resid, attn, mlp"):
        component_states(olmo2, TEXTS, "value")
    with pytest.raises(PromptError, match=r"'aaaa.*' has .* tokens but the model takes 96; shorten it or leave it out"):
        component_states(olmo2, ["yes", "a" * 1000])
    with pytest.raises(PromptError, match="no tokens"):
        component_states(olmo2, [""])
    assert component_states(olmo2, []).shape == (0, olmo2.n_layers + 1, olmo2.d_model)
