"""Whether a model fits: figures against the loaded model and the system, and a refusal before weights are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Olmo2Config

from ivcore.errors import ModelError
from ivcore.models import list_models, load_model, memory
from ivcore.models.folder import inspect_folder
from ivcore.models.skeleton import parameter_bytes, skeleton
from tests.conftest import MAKERS, make_gpt2, make_llama, save_folder

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
    monkeypatch.setattr("ivcore.models.loading.weight_bytes", lambda _folder, dtype: 2**30 * dtype.itemsize)
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 3 * 2**30)
    message = (
        "'tiny' needs 4.2 GiB in float32 but 3.0 GiB are free on the device cpu; choose --dtype bfloat16 (2.1 GiB), "
        "a smaller model, or free some memory."
    )
    with pytest.raises(ModelError) as caught:
        load_model(str(saved), device="cpu")
    assert str(caught.value) == message
    memory.check_room("tiny", 2**31, torch.bfloat16, CPU)
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 2**28)
    with pytest.raises(ModelError, match="in bfloat16 but 256 MiB are free on the device cpu; choose a smaller model"):
        memory.check_room("tiny", 2**31, torch.bfloat16, CPU)


def test_what_config_asks_for_counts_too(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers fills a weight of another shape than the file's with random numbers before it says so."""
    folder = tmp_path / "greedy"
    shutil.copytree(saved, folder)
    config = json.loads((folder / "config.json").read_text())
    held = memory.weight_bytes(inspect_folder(folder), torch.float32)
    monkeypatch.setattr(memory, "free_bytes", lambda _device: int(1.2 * held))
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_a, **_k: pytest.fail("read"))
    for wider, refused in ((2, "'greedy' needs .* in float32 but"), (2**32, "but the files hold .* different models")):
        changed = config | {"intermediate_size": wider * config["intermediate_size"]}
        (folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(ModelError, match=refused):
            load_model(str(folder), device="cpu")


def test_memory_is_asked_for_before_a_model_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [0]
    monkeypatch.setattr(memory, "free_bytes", lambda _device: free[0])

    def make_room(is_enough: Callable[[], bool]) -> None:
        while not is_enough() and free[0] < 2**20:
            free[0] += 2**15

    assert load_model(str(saved), device="cpu", make_room=make_room).n_layers
    assert 2**15 < free[0] < 2**20, "no more than was wanted"
    free[0] = 2**30
    load_model(str(saved), device="cpu", make_room=lambda _: pytest.fail("nothing was wanted"))
    with pytest.raises(ModelError, match="free some memory"):
        memory.check_room("tiny", 2**31, torch.bfloat16, CPU, lambda _is_enough: None)


@pytest.mark.parametrize("family", MAKERS)
def test_a_skeleton_has_the_models_bytes(family: str, tmp_path: Path) -> None:
    hf = MAKERS[family]()
    hf.config.save_pretrained(tmp_path)
    for dtype in (torch.float32, torch.bfloat16):
        taken = skeleton(tmp_path, dtype)
        assert {weight.device.type for weight in taken.parameters()} == {"meta"}
        assert parameter_bytes(taken) == sum(weight.numel() for weight in hf.parameters()) * dtype.itemsize
        assert dict(taken.named_parameters()).keys() == dict(hf.named_parameters()).keys()


@pytest.mark.parametrize(
    ("group", "n_layers", "width", "mlp"),
    [("OLMo-2 1B", 16, 2048, 8192), ("OLMo-2 7B", 32, 4096, 11008), ("OLMo-2 13B", 40, 5120, 13824)],
)
def test_the_registry_knows_how_large_a_model_is(
    group: str, n_layers: int, width: int, mlp: int, tmp_path: Path
) -> None:
    """From the sizes in the published config.json."""
    sizes = {"num_hidden_layers": n_layers, "hidden_size": width, "intermediate_size": mlp, "vocab_size": 100352}
    Olmo2Config(**sizes, architectures=["Olmo2ForCausalLM"]).save_pretrained(tmp_path)
    expected = parameter_bytes(skeleton(tmp_path, torch.float16)) // 2
    found = {entry.n_parameters for entry in list_models() if entry.group == group}
    assert found == {expected}


def test_where_the_system_does_not_say_nothing_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _device: None)
    memory.check_room("tiny", 2**62, torch.float32, CPU)


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
