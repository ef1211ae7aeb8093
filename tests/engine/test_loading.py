"""Loading folders: what a whole one gives, and one clear sentence for each way in which it can be broken."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ivcore.check import check_model
from ivcore.errors import DamagedModelError, InputError, ModelError, ModelNotFoundError, UnknownFamilyError
from ivcore.models import LoadedModel, LoadProgress, from_pretrained_parts, list_models, load_model
from ivcore.models.registry import REPOSITORY
from tests.conftest import make_gpt2, make_llama, make_olmo2, make_tokenizer, save_folder

PATIENCE = 20.0
_STATUS = Path("/proc/self/status")
needs_linux = pytest.mark.skipif(
    not _STATUS.is_file() or "RssAnon" not in _STATUS.read_text(), reason="only Linux tells what memory a process holds"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model folder, in half precision as the bundled ones are."""
    return save_folder(make_olmo2(), tmp_path_factory.mktemp("whole") / "tiny")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 100 MB of weights."""
    hf = make_olmo2(hidden_size=768, intermediate_size=2048, num_hidden_layers=8)
    return save_folder(hf, tmp_path_factory.mktemp("large") / "large")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def edit(file: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None removes a key."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def refused(ref: Any, error: type[Exception] = DamagedModelError, **options: Any) -> str:
    """The one-line message with which ``ref`` is refused."""
    with pytest.raises(error) as caught:
        load_model(ref, **options)
    assert type(caught.value) is error
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    message.encode("utf-8")
    return message


def test_a_folder_gives_the_model_in_it(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = load_model(str(saved), device="cpu")
    assert (model.family, model.n_layers, model.n_heads, model.n_kv_heads) == ("OLMo-2", 5, 4, 2)
    assert (model.d_model, model.vocab_size, model.n_positions) == (24, 420, 96)
    assert (model.device, model.dtype, model.revision, model.ref) == ("cpu", "float32", None, str(saved))
    assert not model.hf.training
    assert not any(weight.requires_grad for weight in model.hf.parameters())
    assert model.hf.config._attn_implementation == "eager"
    stored = load_file(saved / "model.safetensors")
    assert torch.equal(model.hf.model.layers[2].mlp.up_proj.weight, stored["model.layers.2.mlp.up_proj.weight"].float())
    assert capfd.readouterr() == ("", ""), "loading prints nothing"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_dtypes(saved: Path, dtype: str) -> None:
    model = load_model(str(saved), device="cpu", dtype=dtype)
    assert model.dtype == dtype
    assert {str(weight.dtype) for weight in model.hf.parameters()} == {f"torch.{dtype}"}


def test_shards_and_llama(tmp_path: Path) -> None:
    sharded = save_folder(make_llama(), tmp_path / "sharded", max_shard_size="20KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    model = load_model(str(sharded), device="cpu")
    assert model.family == "Llama"
    assert model.n_kv_heads == 3
    next(sharded.glob("*00002*.safetensors")).unlink()
    assert "lacks the weights file" in refused(str(sharded))


@pytest.mark.parametrize("shards", [False, True])
def test_reading_tells_its_bytes(tmp_path: Path, shards: bool) -> None:
    folder = save_folder(make_llama(), tmp_path / "tiny", max_shard_size="20KB" if shards else "1GB")
    told: list[LoadProgress] = []
    model = load_model(str(folder), device="cpu", on_progress=told.append)
    total = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert {(progress.stage, progress.total) for progress in told} == {("read", total)}
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, total)
    assert len(set(done)) > len(model.hf.state_dict()) // 2, "tensor by tensor"
    assert model.fingerprint == load_model(str(folder), device="cpu").fingerprint


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_reading_can_be_stopped(saved: Path, share: float) -> None:
    """While tensors are read and while the fingerprint is taken; the wish is no damage of the folder."""

    class Enough(Exception):
        pass

    def stop(progress: LoadProgress) -> None:
        assert progress.total is not None
        if progress.done >= share * progress.total:
            raise enough

    enough = Enough()
    with pytest.raises(Enough) as caught:
        load_model(str(saved), device="cpu", on_progress=stop)
    assert caught.value is enough
    assert load_model(str(saved), device="cpu").n_layers == 5, "the next one is not held up"


def test_two_models_are_not_read_at_once(saved: Path) -> None:
    """Else both would be promised the same free memory."""
    inside, most = 0, 0

    def reading(progress: LoadProgress) -> None:
        nonlocal inside, most
        assert progress.total is not None
        if progress.done == 0:
            inside += 1
            most = max(most, inside)
            time.sleep(0.1)
        elif progress.done == progress.total // 2:
            inside -= 1

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: load_model(str(saved), device="cpu", on_progress=reading), range(3)))
    assert most == 1


def test_the_fingerprint_is_of_the_contents(saved: Path, folder: Path) -> None:
    first = load_model(str(saved), device="cpu").fingerprint
    assert load_model(str(folder), device="cpu").fingerprint == first, "another place, the same files"
    assert len(first) == 64
    (folder / "README.md").write_text("not part of it")
    assert load_model(str(folder), device="cpu").fingerprint == first
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] += 0.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    second = load_model(str(folder), device="cpu").fingerprint
    edit(folder / "config.json", rms_norm_eps=1e-4)
    third = load_model(str(folder), device="cpu").fingerprint
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
    fourth = load_model(str(folder), device="cpu").fingerprint
    assert len({first, second, third, fourth}) == 4


def test_parts_in_memory_have_a_fingerprint_too() -> None:
    one, same = (from_pretrained_parts(make_olmo2(), make_tokenizer(), "x").fingerprint for _ in range(2))
    other = make_olmo2()
    with torch.no_grad():
        other.model.norm.weight[0] += 1
    assert one == same
    assert one != from_pretrained_parts(other, make_tokenizer(), "x").fingerprint


def test_the_registry() -> None:
    entries = {entry.name: entry for entry in list_models()}
    assert [name for name, entry in entries.items() if entry.bundled] == ["ivy-base", "ivy-sft", "ivy-dpo"]
    for name, entry in entries.items():
        assert entry.stage in ("base", "SFT", "DPO")
        assert entry.path == (REPOSITORY / "ivy/checkpoints" / name if entry.bundled else None)
        assert (entry.hub == name) is not entry.bundled
    assert (REPOSITORY / "ivcore" / "models").is_dir()


def test_a_bundled_name_goes_to_its_checkpoint(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ivcore.models import registry

    entry = registry.ModelEntry("ivy-x", "base", "ivy, x", "ivy", tmp_path / "ivy-x", None)
    monkeypatch.setattr(registry, "list_models", lambda: (entry,))
    assert "python -m ivy train" in refused("ivy-x", ModelNotFoundError)
    shutil.copytree(saved, tmp_path / "ivy-x")
    assert load_model("ivy-x", device="cpu").ref == "ivy-x"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        (None, "is empty"),
        ("no-such-model", "choose one of ivy-base, ivy-sft, ivy-dpo"),
        ("No Such Model", "There is no model"),
        (" ivy-sft", "spaces around it"),
        ("ivy-sft\n", "unprintable"),
        ("ivy\x00sft", "unprintable"),
        ("half\ud800", "unprintable"),
        ("x" * 300, "too long"),
        ("org/" + "x" * 97, "There is no folder"),
        ("a/" * 600, "too long"),
        ("../../../no/such/place", "There is no folder"),
        ("/no/such/place", "There is no folder"),
        ("~no-such-user/model", "cannot be opened"),
        ("org/../name", "There is no folder"),
        ("org/name/more", "There is no folder"),
        ("https://huggingface.co/org/name", "There is no folder"),
        ("C:\\models\\x", "There is no folder"),
        ("-x/y", "There is no folder"),
        ("org/na me", "a hub id of the form 'org/name'"),
        ("org/../../etc", "There is no folder"),
        ("org/name@main", "a hub id of the form 'org/name'"),
    ],
)
def test_names_that_mean_nothing(ref: Any, message: str) -> None:
    assert message in refused(ref, ModelNotFoundError)


def test_a_file_is_no_folder(saved: Path) -> None:
    assert "is a file" in refused(str(saved / "model.safetensors"), ModelNotFoundError)


def test_a_revision_of_a_folder(saved: Path) -> None:
    assert "no revision" in refused(str(saved), InputError, revision="main")


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"dtype": "half"}, {"dtype": "int8"}])
def test_unknown_devices_and_dtypes(saved: Path, options: dict[str, str]) -> None:
    assert "choose one of" in refused(str(saved), InputError, **options)


def test_a_gpu_that_is_not_there(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA GPU" in refused(str(saved), InputError, device="cuda")
    assert load_model(str(saved), device="auto").device == "cpu"


def truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def huge_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")


def pickled_only(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def index_with(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))


K_NORM = "model.layers.1.self_attn.k_norm.weight"
DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "config cut short": (lambda f: (f / "config.json").write_text('{"archi'), "not readable JSON"),
    "config no object": (lambda f: (f / "config.json").write_text("[1]"), "holds no JSON object"),
    "config deep": (lambda f: (f / "config.json").write_text("[" * 100_000), "not readable JSON"),
    "config binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "not readable JSON"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "pickled only": (pickled_only, "only pickled weights"),
    "truncated": (truncate, "cut short or not safetensors"),
    "huge header": (huge_header, "cut short or not safetensors"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "cut short or not safetensors"),
    "no safetensors": (lambda f: (f / "model.safetensors").write_bytes(b"PK\x03\x04" * 50), "not safetensors"),
    "lfs pointer": (
        lambda f: (f / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "Git LFS pointer",
    ),
    "missing tensor": (lambda f: rewrite(f, lambda w: w.pop(K_NORM)), f"lack '{K_NORM}'"),
    "tensor left over": (lambda f: rewrite(f, lambda w: w.update(extra=torch.zeros(2))), "have left over 'extra'"),
    "other shape": (lambda f: rewrite(f, lambda w: w.update({K_NORM: torch.zeros(5)})), "have in another shape"),
    "endless layers": (
        lambda f: edit(f / "config.json", num_hidden_layers=10**9),
        "'1000000000' for num_hidden_layers",
    ),
    "wide heads": (lambda f: edit(f / "config.json", head_dim=10**9), "'1000000000' for head_dim"),
    "a setting inside": (
        lambda f: edit(f / "config.json", rope_parameters={"a": {"partial_rotary_factor": float("nan")}}),
        "'nan' for partial_rotary_factor",
    ),
    "a long file": (lambda f: os.truncate(f / "config.json", 2**30), "config.json of 'tiny' is too long"),
    "more layers": (lambda f: edit(f / "config.json", num_hidden_layers=6, layer_types=None), "lack"),
    "fewer layers": (lambda f: edit(f / "config.json", num_hidden_layers=4, layer_types=None), "have left over"),
    "other width": (lambda f: edit(f / "config.json", hidden_size=32), "have in another shape"),
    "heads do not divide": (lambda f: edit(f / "config.json", num_attention_heads=5), "have in another shape"),
    "nonsense size": (lambda f: edit(f / "config.json", hidden_size="wide"), "has 'wide' for hidden_size"),
    "no positions": (lambda f: edit(f / "config.json", max_position_embeddings=-1), "a longest prompt of -1 tokens"),
    "nonsense vocabulary": (lambda f: edit(f / "config.json", vocab_size="wide"), "describes no model (Validation"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "tokenizer cut short": (lambda f: (f / "tokenizer.json").write_text("{"), "not readable JSON"),
    "tokenizer of nothing": (lambda f: (f / "tokenizer.json").write_text("{}"), "cannot be read"),
    "tokenizer config": (lambda f: (f / "tokenizer_config.json").write_text("nope"), "not readable JSON"),
    "adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "an adapter"),
    "index of nothing": (lambda f: index_with(f, ""), "no safetensors file beside it"),
    "index outside": (lambda f: index_with(f, "../../etc/model.safetensors"), "no safetensors file beside it"),
    "index of pickles": (lambda f: index_with(f, "weights.bin"), "no safetensors file beside it"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_folders(folder: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    damage(folder)
    assert message in refused(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "choose a model of these: OLMo-2"),
        ({"architectures": None}, "names no architecture"),
        ({"architectures": []}, "names no architecture"),
        ({"architectures": "Olmo2ForCausalLM"}, "names no architecture"),
        ({"auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "never done"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
    ],
)
def test_families_that_are_not_run(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit(folder / "config.json", **changes)
    assert message in refused(str(folder), UnknownFamilyError)


def test_code_of_a_folder_is_never_run(folder: Path, tmp_path: Path) -> None:
    """Neither the model's nor the tokenizer's."""
    trace = tmp_path / "was-run"
    (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Model: pass\n")
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Model", None]})
    assert "auto_map" in refused(str(folder), UnknownFamilyError)
    edit(folder / "tokenizer_config.json", auto_map=None)
    edit(folder / "config.json", auto_map={"AutoConfig": "evil.Model"}, model_type="evil")
    assert "auto_map" in refused(str(folder), UnknownFamilyError)
    assert not trace.exists()


def test_pickles_beside_safetensors_are_not_opened(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not a pickle")
    assert load_model(str(folder), device="cpu").n_layers == 5


def test_a_tokenizer_larger_than_the_embedding(folder: Path) -> None:
    bigger = make_tokenizer()
    bigger.add_tokens([f"<extra {i}>" for i in range(150)])
    bigger.save_pretrained(folder)
    assert "embedding only 420 rows" in refused(str(folder))
    with pytest.raises(DamagedModelError, match="420 rows"):
        from_pretrained_parts(make_olmo2(), bigger, "x")


def test_settings_that_no_model_can_have(tmp_path: Path) -> None:
    """transformers loads it, and would fail at the first prompt."""
    folder = save_folder(make_gpt2(), tmp_path / "odd")
    edit(folder / "config.json", n_head=-1)
    assert "settings that no model can have" in refused(str(folder), device="cpu")


@pytest.mark.parametrize("value", [10**10, 10**6, -1, float("nan"), "x"])
@pytest.mark.parametrize("make", [make_olmo2, make_gpt2])
def test_no_setting_does_harm(make: Callable[[], Any], value: Any, tmp_path: Path) -> None:
    """Each in turn: the model is loaded and checked, or refused in one line; nothing else happens, nor takes long."""
    folder = save_folder(make(), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    for path in settings(config):
        changed = json.loads(json.dumps(config))
        *above, last = path
        reduce(dict.__getitem__, above, changed)[last] = value
        (folder / "config.json").write_text(json.dumps(changed))
        start = time.monotonic()
        try:
            check_model(load_model(str(folder), device="cpu"))
        except ModelError as err:
            assert "\n" not in str(err) and len(str(err)) < 400, path
        assert time.monotonic() - start < PATIENCE, path


def settings(config: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Where each setting stands, those inside others too."""
    for name, value in config.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *inner) for inner in settings(value))


_LIMITED = """
import os, resource, sys
from ivcore.errors import ModelError
from ivcore.models import load_model, loading

tiny, large, when = sys.argv[1:]
load_model(tiny, device="cpu", dtype="float16")  # what a first load needs is there

def limit(more):
    used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()  # data and stack
    resource.setrlimit(resource.RLIMIT_DATA, (used + more,) * 2)

small, file = 2**24, os.path.getsize(large + "/model.safetensors")
if when == "looked at":
    limit(small)
elif when == "read":
    limit(small + file)
else:
    look = loading.stored_dtypes
    loading.stored_dtypes = lambda folder: (look(folder), limit(small))[0]
try:
    load_model(large, device="cpu", dtype="float32" if when == "read" else "float16")
except ModelError as err:
    print(type(err).__name__, err)
"""


@needs_linux
@pytest.mark.parametrize("when", ["looked at", "read", "copied"])
def test_too_little_memory_after_all(when: str, saved: Path, large: Path) -> None:
    """Others took it since it was looked at: when the file is mapped, when weights are converted, when they are copied
    from the file's pages.
    """
    command = [sys.executable, "-c", _LIMITED, str(saved), str(large), when]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("ModelError 'large' does not fit into memory after all; choose"), done.stderr
    assert done.stdout.count("\n") == 1


_PEAK = """
import copy, sys, threading, time
from ivcore.models import load_model

def held():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1]) * 1024

def peak(action):
    most, over, before = [0], threading.Event(), held()
    def watch():
        while not over.wait(0.001):
            most[0] = max(most[0], held())
    watcher = threading.Thread(target=watch)
    watcher.start()
    found = action()
    over.set()
    watcher.join()
    return found, max(most[0], held()) - before

tiny, folder, dtype = sys.argv[1:]
load_model(tiny, device="cpu", dtype=dtype)
model, taken = peak(lambda: load_model(folder, device="cpu", dtype=dtype))
_, twice = peak(lambda: copy.deepcopy(model.hf))
size = sum(weight.nbytes for weight in model.hf.parameters())
print(size, taken, twice)
"""


@needs_linux
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_weights_are_held_once(dtype: str, saved: Path, large: Path) -> None:
    """Whether the file has the wanted dtype or another. Pages of the file itself are not counted: the system takes
    them back when it needs them, and they are gone once the model is loaded. The control is a copy, which is seen.
    """
    command = [sys.executable, "-c", _PEAK, str(saved), str(large), dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size, taken, copied = map(int, done.stdout.split())
    fixed = 48 * 2**20  # buffers of threads and the like: the same for models of any size
    assert 0.95 * size < taken < size + fixed < 1.6 * size
    assert copied > 0.95 * size


def test_the_settings_of_transformers_are_put_back(saved: Path, folder: Path) -> None:
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    load_model(str(saved), device="cpu")
    truncate(folder)
    refused(str(folder))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_relative_folder_goes_before_a_hub_id(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(saved, tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    found: LoadedModel = load_model("org/name", device="cpu")
    assert (found.ref, found.revision) == ("org/name", None)


def test_a_file_cut_short_under_a_loaded_model_does_no_harm(tmp_path: Path) -> None:
    """In a process of its own, since a weight that is read from the file there would end it."""
    folder = save_folder(make_olmo2(), tmp_path / "model")
    code = f"""
import torch
from ivcore.models import load_model
model = load_model({str(folder)!r}, dtype="float16")
ids = torch.tensor([[5, 6, 7]])
before = model.network.forward(ids)
open({str(folder / "model.safetensors")!r}, "r+b").truncate(8)
assert torch.equal(model.network.forward(ids), before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
