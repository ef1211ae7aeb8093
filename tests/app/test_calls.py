"""Models in memory: the least recently used one goes, none goes that is at work, and memory is given back."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from ivcore.errors import DamagedModelError, ModelError, ModelNotFoundError
from tests.app.tiny_folder import make_folder
from tests.conftest import make_olmo2, randomise, save_folder
from ui import alive, calls
from ui.alive import Alive, Which, is_at_work
from ui.worker import workshop

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 20.0


@dataclass(eq=False)
class Fake:
    """As much of a model as ``Alive`` looks at."""

    name: str
    lock: Any = field(default_factory=threading.RLock)
    fingerprint: str = "f"
    device: str = "cpu"
    dtype: str = "float32"


def which(name: str) -> Which:
    return Which(name, "cpu", "float32")


def get(models: Alive, name: str) -> Fake:
    return models.get(which(name), (), lambda: Fake(name, fingerprint=name))  # type: ignore[arg-type,return-value]


def names(models: Alive) -> list[str]:
    return [one.ref for one in models.present()]


@pytest.fixture
def models() -> Alive:
    return Alive(2, is_at_work)


@pytest.fixture
def held() -> Iterator[Callable[[Fake], None]]:
    """Hold a model's lock in another thread, as whoever runs it does, until the test ends."""
    over, threads = threading.Event(), []

    def hold(model: Fake) -> None:
        begun = threading.Event()

        def work() -> None:
            with model.lock:
                begun.set()
                over.wait(PATIENCE)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        assert begun.wait(PATIENCE)

    yield hold
    over.set()
    for thread in threads:
        thread.join(PATIENCE)


def test_the_least_recently_used_goes(models: Alive) -> None:
    first = get(models, "a")
    get(models, "b")
    assert get(models, "a") is first
    get(models, "c")
    assert names(models) == ["a", "c"]


def test_a_model_that_goes_leaves_nothing_behind(models: Alive) -> None:
    trace = weakref.ref(get(models, "a"))
    assert trace() is not None
    for name in ("b", "c"):
        get(models, name)
    assert trace() is None


def test_room_is_made_before_a_model_is_read(models: Alive) -> None:
    for name in ("a", "b"):
        get(models, name)
    seen: list[list[str]] = []

    def load() -> Any:
        seen.append(names(models))
        return Fake("c")

    models.get(which("c"), (), load)
    assert seen == [["b"]]


def test_models_at_work_stay(models: Alive, held: Callable[[Fake], None]) -> None:
    held(get(models, "a"))
    get(models, "b")
    get(models, "c")
    assert names(models) == ["a", "c"], "the older one is at work"
    assert not models.release(which("a"))
    assert models.release(which("c")) and names(models) == ["a"]


def test_where_all_are_at_work_one_more_comes_until_one_rests(models: Alive) -> None:
    busy = {"a", "b"}
    models = Alive(2, lambda model: model.name in busy)  # type: ignore[attr-defined]
    for name in ("a", "b", "c"):
        get(models, name)
    assert names(models) == ["a", "b", "c"]
    busy.clear()
    get(models, "d")
    assert names(models) == ["c", "d"]


def test_a_background_job_keeps_its_model(models: Alive) -> None:
    go = threading.Event()
    model = get(models, "job's")
    job = workshop().start("test of models", "a job", "job's cpu float32", lambda *_: go.wait(PATIENCE))
    for name in ("b", "c"):
        get(models, name)
    assert names(models) == ["job's", "c"] and models.find(which("job's")) is model  # type: ignore[comparison-overlap]
    go.set()
    _until(lambda: job.ended)
    get(models, "d")
    assert names(models) == ["c", "d"]


def test_an_ended_job_does_not_hold_its_model() -> None:
    model = Fake("a")
    trace = weakref.ref(model)
    job = workshop().start("test of an ended job", "a job", "lane of it", lambda *_, model=model: model.name)
    _until(lambda: job.ended)
    del model
    gc.collect()
    assert trace() is None


def test_a_model_is_loaded_once_for_all_who_ask(models: Alive) -> None:
    go, loads, got = threading.Event(), [], []

    def load() -> Any:
        loads.append("a")
        go.wait(PATIENCE)
        return Fake("a")

    threads = [threading.Thread(target=lambda: got.append(models.get(which("a"), (), load))) for _ in range(4)]
    for thread in threads:
        thread.start()
    _until(lambda: bool(loads))
    go.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert loads == ["a"] and len(got) == 4 and len(set(map(id, got))) == 1


def test_never_more_than_two_even_while_they_are_read(models: Alive) -> None:
    here: set[int] = set()
    most = []

    def load(name: str) -> Any:
        made = Fake(name)
        here.add(id(made))
        weakref.finalize(made, here.discard, id(made))
        most.append(len(here))
        time.sleep(0.01)
        return made

    def visit(start: int) -> None:
        for i in range(start, start + 8):
            models.get(which(str(i % 5)), (), lambda i=i: load(str(i % 5)))

    threads = [threading.Thread(target=visit, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert max(most) == 2 and len(models.present()) == 2


def test_who_waits_for_a_load_that_fails_tries_for_himself(models: Alive) -> None:
    begun, go = threading.Event(), threading.Event()
    failed: list[Exception] = []

    def broken() -> Any:
        begun.set()
        go.wait(PATIENCE)
        raise DamagedModelError("cut short")

    def first() -> None:
        try:
            models.get(which("a"), (), broken)
        except DamagedModelError as err:
            failed.append(err)

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(PATIENCE)
    threading.Timer(0.05, go.set).start()
    assert get(models, "a").name == "a"
    thread.join(PATIENCE)
    assert len(failed) == 1


def test_other_files_are_another_model(models: Alive) -> None:
    before = models.get(which("a"), (("file", 1, 1),), lambda: Fake("a"))  # type: ignore[arg-type,return-value]
    after = models.get(which("a"), (("file", 1, 2),), lambda: Fake("a"))  # type: ignore[arg-type,return-value]
    assert after is not before and names(models) == ["a"]


def test_caches_that_hold_models_are_emptied(models: Alive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alive, "_HOLDING", [])

    @alive.holds_models
    @st.cache_resource(show_spinner=False)
    def _frozen(_model: Fake, name: str) -> list[Fake]:
        return [_model]

    trace = weakref.ref(get(models, "a"))
    _frozen(trace(), "a")
    models.release(which("a"))
    assert trace() is None


def test_a_model_that_cannot_be_loaded_pushes_none_out(folder: Path, tmp_path: Path) -> None:
    calls.alive().clear()
    other = make_folder(tmp_path / "other", n_layers=2, seed=3)
    for ref in (folder, other):
        calls.model(str(ref), "cpu", "float32")
    broken = make_folder(tmp_path / "broken", n_layers=2, seed=4)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(DamagedModelError):
        calls.model(str(broken), "cpu", "float32")
    assert names(calls.alive()) == [str(folder), str(other)]


@pytest.mark.parametrize(("room_for", "left"), [(-1, []), (0, []), (1, ["other"]), (2, ["first", "other"])])
def test_models_go_where_memory_is_short(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_for: int, left: list[str]
) -> None:
    refs = [make_folder(tmp_path / name, n_layers=2, seed=3) for name in ("first", "other")]
    most = Alive(3, is_at_work)
    for ref in refs:
        calls.load(most, str(ref), "cpu", "float32")
    monkeypatch.setattr(
        "ivcore.models.memory.free_bytes", lambda _: 2**40 if len(most.present()) <= room_for else 2**10
    )
    with pytest.raises(ModelError, match="free") if room_for < 0 else nullcontext():
        calls.load(most, str(folder), "cpu", "float32")
    assert [Path(name).name for name in names(most)] == [*left, *(["tiny"] if room_for >= 0 else [])]


def test_a_download_that_was_cut_off_is_still_to_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit, repository = "c" * 40, tmp_path / "models--lab--model"
    folder = repository / "snapshots" / commit
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    assert calls.is_to_download("lab/model")
    (folder / "config.json").write_text("{}")
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": dict(zip(("a", "b"), shards, strict=True))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / shards[0]).touch()
    assert calls.is_to_download("lab/model")
    (folder / shards[1]).touch()
    assert not calls.is_to_download("lab/model") and calls.snapshot("lab/model") == folder
    (folder / "model.safetensors.index.json").write_text("[]")
    assert calls.is_to_download("lab/model")


def test_auto_is_the_device_that_it_stands_for(folder: Path) -> None:
    wanted = calls.which(str(folder), "auto", "float32")
    assert calls.model(str(folder), "auto", "float32") is calls.model(str(folder), wanted.device, "float32")


def test_only_listed_models_are_opened_where_others_are_not_allowed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivcore.models.others_allowed", lambda: False)
    with pytest.raises(ModelNotFoundError, match="only the models that it lists"):
        calls.model(str(folder), "cpu", "float32")
    assert calls.model("ivy-sft", "cpu", "float32").n_layers == 8


def test_a_verdict_is_kept_over_a_restart(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def verdict() -> Any:
        calls.verdicts().clear()
        loaded = calls.model(str(folder), "cpu", "float32")
        return calls.verdict(loaded, loaded.fingerprint, loaded.device, loaded.dtype)

    first = verdict()
    assert first.passed and first.model.ref == str(folder)
    with monkeypatch.context() as patch:
        patch.setattr("ivcore.runs.verdicts.check_model", lambda _: pytest.fail("checked again"))
        assert verdict() == first
    (note,) = (cache / "notes").iterdir()
    note.write_bytes(note.read_bytes().replace(b'"passed": true', b'"passed": false'))
    assert verdict().passed, "a damaged report is made anew"


_MEASURE = """
import json, logging, sys
logging.disable(logging.WARNING)
from ui import calls

def now(what):
    lines = dict(line.split(":") for line in open("/proc/self/status") if ":" in line)
    return int(lines[what].split()[0]) * 1024

def use(ref):
    open("/proc/self/clear_refs", "w").write("5")  # the peak is counted from here
    loaded = calls.model(ref, "cpu", "float32")
    calls.verdict(loaded, loaded.fingerprint, loaded.device, loaded.dtype)
    return sum(weight.nbytes for weight in loaded.hf.parameters())

calls.import_engine()
tiny, *refs = sys.argv[1:]
use(tiny)
told = []
for ref in refs:
    before = now("VmRSS")
    size = use(ref)
    told.append({"weights": size, "before": before, "after": now("VmRSS"), "peak": now("VmHWM")})
for which in calls.alive().present():
    assert calls.alive().release(which)
print(json.dumps({"loads": told, "released": now("VmRSS")}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_that_of_two_models(folder: Path, tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 4}
    refs = [save_folder(randomise(make_olmo2(**sizes), seed), tmp_path / str(seed)) for seed in range(3)]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(folder), *map(str, [*refs, refs[0]])],
        cwd=REPOSITORY,
        env={"PATH": "", "OMP_NUM_THREADS": "1", "IVCORE_CACHE": str(tmp_path / "runs"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    _, two, *more = told["loads"]
    weights = two["weights"]
    assert weights > 100e6
    for load in more:
        assert load["after"] < two["after"] + 0.6 * weights, "a third model stays in memory"
        assert load["peak"] < two["after"] + weights, "a third model is read before one goes"
    assert told["released"] < two["after"] - 1.2 * weights, "memory is not given back"


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)
