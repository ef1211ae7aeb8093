"""Whether a model fits: figures against the loaded model and the system, and a refusal before weights are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from ivcore.errors import ModelError
from ivcore.models import load_model, memory
from ivcore.models.folder import inspect_folder
from tests.conftest import make_gpt2, make_llama, save_folder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(make_llama(), tmp_path_factory.mktemp("models") / "tiny")


def test_the_estimate_is_what_the_weights_take(saved: Path, tmp_path: Path) -> None:
    for folder in (saved, save_folder(make_gpt2(), tmp_path / "tied", max_shard_size="8KB")):
        for name, dtype in (("float32", torch.float32), ("float16", torch.float16)):
            weights = {w.data_ptr(): w for w in load_model(str(folder), dtype=name, device="cpu").hf.parameters()}
            taken = sum(w.numel() * w.element_size() for w in weights.values())
            assert memory.weight_bytes(inspect_folder(folder), dtype) == taken


def test_a_model_that_does_not_fit_is_refused_before_it_is_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_a, **_k: pytest.fail("read"))
    monkeypatch.setattr(memory, "weight_bytes", lambda _folder, dtype: 2**30 * dtype.itemsize)
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 3 * 2**30)
    message = (
        "'tiny' needs 4.2 GiB in float32 but 3.0 GiB are free on the device cpu; choose --dtype bfloat16 (2.1 GiB), "
        "a smaller model, or free some memory."
    )
    with pytest.raises(ModelError) as caught:
        load_model(str(saved), device="cpu")
    assert str(caught.value) == message
    memory.check_room(inspect_folder(saved), torch.bfloat16, CPU)
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 2**28)
    with pytest.raises(ModelError, match="in bfloat16 but 256 MiB are free on the device cpu; choose a smaller model"):
        memory.check_room(inspect_folder(saved), torch.bfloat16, CPU)


def test_where_the_system_does_not_say_nothing_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _device: None)
    memory.check_room(inspect_folder(saved), torch.float32, CPU)


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = memory.free_bytes(CPU)
    assert whole is not None and whole > 2**20
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("9000000\n")
    (tmp_path / "memory.current").write_text("7000000\n")
    (tmp_path / "memory.stat").write_text("anon 5000000\ninactive_file 1500000\nactive_file 500000\n")
    assert memory.free_bytes(CPU) == 4_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(CPU) > 4_000_000  # type: ignore[operator]
    (tmp_path / "memory.max").write_text("nonsense\n")
    assert memory.free_bytes(CPU) > 4_000_000  # type: ignore[operator]
