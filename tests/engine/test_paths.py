"""Path tracing against path-by-path enumeration through dense matrices, autograd and plain transformers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ivcore.errors import AnswerError, InputError, PromptError, UnknownFamilyError
from ivcore.models import Affine, LoadedModel
from ivcore.paths import (
    Edges,
    Flow,
    FrozenBlock,
    FrozenNetwork,
    Tracer,
    answer_flow,
    check_forecast,
    forecast,
    linearise,
    receive,
    said,
    source_states,
    top_k_edges,
)
from ivcore.paths.ranks import BEYOND, Ranker, count_above
from ivcore.paths.search import search
from tests.conftest import MAKERS, loaded
from tests.engine.path_oracle import plain_paths, plain_rank

IDS = [5, 300, 17, 88, 240, 9]
ANSWER = 88
BUDGET = 2**28

pytestmark = pytest.mark.usefixtures("exact_float64")


def frozen_at(model: LoadedModel, ids: list[int] | None = None) -> FrozenNetwork:
    return linearise(model, ids or IDS)


# ---- linearise


def test_everything_together_is_the_models_logits(model: LoadedModel) -> None:
    frozen = frozen_at(model)
    with torch.no_grad():
        expected = model.hf(input_ids=torch.tensor([IDS])).logits[0, -1]
    assert torch.allclose(frozen.whole(), expected, rtol=0, atol=1e-9)
    assert frozen.completeness_error() < 1e-9


def test_the_sum_fails_where_anything_is_not_the_models(model: LoadedModel) -> None:
    """Negative control: other gates, patterns, scales, or biases left out."""
    frozen = frozen_at(model)
    block = frozen.blocks[1]
    wrong: list[Any] = [
        replace(block, gates=block.gates.roll(1, 0)),
        replace(block, attention=block.attention.roll(1, 0)),
        replace(block, weights=replace(block.weights, parallel=True)),
    ]
    wrong += [
        replace(block, **{name: replace(norm, scale=norm.scale.roll(1, 0))})
        for name in ("attn_in", "attn_out", "mlp_in", "mlp_out")
        if (norm := getattr(block, name)) is not None
    ]
    if block.weights.o.bias is not None:
        wrong.append(replace(block, weights=replace(block.weights, o=Affine(block.weights.o.weight, None))))
    for other in wrong:
        blocks = (frozen.blocks[0], other, *frozen.blocks[2:])
        assert replace(frozen, blocks=blocks).completeness_error() > 1e-4


def test_heads_and_bias_are_the_attention_output(model: LoadedModel) -> None:
    """Each head written alone, plus the constant, against what the attention module itself puts out."""
    frozen, out = frozen_at(model), dict[int, Tensor]()
    entering = dict[int, Tensor]()
    hooks = []
    for n, layer in enumerate(model.hf.model.layers):
        hooks.append(layer.register_forward_hook(lambda _m, args, _o, n=n: entering.update({n: args[0][0]})))
        last = layer.post_attention_layernorm if frozen.blocks[n].attn_out else layer.self_attn
        hooks.append(
            last.register_forward_hook(lambda _m, _a, o, n=n: out.update({n: (o[0] if isinstance(o, tuple) else o)[0]}))
        )
    with torch.no_grad():
        model.hf(input_ids=torch.tensor([IDS]))
    for hook in hooks:
        hook.remove()
    for n, block in enumerate(frozen.blocks):
        values = block.repeat(block.values(entering[n], slice(None)))
        mixed = torch.einsum("hij,jhd->ihd", block.attention, values)
        by_head = [block.write_heads(mixed[:, [h]], torch.tensor([h]), slice(None)) for h in range(block.n_heads)]
        assert torch.allclose(sum(by_head) + block.attention_bias(), out[n], rtol=0, atol=1e-10)
        assert not torch.allclose(sum(by_head[1:]) + block.attention_bias(), out[n], rtol=0, atol=1e-4)


def test_the_multiplied_out_mlp_is_the_mlp(model: LoadedModel) -> None:
    frozen = frozen_at(model)
    x = torch.randn(7, model.d_model, dtype=torch.float64)
    for block in frozen.blocks:
        for at in (0, 4):
            assert torch.allclose(x @ block.mlp_matrix(at).T, block.mlp(x, at), rtol=0, atol=1e-10)
        assert not torch.allclose(x @ block.mlp_matrix(1).T, block.mlp(x, 2), rtol=0, atol=1e-4)


def test_the_adjoint_is_autograd_with_the_nonlinearities_detached(model: LoadedModel) -> None:
    """transformers' own modules, norm scales, patterns and gates detached, differentiated by autograd."""
    gradients = detached_gradients(model, IDS, ANSWER)
    receptive = receive(frozen_at(model), ANSWER)
    for layer, expected in enumerate(gradients):
        assert torch.allclose(receptive.before[layer], expected, rtol=0, atol=1e-9), layer
    assert not torch.allclose(receptive.before[0], gradients[1], rtol=0, atol=1e-4)


def detached_gradients(model: LoadedModel, ids: list[int], token: int) -> list[Tensor]:
    """Gradient of the token's logit for the residual before each block and after the last, (n_tokens, d_model)."""
    hf: Any = model.hf
    with torch.no_grad():
        patterns = hf(input_ids=torch.tensor([ids]), output_attentions=True).attentions

    def norm(module: Any, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).detach()
        return module.weight * x * scale

    x = hf.model.embed_tokens(torch.tensor(ids)).detach().requires_grad_()
    seen = [x]
    for layer, pattern in zip(hf.model.layers, patterns, strict=True):
        attention, mlp = layer.self_attn, layer.mlp
        post_norm = hasattr(layer, "post_feedforward_layernorm")
        values = attention.v_proj(x if post_norm else norm(layer.input_layernorm, x)).unflatten(
            -1, (-1, attention.head_dim)
        )
        values = values.repeat_interleave(attention.num_key_value_groups, dim=-2)
        added = attention.o_proj(torch.einsum("hij,jhd->ihd", pattern[0].detach(), values).flatten(-2))
        mid = x + (norm(layer.post_attention_layernorm, added) if post_norm else added)
        read = mid if post_norm else norm(layer.post_attention_layernorm, mid)
        added = mlp.down_proj(mlp.act_fn(mlp.gate_proj(read)).detach() * mlp.up_proj(read))
        x = mid + (norm(layer.post_feedforward_layernorm, added) if post_norm else added)
        x.retain_grad()
        seen.append(x)
    logit = hf.lm_head(norm(hf.model.norm, x))[-1, token]
    return list(torch.autograd.grad(logit, seen))


# ---- edges


def test_ties_go_to_the_earlier_position_and_rows_stop_at_themselves() -> None:
    pattern = torch.tensor([[[[1.0, 0, 0], [0.5, 0.5, 0], [0.4, 0.2, 0.4]]]])
    one, two = (top_k_edges(pattern, k).heads[0, 0] for k in (1, 2))
    assert one.tolist() == [[True, False, False], [True, False, False], [True, False, False]]
    assert two.tolist() == [[True, False, False], [True, True, False], [True, False, True]]
    nothing = top_k_edges(torch.tensor([[[[1.0, 0], [1.0, 0]]]]), 2)
    assert nothing.heads[0, 0].tolist() == [[True, False], [True, False]], "no attention is no edge"


def test_counting_is_enumerating(model: LoadedModel) -> None:
    edges = top_k_edges(frozen_at(model).attention, 2)
    for source in range(len(IDS)):
        expected = sum(1 for _ in plain_paths(model, IDS, source, 2))
        assert edges.n_paths(source) == expected
    assert edges.n_paths(0) != top_k_edges(frozen_at(model).attention, 3).n_paths(0)


def test_a_heads_share_of_all_paths_is_counted(model: LoadedModel) -> None:
    edges = top_k_edges(frozen_at(model).attention, 2)
    paths = [path.heads for path in plain_paths(model, IDS, 1, 2)]
    expected = np.zeros((model.n_layers, model.n_heads))
    for path in paths:
        for layer, heads in enumerate(path):
            expected[layer, list(heads)] += 1 / len(paths)
    assert np.allclose(edges.head_share(1), expected, rtol=0, atol=1e-12)
    assert expected.min() + expected.max() > 0 and expected.std() > 0.01
    every = np.array([path.positions for path in plain_paths(model, IDS, 1, 2)])
    assert np.array_equal(edges.head_use(every), np.rint(expected * len(paths)))


def test_a_long_prompt_is_counted_at_once_and_refused() -> None:
    """300 tokens that all attend to each other, in 200 layers: more paths than a number can hold."""
    exist = np.tril(np.ones((300, 300), dtype=bool))
    edges = Edges(np.broadcast_to(exist, (200, 1, 300, 300)))
    expected = forecast(loaded("olmo2").network, edges, range(300))
    with pytest.raises(InputError, match=r"more than 1,000,000,000,000 paths from 300 sources but at most 1,000"):
        check_forecast(expected, 1000)


# ---- search


@pytest.mark.parametrize("k", [1, 2, 3])
def test_paths_are_those_of_plain_enumeration(model: LoadedModel, k: int) -> None:
    tracer, max_rank = Tracer(model, IDS, top_k=k), 40
    traced = tracer.trace([2, 0], ANSWER, max_rank=max_rank)
    assert [source.position for source in traced.sources] == [2, 0]
    for source in traced.sources:
        plain = list(plain_paths(model, IDS, source.position, k))
        high = {p.positions: p for p in plain if plain_rank(p.logits, ANSWER) <= max_rank}
        found = source.found
        assert found.n_paths == len(plain)
        assert {tuple(row) for row in found.positions.tolist()} == set(high)
        assert found.logit_sum == pytest.approx(sum(float(p.logits[ANSWER]) for p in plain), abs=1e-8)
        for row, rank, logit in zip(found.positions, found.ranks, found.logits, strict=True):
            expected = high[tuple(row.tolist())]
            assert rank == plain_rank(expected.logits, ANSWER)
            assert logit == pytest.approx(float(expected.logits[ANSWER]), abs=1e-9)
            assert [tuple(heads) for heads in tracer.edges.path_heads(row.tolist())] == list(expected.heads)
        assert (np.diff(found.ranks) >= 0).all()
        listed = sum(float(p.logits[ANSWER]) for p in high.values())
        assert source.coverage == pytest.approx(listed / found.logit_sum)
        assert source.logit_all is not None and source.coverage_of_all == pytest.approx(listed / source.logit_all)


def test_all_paths_from_everywhere_with_the_biases_are_the_answers_logit(model: LoadedModel) -> None:
    """Completeness, by enumeration: every position attended."""
    ids = IDS[:4]
    traced = Tracer(model, ids, top_k=len(ids)).trace(range(len(ids)), ANSWER)
    followed = sum(source.found.logit_sum for source in traced.sources)
    assert followed + traced.from_biases == pytest.approx(traced.answer_logit, abs=1e-8)
    for source in traced.sources:
        assert source.found.logit_sum == pytest.approx(source.logit_all, abs=1e-8)
    fewer = Tracer(model, ids, top_k=1).trace(range(len(ids)), ANSWER)
    assert abs(sum(source.found.logit_sum for source in fewer.sources) + fewer.from_biases - traced.answer_logit) > 1e-4


def test_edges_together_and_one_by_one_are_the_same(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = Tracer(model, IDS, top_k=2)
    found = []
    for at_once in (0.0, float("inf")):
        monkeypatch.setattr("ivcore.paths.search._AT_ONCE", at_once)
        found.append(tracer.trace([0, 1], ANSWER, max_rank=420).sources)
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a.found.positions, b.found.positions) and len(a.found.ranks) > 3
        assert np.allclose(a.found.logits, b.found.logits, rtol=0, atol=1e-10)


@pytest.mark.parametrize("budget", [1, 2**16])
def test_a_small_budget_is_slower_never_different(model: LoadedModel, budget: int) -> None:
    tracer = Tracer(model, IDS, top_k=3)
    whole, parts = (tracer.trace([0, 1], ANSWER, memory_budget=b).sources for b in (BUDGET, budget))
    for a, b in zip(whole, parts, strict=True):
        assert a.found.n_paths == b.found.n_paths
        assert np.array_equal(a.found.positions, b.found.positions)
        assert np.allclose(a.found.logits, b.found.logits, rtol=0, atol=1e-10)


def test_many_paths_at_a_position_go_through_one_matrix(olmo2: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    used = list[int]()
    matrix = FrozenBlock.mlp_matrix
    monkeypatch.setattr(FrozenBlock, "mlp_matrix", lambda block, at: used.append(at) or matrix(block, at))
    traced = Tracer(olmo2, IDS, top_k=len(IDS)).trace([0], ANSWER, max_rank=420).sources[0]
    assert used
    plain = {p.positions: float(p.logits[ANSWER]) for p in plain_paths(olmo2, IDS, 0, len(IDS))}
    logits = [plain[tuple(row)] for row in traced.found.positions.tolist()]
    assert len(logits) == len(plain) and np.allclose(traced.found.logits, logits, rtol=0, atol=1e-9)


def test_a_source_without_a_way_has_no_paths() -> None:
    """Nothing but the residual stream: only the last position reaches itself."""
    heads = np.zeros((3, 2, 4, 4), dtype=bool)
    edges = Edges(heads)
    assert [edges.n_paths(source) for source in range(4)] == [0, 0, 0, 1]


def test_sources_without_paths_are_listed_empty(olmo2: LoadedModel) -> None:
    frozen = frozen_at(olmo2)
    edges = Edges(np.zeros_like(top_k_edges(frozen.attention, 1).heads))
    nothing, itself = search(frozen, edges, [1, 5], ANSWER, max_rank=420, memory_budget=BUDGET)
    assert (nothing.n_paths, nothing.positions.shape, nothing.logit_sum) == (0, (0, olmo2.n_layers + 1), 0.0)
    assert itself.positions.tolist() == [[5] * (olmo2.n_layers + 1)]


def test_progress_ends_at_one_and_can_stop(model: LoadedModel) -> None:
    tracer, told = Tracer(model, IDS, top_k=2), list[float]()
    tracer.trace([0, 3], ANSWER, on_share=told.append, memory_budget=2**15)
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > model.n_layers

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tracer.trace([0], ANSWER, on_share=stop)


# ---- ranks


@pytest.mark.parametrize("width", [1, 7, 8, 9, 255 * 8 - 1, 255 * 8, 255 * 8 + 1, 3 * 255 * 8 + 5])
def test_counting_above_is_counting_above(width: int) -> None:
    values, limits = torch.randn(5, width), torch.randn(5)
    limits[0] = -100.0  # every lane of every word is full
    limits[1] = values[1, 0]  # not above itself
    assert torch.equal(count_above(values, limits), (values > limits[:, None]).sum(-1))
    assert count_above(values, limits)[0] == width


def test_which_tokens_come_first_changes_nothing() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(3000, 16).double(), torch.randn(900, 16).double()
    x[:300] += torch.linspace(0, 3, 300)[:, None] * weight[17]
    ranker = Ranker(Affine(weight, None), 17, 40, memory_budget=2**20)
    first = ranker.rank(x[:300])[1]  # these choose
    others = ranker.rank(x[300:])[1]
    fresh = Ranker(Affine(weight, None), 17, 40, memory_budget=2**20)
    assert fresh.rank(x[300:])[1].tolist() == others.tolist() and fresh.rank(x)[1].tolist()[:300] == first.tolist()
    expected = [plain_rank(row, 17) for row in x @ weight.T]
    assert torch.cat([first, others]).tolist() == [rank if rank <= 40 else BEYOND for rank in expected]
    assert (first != BEYOND).any() and (first == BEYOND).any()


@pytest.mark.parametrize("limit", [1, 7, 100, 5000])
def test_ranks_are_those_of_sorting(limit: int) -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(5000, 12, generator=generator, dtype=torch.float64) * torch.rand(5000, 1, generator=generator)
    x = torch.randn(60, 12, generator=generator, dtype=torch.float64)
    weight[17] *= 5 / weight[17].norm()
    x[:30] += torch.linspace(0, 8, 30, dtype=torch.float64)[:, None] * weight[17]
    logits, ranks = Ranker(Affine(weight, None), 17, limit, memory_budget=2**18).rank(x)
    expected = [plain_rank(row, 17) for row in x @ weight.T]
    assert ranks.tolist() == [rank if rank <= limit else BEYOND for rank in expected]
    assert torch.allclose(logits, x @ weight[17])
    assert len({rank > limit for rank in expected}) == (1 if limit == 5000 else 2), "both cases must occur"


def test_equal_logits_share_the_better_rank() -> None:
    weight = torch.zeros(600, 2, dtype=torch.float64)
    weight[:3, 0] = 2.0
    ranks = Ranker(Affine(weight, None), 300, 10, memory_budget=2**20).rank(torch.tensor([[1.0, 0.0]]).double())[1]
    assert ranks.tolist() == [4]


# ---- flow


def flow_of(model: LoadedModel, source: int) -> tuple[FrozenNetwork, Flow]:
    frozen = frozen_at(model)
    return frozen, answer_flow(frozen, receive(frozen, ANSWER), source)


def alone(frozen: FrozenNetwork, source: int) -> float:
    """The answer's logit from one source, by a forward pass of the frozen network."""
    x = torch.zeros_like(frozen.embeddings)
    x[source] = frozen.embeddings[source]
    for block in frozen.blocks:
        x = block.step(x)
    return float(frozen.unembedding.weight[ANSWER] @ frozen.final(x[-1]))


def test_every_block_passes_on_the_whole(model: LoadedModel) -> None:
    frozen, flow = flow_of(model, 1)
    assert flow.total == pytest.approx(alone(frozen, 1), abs=1e-9)
    assert np.allclose(flow.positions.sum(-1), flow.total, rtol=0, atol=1e-9)
    assert np.allclose(flow.heads.sum((1, 2, 3)) + flow.residual.sum(-1), flow.total, rtol=0, atol=1e-9)
    assert np.allclose(flow.edges.sum(2), flow.positions[1:], rtol=0, atol=1e-9), "what enters a position"
    assert np.allclose(flow.edges.sum(1), flow.positions[:-1], rtol=0, atol=1e-9), "what leaves it"


def test_the_flow_through_a_head_is_what_cutting_it_takes_away(model: LoadedModel) -> None:
    frozen, flow = flow_of(model, 1)
    for layer, head, i, j in ((0, 1, 3, 1), (1, 3, 5, 2), (2, 0, 5, 5), (model.n_layers - 1, 2, 5, 3)):
        block = frozen.blocks[layer]
        attention = block.attention.clone()
        attention[head, i, j] = 0
        blocks = (*frozen.blocks[:layer], replace(block, attention=attention), *frozen.blocks[layer + 1 :])
        lost = alone(frozen, 1) - alone(replace(frozen, blocks=blocks), 1)
        assert flow.heads[layer, head, i, j] == pytest.approx(lost, abs=1e-9)
        assert abs(lost) > 1e-8


def test_the_flow_through_an_edge_is_the_sum_of_its_paths(model: LoadedModel) -> None:
    """Against enumeration with every position attended."""
    ids = IDS[:4]
    frozen = frozen_at(model, ids)
    flow = answer_flow(frozen, receive(frozen, ANSWER), 1)
    expected = np.zeros_like(flow.edges)
    for path in plain_paths(model, ids, 1, len(ids)):
        for layer, (j, i) in enumerate(zip(path.positions, path.positions[1:], strict=False)):
            expected[layer, i, j] += float(path.logits[ANSWER])
    assert np.allclose(flow.edges, expected, rtol=0, atol=1e-8)
    assert np.abs(expected).max() > 1e-3


# ---- readout


def test_the_vector_along_a_path_ends_as_its_logits_say(model: LoadedModel) -> None:
    tracer = Tracer(model, IDS, top_k=2)
    found = tracer.trace([1], ANSWER, max_rank=420).sources[0].found
    for row, logit in list(zip(found.positions.tolist(), found.logits, strict=True))[::7]:
        states = tracer.path_states(row)
        spoken = dict(said(tracer.frozen, states[-1], 420).promoted)
        assert spoken[ANSWER] == pytest.approx(logit, abs=1e-10)
        assert torch.equal(states[0], tracer.frozen.embeddings[1])
        assert list(spoken.values()) == sorted(spoken.values(), reverse=True)


def test_all_that_comes_from_a_source_is_the_sum_of_its_paths(model: LoadedModel) -> None:
    tracer = Tracer(model, IDS[:4], top_k=4)
    found = tracer.trace([1], ANSWER, max_rank=420).sources[0].found
    ends = sum(tracer.path_states(row)[-1] for row in found.positions.tolist())
    assert torch.allclose(source_states(tracer.frozen, 1)[-1, -1], ends, rtol=0, atol=1e-9)


# ---- as released


def test_released_paths_are_those_of_its_definition(olmo2: LoadedModel) -> None:
    traced = Tracer(olmo2, IDS, top_k=1, surrogate="released").trace([1], ANSWER, max_rank=420).sources[0]
    plain = {p.positions: p.logits for p in plain_paths(olmo2, IDS, 1, 1, released=True)}
    assert {tuple(row) for row in traced.found.positions.tolist()} == set(plain)
    for row, rank, logit in zip(traced.found.positions, traced.found.ranks, traced.found.logits, strict=True):
        logits = plain[tuple(row.tolist())]
        assert rank == plain_rank(logits, ANSWER)
        assert logit == pytest.approx(float(logits[ANSWER]), rel=1e-9, abs=1e-9)
    exact = Tracer(olmo2, IDS, top_k=1).trace([1], ANSWER, max_rank=420).sources[0]
    assert exact.found.n_paths == traced.found.n_paths
    assert not np.allclose(np.sort(exact.found.logits), np.sort(traced.found.logits), rtol=0, atol=1e-3)
    assert traced.logit_all is None and traced.coverage_of_all is None


# ---- every family


LINEAR = [name for name in MAKERS if loaded(name).network.not_linear is None]


@pytest.fixture(params=LINEAR)
def any_model(request: pytest.FixtureRequest) -> LoadedModel:
    """A tiny model of every family that can be written as a linear network."""
    return loaded(request.param)


def test_all_families_but_the_clipped_one_are_linear() -> None:
    assert set(MAKERS) - set(LINEAR) == {"olmo-clipped"}
    with pytest.raises(UnknownFamilyError, match="cannot be traced in this model yet: it clips"):
        Tracer(loaded("olmo-clipped"), IDS, top_k=1)


def test_everything_together_is_the_logits_in_every_family(any_model: LoadedModel) -> None:
    frozen = frozen_at(any_model, [*IDS, 61, 17])
    with torch.no_grad():
        expected = any_model.hf(input_ids=torch.tensor([[*IDS, 61, 17]])).logits[0, -1]
    assert torch.allclose(any_model.network.capped(frozen.whole()), expected, rtol=0, atol=1e-9)
    block = frozen.blocks[1]
    broken = replace(block, gates=block.gates.roll(1, 0))
    assert replace(frozen, blocks=(frozen.blocks[0], broken, *frozen.blocks[2:])).completeness_error() > 1e-4


def test_paths_and_flow_agree_in_every_family(any_model: LoadedModel) -> None:
    """What enumeration finds, position by position and edge by edge, is what the two passes of the flow say."""
    tracer = Tracer(any_model, IDS[:4], top_k=4)
    traced = tracer.trace(range(4), ANSWER, max_rank=any_model.vocab_size)
    followed = sum(source.found.logit_sum for source in traced.sources)
    assert followed + traced.from_biases == pytest.approx(traced.answer_logit, abs=1e-8)
    flow, found = tracer.flow(1, ANSWER), traced.sources[1].found
    expected = np.zeros_like(flow.edges)
    for row, logit in zip(found.positions.tolist(), found.logits, strict=True):
        for layer, (j, i) in enumerate(pairwise(row)):
            expected[layer, i, j] += logit
    assert np.allclose(flow.edges, expected, rtol=0, atol=1e-8) and np.abs(expected).max() > 1e-3


def test_edges_stay_inside_the_window() -> None:
    """A head that does not see a position has no edge from it, however large k is."""
    mistral = loaded("mistral")
    heads = Tracer(mistral, [*IDS, 61, 17], top_k=8).edges.heads
    hidden = mistral.network.hidden(0, 8).numpy()
    assert hidden.sum() > 28, "the window must be shorter than the prompt"
    assert not heads[0][:, hidden].any() and heads[0][:, ~hidden].all()


# ---- bad input


def test_what_cannot_be_traced_is_said(model: LoadedModel) -> None:
    tracer = Tracer(model, IDS, top_k=1)
    with pytest.raises(InputError, match=r"source 6 is not a position .* 0 to 5"):
        tracer.trace([6], ANSWER)
    with pytest.raises(InputError, match="named twice"):
        tracer.trace([1, 1], ANSWER)
    with pytest.raises(InputError, match="No source"):
        tracer.trace([], ANSWER)
    with pytest.raises(AnswerError, match="420 is not in the vocabulary"):
        tracer.trace([1], 420)
    with pytest.raises(InputError, match="ranks begin at 1"):
        tracer.trace([1], ANSWER, max_rank=0)
    with pytest.raises(InputError, match=r"paths from 6 sources but at most 10 .* lower k"):
        Tracer(model, IDS, top_k=6).trace(range(6), ANSWER, max_paths=10)
    for k in (0, 7):
        with pytest.raises(InputError, match="choose 1 to 6"):
            Tracer(model, IDS, top_k=k)
    with pytest.raises(InputError, match="k = 1"):
        Tracer(model, IDS, top_k=2, surrogate="released")
    with pytest.raises(InputError, match="choose one of exact, released"):
        Tracer(model, IDS, top_k=1, surrogate="other")
    with pytest.raises(PromptError, match="without tokens"):
        Tracer(model, [], top_k=1)
    with pytest.raises(PromptError, match="takes 96"):
        Tracer(model, [5] * 97, top_k=1)


def test_a_prompt_of_one_token_is_one_path(model: LoadedModel) -> None:
    traced = Tracer(model, [5], top_k=1).trace([0], ANSWER, max_rank=420).sources[0]
    assert traced.found.positions.tolist() == [[0] * (model.n_layers + 1)]
    assert traced.found.logit_sum == pytest.approx(traced.logit_all, abs=1e-9)


def test_forecast_counts_what_is_followed(model: LoadedModel) -> None:
    tracer = Tracer(model, IDS, top_k=2)
    expected = tracer.forecast([0, 2])
    found = tracer.trace([0, 2], ANSWER).sources
    assert expected.n_paths == tuple(source.found.n_paths for source in found)
    assert expected.total == sum(expected.n_paths) and expected.n_beginnings > expected.total
    assert expected.operations > 0
