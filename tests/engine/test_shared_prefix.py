"""The shared-prefix pass equals one hooked forward pass for each set."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from ivcore.errors import PromptError
from ivcore.models import LoadedModel
from ivcore.patching import final_residuals
from tests.engine.oracle import hooked_logits

TOLERANCE = 1e-10
"""All in double precision (``exact_float64``): what remains is the order of sums."""

BUDGET = 2**30


def random_ids(n_samples: int, n_tokens: int, shared: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 400, (n_samples, n_tokens), generator=generator)
    ids[:, :shared] = ids[0, :shared]
    return ids


def random_vectors(model: LoadedModel, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(model.n_layers, model.d_model, generator=generator, dtype=torch.float64)


def all_sets(n_layers: int, largest: int = 4) -> list[tuple[int, ...]]:
    return [s for size in range(largest + 1) for s in itertools.combinations(range(n_layers), size)]


def shared_logits(
    model: LoadedModel, vectors: Tensor, ids: Tensor, position: int, sets: list[tuple[int, ...]]
) -> Tensor:
    with torch.no_grad():
        return model.network.logits(final_residuals(model.network, vectors, ids, position, sets, memory_budget=BUDGET))


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("position", [0, 1, 3, 6, 7])
def test_every_set_equals_its_hooked_pass(model: LoadedModel, position: int) -> None:
    """Sets of 0 to 4 layers; patch before, within and at the end (7) of a prompt of 8 tokens."""
    ids, vectors, sets = random_ids(1, 8, 8), random_vectors(model), all_sets(model.n_layers)
    found = shared_logits(model, vectors, ids, position, sets)
    for layers, logits in zip(sets, found, strict=True):
        expected = hooked_logits(model.hf, ids, position, vectors, layers)
        assert torch.allclose(logits, expected, rtol=0, atol=TOLERANCE), layers


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("wrong", ["position", "layer", "vectors", "set"])
def test_the_comparison_can_fail(model: LoadedModel, wrong: str) -> None:
    """Negative control: an oracle that patches slightly elsewhere is far from the pass."""
    ids, vectors, layers = random_ids(1, 8, 8), random_vectors(model), (0, 2)
    found = shared_logits(model, vectors, ids, 1, [layers])[0]
    other = {
        "position": lambda: hooked_logits(model.hf, ids, 2, vectors, layers),
        "layer": lambda: hooked_logits(model.hf, ids, 1, vectors, (1, 2)),
        "vectors": lambda: hooked_logits(model.hf, ids, 1, vectors + 1e-3, layers),
        "set": lambda: hooked_logits(model.hf, ids, 1, vectors, (2,)),
    }[wrong]()
    assert (found - other).abs().max() > 1e-5


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize(("position", "n_tokens"), [(0, 6), (2, 6), (5, 6)])
def test_samples_that_share_the_start_run_together(model: LoadedModel, position: int, n_tokens: int) -> None:
    ids, vectors = random_ids(4, n_tokens, position + 1), random_vectors(model)
    sets = [(), (0,), (1, 3), (0, 1, 2), (model.n_layers - 1,)]
    found = shared_logits(model, vectors, ids, position, sets)
    for layers, logits in zip(sets, found, strict=True):
        assert torch.allclose(logits, hooked_logits(model.hf, ids, position, vectors, layers), rtol=0, atol=TOLERANCE)


def test_samples_with_different_starts_are_refused(model: LoadedModel) -> None:
    ids = random_ids(2, 6, 0)
    ids[0, 0], ids[1, 0] = 3, 4
    with pytest.raises(PromptError, match="differ before the patch position"):
        shared_logits(model, random_vectors(model), ids, 0, [()])


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize("budget", [1, 20_000, 200_000, 2**31])
def test_the_memory_budget_changes_nothing(model: LoadedModel, budget: int) -> None:
    ids, vectors, sets = random_ids(3, 9, 4), random_vectors(model), all_sets(model.n_layers, 3)
    with torch.no_grad():
        found = final_residuals(model.network, vectors, ids, 3, sets, memory_budget=budget)
        expected = final_residuals(model.network, vectors, ids, 3, sets, memory_budget=2**40)
    assert torch.allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_the_order_of_sets_is_kept(model: LoadedModel) -> None:
    ids, vectors, sets = random_ids(1, 6, 6), random_vectors(model), all_sets(model.n_layers, 2)
    backwards = shared_logits(model, vectors, ids, 0, sets[::-1]).flip(0)
    assert torch.allclose(backwards, shared_logits(model, vectors, ids, 0, sets), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("exact_float64")
def test_a_patch_after_the_last_block_reaches_only_its_own_position(model: LoadedModel) -> None:
    ids, vectors, last = random_ids(1, 7, 7), random_vectors(model), model.n_layers - 1
    before_end = shared_logits(model, vectors, ids, 2, [(1,), (1, last)])
    assert torch.equal(before_end[0], before_end[1])
    at_end = shared_logits(model, vectors, ids, 6, [(1,), (1, last)])
    assert (at_end[0] - at_end[1]).abs().max() > 0.1


@pytest.mark.usefixtures("exact_float64")
@pytest.mark.parametrize(("n_samples", "depth"), [(8, 3), (200, 0)])
def test_the_memory_budget_is_kept(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, n_samples: int, depth: int
) -> None:
    """What passes through a block at a time stays under the budget, and is larger where the budget is larger."""
    ids, vectors, sets = random_ids(n_samples, 9, 1), random_vectors(model), all_sets(model.n_layers, depth)
    network, most = model.network, 0
    write = network.write

    def watched(layer: int, x: Tensor, mixed: Tensor) -> Tensor:
        nonlocal most
        most = max(most, x.element_size() * (x.numel() // network.d_model) * network.d_mlp * 3)
        return write(layer, x, mixed)

    monkeypatch.setattr(network, "write", watched)
    needed = []
    for budget in (400_000, 2_000_000, 50_000_000):
        most = 0
        with torch.no_grad():
            final_residuals(network, vectors, ids, 0, sets, memory_budget=budget)
        assert most <= budget
        needed.append(most)
    assert needed[0] < needed[1] < needed[2]


@pytest.mark.parametrize("position", [-1, 6])
def test_a_position_outside_the_prompt_is_refused(model: LoadedModel, position: int) -> None:
    with pytest.raises(PromptError, match="6 tokens"):
        shared_logits(model, random_vectors(model), random_ids(1, 6, 6), position, [()])
