"""A model divided among GPUs gives, number by number, what it gives on one device.

There is no GPU here: ``fake_gpus`` stands for two, and refuses what two would refuse.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import dispatch_model
from torch import nn

from ivcore.activations import COMPONENTS, attention_patterns, component_states, residuals
from ivcore.behaviour.answers import answer_steps, greedy_answers
from ivcore.check import check_model
from ivcore.errors import ModelError
from ivcore.models import FAMILIES, LoadedModel, Network, from_pretrained_parts, load_model
from ivcore.models.families import find_family
from ivcore.models.folder import inspect_folder
from ivcore.models.placement import place_on_gpus, spread
from ivcore.patching import layer_sets, patch
from ivcore.paths.trace import Tracer
from ivcore.prompts import build_prompt
from ivcore.prompts.tasks import load_task
from ivcore.runs import run_paths, run_sweep, sweep_request, task_paths_request
from ivcore.store import Store
from tests.conftest import INSTRUCTION, MAKERS, N_ROWS, QUERY, loaded, make_tokenizer, save_folder
from tests.engine.fake_gpus import FakeGpus, WrongDevice

IDS = [5, 9, 33, 2, 17, 60, 8, 41]
UNTIED, TIED = "olmo2", "gemma3"


@dataclass(frozen=True)
class Divided:
    """A model on two GPUs; to be used with ``gpus`` entered."""

    gpus: FakeGpus
    model: LoadedModel
    parts: dict[str, int]


@cache
def divided(family: str) -> Divided:
    """The model of that family of ``MAKERS``, half of it on each GPU."""
    hf, gpus = copy.deepcopy(loaded(family).hf), FakeGpus()
    parts = spread(hf, find_family(type(hf).__name__), [n_bytes(hf)] * 2, family)
    with gpus:
        for name, tensor in (*hf.named_parameters(), *hf.named_buffers()):
            gpus.put(tensor, next(gpu for part, gpu in parts.items() if name.startswith(f"{part}.")))
        dispatch_model(hf, parts)  # type: ignore[arg-type]
        return Divided(gpus, from_pretrained_parts(hf, make_tokenizer(), f"tiny-{family}"), parts)


@pytest.fixture(params=[UNTIED, TIED])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[LoadedModel, Divided]]:
    """A model on the CPU, and the same divided."""
    yield loaded(request.param), divided(request.param)


def n_bytes(model: nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def assert_equal(found: Any, expected: Any) -> None:
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", MAKERS)
def test_every_family_passes_its_self_check(family: str) -> None:
    there = divided(family)
    assert set(there.parts.values()) == {0, 1}
    with there.gpus:
        report = check_model(there.model)
        logits = there.model.network.forward(torch.tensor([IDS])).cpu()
    assert report.passed, report.items
    assert {item.name for item in report.items} == {item.name for item in check_model(loaded(family)).items}
    assert_equal(logits, loaded(family).network.forward(torch.tensor([IDS])))


def test_what_is_read(both: tuple[LoadedModel, Divided]) -> None:
    here, there = both
    with there.gpus:
        states = residuals(there.model, IDS)
        patterns = attention_patterns(there.model, IDS)
        assert there.gpus.label(states) == there.gpus.label(patterns) == torch.device("cuda:0")
        components = [component_states(there.model, [INSTRUCTION, QUERY], name) for name in COMPONENTS]
        states, patterns = states.cpu(), patterns.cpu()
    assert_equal(states, residuals(here, IDS))
    assert_equal(patterns, attention_patterns(here, IDS))
    for name, found in zip(COMPONENTS, components, strict=True):
        np.testing.assert_array_equal(found, component_states(here, [INSTRUCTION, QUERY], name))


def test_patches(both: tuple[LoadedModel, Divided]) -> None:
    here, there = both
    prompt = build_prompt(here.tokenizer, INSTRUCTION, QUERY)
    sets = layer_sets(here.n_layers, 2)
    with there.gpus:
        found = patch(there.model, prompt, None, sets)
    expected = patch(here, prompt, None, sets)
    assert (found.full, found.target, found.patched) == (expected.full, expected.target, expected.patched)


def test_the_state_changes_gpus_once(both: tuple[LoadedModel, Divided]) -> None:
    """Beside the patched vectors, of which each block takes its own from the first GPU."""
    here, there = both
    prompt = build_prompt(here.tokenizer, INSTRUCTION, QUERY)
    moved = []
    for sets in ([(0,)], layer_sets(here.n_layers, 2)):
        with there.gpus:
            patch(there.model, prompt, None, sets)  # hooks and caches of the first time
            before = there.gpus.n_moved
            patch(there.model, prompt, None, sets)
            moved.append(there.gpus.n_moved - before)
    assert moved[0] > 0 and moved[1] - moved[0] <= here.n_layers


def test_answers(both: tuple[LoadedModel, Divided]) -> None:
    here, there = both
    prompts = [IDS, [*IDS[:5], 7, 7], [3, 4]]
    with there.gpus:
        found = greedy_answers(there.model, prompts, 4), answer_steps(there.model, IDS, 3)
    assert found == (greedy_answers(here, prompts, 4), answer_steps(here, IDS, 3))


@pytest.mark.parametrize(("surrogate", "top_k"), [("exact", 1), ("exact", 3), ("released", 1)])
def test_paths(both: tuple[LoadedModel, Divided], surrogate: str, top_k: int) -> None:
    here, there = both
    sources, answer = [0, 4], 11
    with there.gpus:
        tracer = Tracer(there.model, IDS, top_k=top_k, surrogate=surrogate)
        found, flow = tracer.trace(sources, answer, max_rank=N_ROWS), tracer.flow(4, answer)
        positions = found.sources[0].found.positions[0].tolist()
        states = tracer.path_states(positions).cpu()
    tracer = Tracer(here, IDS, top_k=top_k, surrogate=surrogate)
    expected = tracer.trace(sources, answer, max_rank=N_ROWS)
    assert_equal(states, tracer.path_states(positions))
    assert_equal(flow.heads, tracer.flow(4, answer).heads)
    assert found.answer_logit == pytest.approx(expected.answer_logit, rel=1e-12)
    for one, other in zip(found.sources, expected.sources, strict=True):
        assert one.found.n_paths == other.found.n_paths > 0 and len(other.found.ranks)
        np.testing.assert_array_equal(one.found.positions, other.found.positions)
        np.testing.assert_array_equal(one.found.ranks, other.found.ranks)
        np.testing.assert_allclose(one.found.logits, other.found.logits, rtol=1e-10)


def test_whole_runs(both: tuple[LoadedModel, Divided], tmp_path: Path) -> None:
    here, there = both
    task = load_task("adj_ant")
    sweep, trace = sweep_request(task, 5, 2), task_paths_request(task, 2, 1, n_listed=1)
    with there.gpus:
        swept, traced = (
            run_sweep(Store(tmp_path / "there"), there.model, sweep),
            run_paths(Store(tmp_path / "there"), there.model, trace),
        )
    assert swept.model["device"] == "cuda"
    expected = run_sweep(Store(tmp_path / "here"), here, sweep)
    np.testing.assert_array_equal(swept.patched.rank, expected.patched.rank)
    np.testing.assert_allclose(swept.patched.logit, expected.patched.logit, rtol=1e-6)
    np.testing.assert_array_equal(
        traced.n_high_ranking, run_paths(Store(tmp_path / "here"), here, trace).n_high_ranking
    )


def test_a_forgotten_move_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the tests above can fail."""
    there = divided(UNTIED)
    monkeypatch.setattr(Network, "enter", lambda _self, _layer, x: x)
    with there.gpus, pytest.raises(WrongDevice, match="cuda:0, cuda:1"):
        there.model.network.forward(torch.tensor([IDS]))


# Placement


@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize("shares", [(1, 1), (1, 3), (2, 1, 1), (1, 0, 2)])
def test_every_part_has_its_place_and_every_gpu_room(family: str, shares: tuple[int, ...]) -> None:
    hf = loaded(family).hf
    row, total = find_family(type(hf).__name__), n_bytes(hf)
    free = [int(3 * total * share / sum(shares)) for share in shares]
    parts = spread(hf, row, free, family)
    loads, weights = [0] * len(shares), dict(hf.named_parameters())
    for name, weight in weights.items():
        (gpu,) = {gpu for part, gpu in parts.items() if name.startswith(f"{part}.")}
        loads[gpu] += weight.numel() * weight.element_size()
    assert sum(loads) == total and all(load <= room for load, room in zip(loads, free, strict=True))
    blocks = [parts[f"{row.blocks}.{layer}"] for layer in range(loaded(family).n_layers)]
    assert blocks == sorted(blocks) and parts[row.embedding] <= blocks[0]
    is_tied = hf.get_output_embeddings().weight is hf.get_input_embeddings().weight
    assert parts[row.unembedding] == (parts[row.embedding] if is_tied else parts[row.final_norm])


def test_gpus_are_filled_evenly() -> None:
    """To within a block: here all of 24 blocks are alike and nothing else counts."""
    hf = MAKERS["llama"]()
    hf.model.layers = nn.ModuleList([copy.deepcopy(hf.model.layers[0]) for _ in range(24)])  # type: ignore[union-attr]
    row, block = FAMILIES[type(hf).__name__], n_bytes(hf.model.layers[0])  # type: ignore[union-attr, arg-type]
    parts = spread(hf, row, [10 * block, 20 * block, 30 * block], "many")
    n = [sum(parts[f"model.layers.{layer}"] == gpu for layer in range(24)) for gpu in range(3)]
    ends = n_bytes(hf) / block - 24
    assert n[0] == pytest.approx(24 / 6, abs=1 + ends) and n[1] == pytest.approx(24 / 3, abs=1 + ends)


def test_blocks_that_no_gpu_can_hold_are_refused() -> None:
    hf = loaded("llama").hf
    total = n_bytes(hf)
    with pytest.raises(ModelError, match=r"'mine' cannot be divided among 3 GPUs: number 0 would hold .* free; choose"):
        spread(hf, find_family(type(hf).__name__), [int(0.36 * total)] * 3, "mine")


# Loading


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpus]:
    """torch believes that there are two; to be entered."""
    monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "1")  # other threads do not see the mode
    monkeypatch.setattr("transformers.modeling_utils.caching_allocator_warmup", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    yield FakeGpus()


@pytest.mark.parametrize("family", [UNTIED, TIED, "gpt2"])
def test_a_model_that_is_too_large_for_one_gpu_is_loaded_onto_both(
    two_gpus: FakeGpus, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_folder(MAKERS[family](), tmp_path / "large")
    here = load_model(str(folder), device="cpu")
    size = n_bytes(here.hf)
    free = {0: int(0.7 * size), 1: size}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: (free[gpu], 2 * size))
    with two_gpus:
        there = load_model(str(folder), device="cuda")
        on = [two_gpus.label(weight).index for weight in there.hf.parameters()]
        assert there.device == "cuda" and set(on) == {0, 1} and there.fingerprint == here.fingerprint
        blocks = [two_gpus.label(next(block.parameters())) for block in there.network.blocks_of(there.hf)]
        assert list(there.network.devices) == sorted(set(blocks), key=blocks.index)
        assert check_model(there).passed
        logits = there.network.forward(torch.tensor([IDS])).cpu()
    torch.testing.assert_close(logits, here.network.forward(torch.tensor([IDS])), rtol=1e-4, atol=1e-4)
    free[1] = int(0.2 * size)
    with two_gpus, pytest.raises(ModelError, match="are free on the device cuda"):
        load_model(str(folder), device="cuda")


def test_one_gpu_is_enough_where_it_has_room(
    two_gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = save_folder(MAKERS["llama"](), tmp_path / "small")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _gpu: (2**30, 2**30))
    with two_gpus:
        there = load_model(str(folder), device="cuda")
        assert {two_gpus.label(weight) for weight in there.hf.parameters()} == {torch.device("cuda:0")}
        assert check_model(there).passed


def test_one_gpu_takes_what_it_has_room_for(
    two_gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = inspect_folder(save_folder(MAKERS["llama"](), tmp_path / "small"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _gpu: (2**30, 2**30))
    assert place_on_gpus(folder, torch.float32) is None
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _gpu: (2**10, 2**30))
    assert place_on_gpus(folder, torch.float32) is None, "there is no other"
