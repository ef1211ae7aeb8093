"""``patch``: the whole way from texts to metrics, and what it refuses."""

from __future__ import annotations

import itertools
import threading
from math import comb
from typing import Any

import pytest
import torch

from ivcore.errors import DamagedModelError, InputError, LayerError, PromptError
from ivcore.metrics import measure
from ivcore.models import LoadedModel, from_pretrained_parts
from ivcore.patching import check_sets, layer_sets, patch
from ivcore.prompts import Prompt, build_answer, build_prompt
from tests.conftest import INSTRUCTION, QUERY, make_olmo2
from tests.engine.oracle import hidden_states, hooked_logits


def prompt_of(model: LoadedModel, **options: Any) -> Prompt:
    return build_prompt(model.tokenizer, INSTRUCTION, QUERY, **options)


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("options", [{}, {"t_inst": 3}, {"chat": True}, {"position": 4}, {"filler": " big"}])
def test_a_report_is_what_hooked_passes_give(model: LoadedModel, options: dict[str, Any]) -> None:
    prompt = prompt_of(model, **options)
    answer = build_answer(model.tokenizer, prompt, "bigger")
    sets = layer_sets(model.n_layers, 3)
    report = patch(model, prompt, answer, sets)
    vectors = hidden_states(model.hf, torch.tensor([prompt.ids_source]))[:, 0, -1]
    full, target = torch.tensor([prompt.ids_full]), torch.tensor([prompt.ids_target])
    where = prompt.patch_position
    expected = {s: hooked_logits(model.hf, target, where, vectors, s) for s in ((), *sets)}
    assert_same(report.full, hooked_logits(model.hf, full, 0, vectors, ()), answer.id)
    assert_same(report.target, expected[()], answer.id)
    assert [row.layers for row in report.patched] == list(sets)
    for row in report.patched:
        assert_same(row, expected[row.layers], answer.id)
    moved = max(abs(row.metrics.logit - report.target.metrics.logit) for row in report.patched)
    assert moved > 0.1, "a patch that does nothing would pass for the wrong reason"


def assert_same(outcome: Any, logits: torch.Tensor, answer_id: int) -> None:
    expected = measure(logits, answer_id)[0]
    assert outcome.metrics.rank == expected.rank
    assert outcome.metrics.logit == pytest.approx(expected.logit, abs=1e-10)
    assert outcome.metrics.logprob == pytest.approx(expected.logprob, abs=1e-10)
    assert [score.id for score in outcome.top] == logits[0].argsort(descending=True)[:10].tolist()
    assert outcome.top[0].prob == pytest.approx(logits[0].softmax(-1).max().item(), abs=1e-10)


def test_the_default_answer_is_the_models_own(model: LoadedModel) -> None:
    report = patch(model, prompt_of(model), None, [(0,)])
    assert report.full.metrics.rank == 1
    assert report.full.top[0].id == report.answer.id
    assert report.answer.n_tokens == 1


def test_no_sets_give_the_two_baselines(olmo2: LoadedModel) -> None:
    report = patch(olmo2, prompt_of(olmo2), None, [])
    assert report.patched == ()
    assert report.full.metrics.rank == 1


def test_sets_come_back_ascending_in_the_order_given(olmo2: LoadedModel) -> None:
    report = patch(olmo2, prompt_of(olmo2), None, [(3, 1), (0,), [4, 0, 2]])
    assert [row.layers for row in report.patched] == [(1, 3), (0,), (0, 2, 4)]


def test_the_budget_and_top_k_change_no_number(olmo2: LoadedModel) -> None:
    prompt, sets = prompt_of(olmo2), layer_sets(olmo2.n_layers, 2)
    usual, tight = patch(olmo2, prompt, None, sets), patch(olmo2, prompt, None, sets, memory_budget=1000, top_k=3)
    assert [row.metrics.rank for row in tight.patched] == [row.metrics.rank for row in usual.patched]
    assert [row.metrics.logit for row in tight.patched] == pytest.approx([row.metrics.logit for row in usual.patched])
    assert all(len(row.top) == 3 for row in tight.patched)


def test_a_caller_may_hold_the_lock(olmo2: LoadedModel) -> None:
    with olmo2.lock:
        assert patch(olmo2, prompt_of(olmo2), None, [(0,)]).patched


def test_threads_do_not_disturb_each_other(olmo2: LoadedModel) -> None:
    prompts = [build_prompt(olmo2.tokenizer, f"{INSTRUCTION} {n}", QUERY) for n in range(4)]
    sets = layer_sets(olmo2.n_layers, 2)
    expected = [patch(olmo2, prompt, None, sets).patched for prompt in prompts]
    found: dict[int, Any] = {}

    def work(n: int) -> None:
        found[n] = patch(olmo2, prompts[n], None, sets).patched

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict(enumerate(expected))


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([()], "at least one layer from 0 to 4"),
        ([(5,)], "no layer 5; this model has the layers 0 to 4"),
        ([(-1,)], "no layer -1"),
        ([(True,)], "no layer True"),
        ([(1.0,)], "no layer 1.0"),
        ([(2, 2)], "2,2 names a layer twice"),
        ([(1, 3), (3, 1)], "1,3 is given twice"),
        ([(0,)] * 2001, "2001 layer sets are too many"),
    ],
)
def test_layers_that_cannot_be_patched(olmo2: LoadedModel, sets: Any, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        patch(olmo2, prompt_of(olmo2), None, sets)


def test_all_sets_to_depth_three_are_allowed_in_deep_models() -> None:
    assert len(check_sets(layer_sets(32, 3), 32)) == 32 + comb(32, 2) + comb(32, 3)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_layer_sets_are_all_of_them_in_order(depth: int) -> None:
    found = layer_sets(6, depth)
    every = [s for n in range(1, 7) for s in itertools.product(range(6), repeat=n) if list(s) == sorted(set(s))]
    assert list(found) == sorted((s for s in every if len(s) <= depth), key=lambda s: (len(s), s))


@pytest.mark.parametrize("depth", [0, 4, -1])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(LayerError, match="choose 1, 2 or 3"):
        layer_sets(6, depth)


def test_a_prompt_longer_than_the_context(olmo2: LoadedModel) -> None:
    prompt = build_prompt(olmo2.tokenizer, "word " * 60, QUERY)
    with pytest.raises(PromptError, match=rf"{len(prompt.ids_full)} tokens but the model takes 96"):
        patch(olmo2, prompt, None, [(0,)])


def test_a_prompt_of_another_tokenizer(olmo2: LoadedModel, bos_tokenizer: Any) -> None:
    from dataclasses import replace

    prompt = replace(prompt_of(olmo2), ids_full=(5, 9999), t_inst=0)
    with pytest.raises(PromptError, match="another model's tokenizer"):
        patch(olmo2, prompt, None, [(0,)])


def test_an_answer_of_another_tokenizer(olmo2: LoadedModel) -> None:
    from dataclasses import replace

    prompt = prompt_of(olmo2)
    answer = replace(build_answer(olmo2.tokenizer, prompt, "bigger"), id=9999)
    with pytest.raises(InputError, match="vocabulary of 420"):
        patch(olmo2, prompt, answer, [(0,)])


def test_weights_that_are_not_numbers(tokenizer: Any) -> None:
    hf = make_olmo2()
    with torch.no_grad():
        hf.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    broken = from_pretrained_parts(hf, tokenizer, "broken")
    with pytest.raises(DamagedModelError, match="not finite"):
        patch(broken, prompt_of(broken), None, [(0,)])
