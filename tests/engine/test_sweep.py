"""The sweep of many samples equals one hooked forward pass for each sample and set, ranked by a plain sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ivcore.activations import source_vectors
from ivcore.errors import AnswerError, InputError, PromptError
from ivcore.metrics import Measures, measure, measure_rows, reciprocal_ranks
from ivcore.models import LoadedModel, from_pretrained_parts
from ivcore.patching import (
    SweepSample,
    build_samples,
    layer_sets,
    minimal_operations,
    plan_blocks,
    sweep_block,
    task_vectors,
)
from ivcore.prompts import build_answer, build_prompt
from ivcore.runs.cost import shape_of
from tests.conftest import INSTRUCTION, make_gpt2, make_phi3, make_tokenizer
from tests.engine.oracle import hidden_states, hooked_logits

ITEMS = (
    ("Adjective: big. Answer:", "bigger"),
    ("Adjective: small. Answer:", "big"),
    ("Animal: a cat. Answer:", "black"),
    ("Adjective: bad. Answer:", "bigger"),
    ("Adjective: black, small. Answer:", "no"),
)


def place(logits: Tensor, answer: int) -> int:
    """The answer's place in the sorted order; no ties occur among random logits."""
    return logits.argsort(descending=True).tolist().index(answer) + 1


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("convention", ["exact", "released"])
def test_every_sample_and_set_equals_its_hooked_pass(model: LoadedModel, convention: str) -> None:
    samples = build_samples(model, INSTRUCTION, ITEMS, convention=convention)
    sets, vectors = layer_sets(model.n_layers, 2), task_vectors(model, samples)
    blocks = plan_blocks(samples, most=2)
    assert sorted(i for block in blocks for i in block) == list(range(len(ITEMS)))
    assert any(len(block) == 2 for block in blocks), "no two samples ever ran together: this would prove nothing"
    for block in blocks:
        found = sweep_block(model, vectors, [samples[i] for i in block], sets)
        for column, i in enumerate(block):
            check_sample(model, samples[i], vectors, sets, found.patched, found.target, column)
            whole = hooked_logits(model.hf, torch.tensor([samples[i].ids_full]), 0, vectors, ())[0]
            assert found.full.rank[column] == place(whole, samples[i].answer.id)


def check_sample(
    model: LoadedModel,
    sample: SweepSample,
    vectors: Tensor,
    sets: tuple[tuple[int, ...], ...],
    patched: Measures,
    target: Measures,
    column: int,
) -> None:
    ids, answer = torch.tensor([sample.ids_target]), sample.answer.id
    for layers, row in [((), None), *((layers, row) for row, layers in enumerate(sets))]:
        logits = hooked_logits(model.hf, ids, sample.patch_position, vectors, layers)[0]
        found = target if row is None else patched
        index = (column,) if row is None else (row, column)
        assert found.rank[index] == place(logits, answer), layers
        assert found.logit[index] == pytest.approx(logits[answer].item(), rel=1e-6)
        assert found.logprob[index] == pytest.approx(logits.log_softmax(-1)[answer].item(), rel=1e-5, abs=1e-6)


def test_the_vectors_are_the_instructions_own_at_its_last_token(olmo2: LoadedModel) -> None:
    samples = build_samples(olmo2, INSTRUCTION, ITEMS)
    prompt = build_prompt(olmo2.tokenizer, INSTRUCTION, ITEMS[2][0])
    states = hidden_states(olmo2.hf, torch.tensor([prompt.ids_full]))[:, 0, prompt.t_inst]
    assert torch.allclose(task_vectors(olmo2, samples), states, rtol=0, atol=1e-4)
    elsewhere = source_vectors(olmo2, prompt.ids_source, prompt.t_inst - 1)
    assert (elsewhere - states).abs().max() > 1e-2


def test_as_defined_and_as_released_differ_where_they_should(olmo2: LoadedModel) -> None:
    exact, released = (build_samples(olmo2, INSTRUCTION, ITEMS[:1], convention=c)[0] for c in ("exact", "released"))
    prompt = build_prompt(olmo2.tokenizer, INSTRUCTION, ITEMS[0][0])
    assert exact.ids_target == prompt.ids_target and exact.answer == build_answer(olmo2.tokenizer, prompt, "bigger")
    bare = olmo2.tokenizer(ITEMS[0][0], add_special_tokens=False).input_ids
    assert released.ids_target == tuple(bare) and released.patch_position == 0
    assert released.answer.id == olmo2.tokenizer("bigger", add_special_tokens=False).input_ids[0] != exact.answer.id
    assert exact.ids_full == released.ids_full


def test_a_small_memory_budget_changes_nothing(olmo2: LoadedModel) -> None:
    samples = [s for s in build_samples(olmo2, INSTRUCTION, ITEMS) if len(s.ids_full) > 0]
    block = [samples[i] for i in plan_blocks(samples)[0]]
    sets, vectors = layer_sets(olmo2.n_layers, 3), task_vectors(olmo2, samples)
    large, small = (sweep_block(olmo2, vectors, block, sets, memory_budget=b) for b in (2**30, 2**18))
    assert (large.patched.rank == small.patched.rank).all()
    assert np.allclose(large.patched.logit, small.patched.logit, rtol=0, atol=1e-6)


def test_the_work_can_be_stopped_between_blocks_of_the_network(olmo2: LoadedModel) -> None:
    samples = build_samples(olmo2, INSTRUCTION, ITEMS[:1])
    shares: list[float] = []

    class Enough(Exception):
        pass

    def listen(share: float) -> None:
        shares.append(share)
        if share > 0.5:
            raise Enough

    with pytest.raises(Enough):
        sweep_block(olmo2, task_vectors(olmo2, samples), samples, layer_sets(5, 1), on_share=listen)
    assert shares == pytest.approx([0.2, 0.4, 0.6])


@pytest.mark.parametrize(
    ("items", "convention", "error", "words"),
    [
        ((), "exact", InputError, "no samples"),
        (ITEMS[:1], "as I like", InputError, "convention"),
        ((("", "bigger"),), "exact", PromptError, "query is empty"),
        ((("Adjective: big. Answer:", " "),), "exact", AnswerError, "only white space"),
        ((("Adjective: big. Answer:", " "),), "released", AnswerError, "no token"),
        ((("word " * 90, "bigger"),), "exact", PromptError, "takes 96"),
    ],
)
def test_bad_input_is_told_in_one_sentence(
    olmo2: LoadedModel, items: tuple[tuple[str, str], ...], convention: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        build_samples(olmo2, INSTRUCTION, (*ITEMS[:1], *items) if items else (), convention=convention)
    for query, _ in items if error in (PromptError, AnswerError) else ():
        assert query[:20] in str(raised.value), "among many samples it is said which one"


def test_rows_are_measured_as_one_by_one() -> None:
    logits = torch.randn(6, 77, generator=torch.Generator().manual_seed(0)) * 3
    answers = [3, 70, 0, 3, 12, 76]
    rows = measure_rows(logits, answers)
    for i, answer in enumerate(answers):
        alone = measure(logits[i : i + 1], answer)[0]
        assert (rows.rank[i], rows.logit[i]) == (alone.rank, pytest.approx(alone.logit))
        assert rows.logprob[i] == pytest.approx(alone.logprob, abs=1e-6)
    assert len(set(rows.rank.tolist())) > 2
    with pytest.raises(InputError, match="77"):
        measure_rows(logits, [77] * 6)


def test_reciprocal_ranks_as_released_fall_to_minus_one_beyond_a_thousand() -> None:
    ranks = np.array([1, 2, 1000, 1001, 50_000], dtype=np.int32)
    assert reciprocal_ranks(ranks).tolist() == [1, 0.5, 1e-3, 1 / 1001, 2e-5]
    assert reciprocal_ranks(ranks, "released").tolist() == [1, 0.5, 1e-3, -1, -1]
    with pytest.raises(InputError, match="convention"):
        reciprocal_ranks(ranks, "other")


def test_minimal_operations_are_those_of_a_pass_that_counts_its_products(olmo2: LoadedModel) -> None:
    """An independent count: one set costs at most a plain pass, and more sets never cost more than one pass each."""
    shape, n_tokens = shape_of(olmo2), 7
    width, kv = shape.n_heads * shape.d_head, shape.n_kv_heads * shape.d_head
    block = 2 * shape.d_model * (2 * width + 2 * kv) + 6 * shape.d_model * shape.d_mlp
    plain = n_tokens * shape.n_layers * (block + 4 * width * n_tokens) + 2 * shape.d_model * shape.vocab_size
    one = minimal_operations(shape, [()], n_tokens)
    assert 0.5 * plain < one < plain
    sets = ((), *layer_sets(shape.n_layers, 2))
    many = minimal_operations(shape, sets, n_tokens)
    assert one < many < len(sets) * one
    assert minimal_operations(shape, sets, n_tokens, 5) < 5 * many


@pytest.mark.parametrize(("make", "size"), [(make_gpt2, "n_inner"), (make_phi3, "intermediate_size")])
def test_the_cost_of_an_mlp_is_what_torch_counts_with_a_gate_and_without(make: Any, size: str) -> None:
    expected, counted = [], []
    for d_mlp in (40, 80):
        model = from_pretrained_parts(make(**{size: d_mlp}), make_tokenizer(), "tiny")
        expected.append(minimal_operations(shape_of(model), [()], 30))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.hf(input_ids=torch.zeros(1, 30, dtype=torch.long), logits_to_keep=1)
        counted.append(counter.get_total_flops())
    share = (expected[1] - expected[0]) / (counted[1] - counted[0])
    assert 0.65 < share < 1, "the last block's MLP is needed for the last token alone"
