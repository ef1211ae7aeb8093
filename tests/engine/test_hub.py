"""The hub, simulated: what is asked of it, in which order, and one clear sentence for each way it can fail.

``FakeHub`` stands in for the hub's client; ``LocalHub`` answers the real client from a folder on this machine.
"""

from __future__ import annotations

import errno
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from huggingface_hub import constants
from huggingface_hub import errors as hub_errors
from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter

from ivcore.errors import (
    DamagedModelError,
    InputError,
    ModelError,
    ModelNotFoundError,
    OfflineError,
    UnknownFamilyError,
)
from ivcore.models import LoadProgress, hub, load_model
from tests.conftest import make_olmo2, save_folder

HUB_ID = "some-org/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    return save_folder(make_olmo2(), tmp_path / "cache" / COMMIT)


class FakeHub:
    """Answers as the hub's client does, from a folder, and keeps what was asked."""

    def __init__(self, folder: Path | None = None, failure: Exception | None = None, late: bool = False) -> None:
        self.folder, self.failure, self.late = folder, failure, late
        self.asked: list[tuple[str, Any]] = []
        self.n_bytes = 1000

    def hf_hub_download(self, hub_id: str, name: str, revision: str | None = None) -> str:
        self.asked.append((name, revision))
        if self.failure is not None and not self.late:
            raise self.failure
        return str(self.folder / name) if self.folder else ""

    def snapshot_download(
        self, hub_id: str, *, dry_run: bool = False, allow_patterns: list[str], **_options: Any
    ) -> str | list[Any]:
        if dry_run:
            return [SimpleNamespace(file_size=self.n_bytes, will_download=True)]
        self.asked.append(("snapshot", allow_patterns))
        if self.failure is not None:
            raise self.failure
        return str(self.folder)


def use(monkeypatch: pytest.MonkeyPatch, fake: FakeHub) -> FakeHub:
    monkeypatch.setattr(hub, "hf_hub_download", fake.hf_hub_download)
    monkeypatch.setattr(hub, "snapshot_download", fake.snapshot_download)
    return fake


def test_a_hub_id_is_loaded_with_its_commit(monkeypatch: pytest.MonkeyPatch, snapshot: Path) -> None:
    fake = use(monkeypatch, FakeHub(snapshot))
    model = load_model(HUB_ID, device="cpu", revision="v1")
    assert (model.ref, model.revision, model.n_layers) == (HUB_ID, COMMIT, 5)
    assert [name for name, _ in fake.asked] == ["config.json", "snapshot"]
    assert fake.asked[0][1] == "v1"


@pytest.mark.parametrize(
    "revision",
    ["", " ", "a b", "..", "../x", "x/../../etc", "/etc", "a//b", "-x", "v1\n", "a\x00b", "half\ud800", "v1.", "a..b"],
)
def test_no_revision_is_a_path_elsewhere(monkeypatch: pytest.MonkeyPatch, snapshot: Path, revision: str) -> None:
    fake = use(monkeypatch, FakeHub(snapshot))
    with pytest.raises(InputError, match="branch, tag or commit") as caught:
        load_model(HUB_ID, revision=revision)
    str(caught.value).encode()
    assert not fake.asked


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", COMMIT, "v1.0", "step1000-tokens5B", "stage1_x+y"])
def test_names_of_revisions(monkeypatch: pytest.MonkeyPatch, snapshot: Path, revision: str) -> None:
    fake = use(monkeypatch, FakeHub(snapshot))
    load_model(HUB_ID, device="cpu", revision=revision)
    assert fake.asked[0] == ("config.json", revision)


def test_only_safetensors_and_text_are_asked_for(monkeypatch: pytest.MonkeyPatch, snapshot: Path) -> None:
    from fnmatch import fnmatch

    patterns = use(monkeypatch, FakeHub(snapshot))
    load_model(HUB_ID, device="cpu")
    wanted = dict(patterns.asked)["snapshot"]

    def taken(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in wanted)

    assert all(map(taken, ("config.json", "tokenizer.json", "model.safetensors", "model-00001-of-00002.safetensors")))
    assert not any(map(taken, ("pytorch_model.bin", "model.py", "consolidated.safetensors", "original/x.pth")))


@pytest.mark.parametrize(
    "changes", [{"architectures": ["BertForMaskedLM"]}, {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}]
)
def test_nothing_more_is_downloaded_of_a_model_that_will_not_run(
    monkeypatch: pytest.MonkeyPatch, snapshot: Path, changes: dict[str, Any]
) -> None:
    config = snapshot / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    fake = use(monkeypatch, FakeHub(snapshot))
    with pytest.raises(UnknownFamilyError):
        load_model(HUB_ID)
    assert [name for name, _ in fake.asked] == ["config.json"]


def test_a_hub_folder_is_inspected_like_any_other(monkeypatch: pytest.MonkeyPatch, snapshot: Path) -> None:
    shutil.copy(snapshot / "model.safetensors", snapshot / "pytorch_model.bin")
    (snapshot / "model.safetensors").unlink()
    use(monkeypatch, FakeHub(snapshot))
    with pytest.raises(DamagedModelError, match="only pickled weights"):
        load_model(HUB_ID)


def http(kind: type[Exception], status: int) -> Exception:
    response = httpx.Response(status, request=httpx.Request("GET", "https://hub.invalid/x"))
    return kind("first line\nsecond line", response=response)  # type: ignore[call-arg]


FAILURES: dict[str, tuple[Exception, type[ModelError], str]] = {
    "no such repository": (http(hub_errors.RepositoryNotFoundError, 404), ModelNotFoundError, "no public model"),
    "gated": (http(hub_errors.GatedRepoError, 403), ModelNotFoundError, "accepted its terms"),
    "no such revision": (http(hub_errors.RevisionNotFoundError, 404), ModelNotFoundError, "no revision 'v9'"),
    "bad id": (hub_errors.HFValidationError("x"), ModelNotFoundError, "no public model"),
    "no config": (http(hub_errors.RemoteEntryNotFoundError, 404), DamagedModelError, "has no config.json"),
    "not in the cache": (hub_errors.LocalEntryNotFoundError("x"), OfflineError, "cannot be reached"),
    "offline mode": (hub_errors.OfflineModeIsEnabled("x"), OfflineError, "cannot be reached"),
    "no network": (httpx.ConnectError("name resolution"), OfflineError, "cannot be reached"),
    "timeout": (TimeoutError(), OfflineError, "cannot be reached"),
    "server error": (http(hub_errors.HfHubHTTPError, 503), OfflineError, "HTTP 503"),
    "disk full": (OSError(errno.ENOSPC, "No space left on device"), DamagedModelError, "no space left"),
    "quota used up": (OSError(errno.EDQUOT, "Disk quota exceeded"), DamagedModelError, "no space left"),
    "disk full, without a number": (RuntimeError("IO: No space left on device"), DamagedModelError, "no space left"),
    "cache of another user": (PermissionError(errno.EACCES, "x"), ModelError, "cannot be written"),
    "cache to read only": (OSError(errno.EROFS, "x"), ModelError, "cannot be written"),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", FAILURES)
def test_failures_of_the_hub(monkeypatch: pytest.MonkeyPatch, snapshot: Path, name: str, late: bool) -> None:
    """At the first file, and in the middle of the download."""
    failure, error, message = FAILURES[name]
    use(monkeypatch, FakeHub(snapshot, failure, late))
    with pytest.raises(error) as caught:
        load_model(HUB_ID, revision="v9")
    assert type(caught.value) is error
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is failure


def test_without_a_network_the_real_client_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real client in its offline mode with an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OfflineError, match="cannot be reached"):
        load_model("allenai/OLMo-2-0425-1B")


def test_a_model_larger_than_the_free_disk_is_refused_before_it_is_fetched(
    monkeypatch: pytest.MonkeyPatch, snapshot: Path
) -> None:
    fake = use(monkeypatch, FakeHub(snapshot))
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _place: SimpleNamespace(free=3 * 2**30))
    fake.n_bytes = 14 * 2**30
    with pytest.raises(ModelError) as caught:
        load_model(HUB_ID)
    assert str(caught.value) == (
        "'some-org/some-model' takes 14.0 GiB more on the disk but 3.0 GiB are free; free some or set HF_HOME to "
        "another disk."
    )
    assert [name for name, _ in fake.asked] == ["config.json"]
    fake.n_bytes = 2**30
    assert load_model(HUB_ID, device="cpu").revision == COMMIT


def test_a_model_larger_than_the_free_memory_is_refused_before_it_is_fetched(
    monkeypatch: pytest.MonkeyPatch, snapshot: Path
) -> None:
    fake, free = use(monkeypatch, FakeHub(snapshot)), [1000]
    monkeypatch.setattr("ivcore.models.memory.free_bytes", lambda _device: free[0])
    with pytest.raises(
        ModelError, match=r"^'some-org/some-model' needs .* in float32 but 0 MiB are free on the device"
    ):
        load_model(HUB_ID, device="cpu")
    assert [name for name, _ in fake.asked] == ["config.json"]
    asked = []
    loaded = load_model(HUB_ID, device="cpu", make_room=lambda is_enough: asked.append(free.insert(0, 2**30)))
    assert loaded.revision == COMMIT and len(asked) == 1


class Enough(Exception):
    """What a caller raises that wishes to stop."""


def test_a_download_that_cannot_be_stopped_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, snapshot: Path) -> None:
    """The hub's fast protocol does not listen to progress bars."""
    gate, ended = threading.Event(), threading.Event()

    class Deaf(FakeHub):
        def snapshot_download(self, hub_id: str, **options: Any) -> str | list[Any]:
            if not options.get("dry_run"):
                gate.wait(30)
                ended.set()
            return super().snapshot_download(hub_id, **options)

    use(monkeypatch, Deaf(snapshot))

    def stop(_progress: LoadProgress) -> None:
        raise Enough

    with pytest.raises(Enough):
        load_model(HUB_ID, on_progress=stop)
    assert not ended.is_set()
    gate.set()


# The real client, against a hub on this machine -----------------------------------------------------------------------


class LocalHub(ThreadingHTTPServer):
    """One repository of the hub, served from a folder; ``gate`` holds back the second half of the weights."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.folder = folder
        self.fetched: list[str] = []
        self.sent: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_fast = False
        """Whether weights are offered by the hub's fast protocol."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: LocalHub

    def log_message(self, *_: Any) -> None:
        """Writes nothing."""

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{HUB_ID}/tree/"):
            self._send(json.dumps([self._row(file) for file in sorted(self.server.folder.iterdir())]).encode())
        elif path.startswith(f"/api/models/{HUB_ID}"):
            self._send(json.dumps({"id": HUB_ID, "sha": COMMIT, "siblings": []}).encode())
        else:
            self._send_file(self.server.folder / path.rpartition("/")[2], body)

    def _row(self, file: Path) -> dict[str, Any]:
        return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": f"{file.name}-oid"}

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _send_file(self, file: Path, body: bool) -> None:
        content = file.read_bytes()
        self.send_response(200)
        for key, value in (("X-Repo-Commit", COMMIT), ("ETag", f'"{file.name}-oid"'), ("Content-Length", len(content))):
            self.send_header(key, str(value))
        if self.server.is_fast and file.suffix == ".safetensors":
            self.send_header("X-Xet-Hash", "0" * 64)
            self.send_header("X-Xet-Refresh-Route", f"{self.server.address}/refresh")
        self.end_headers()
        if body:
            self.server.fetched.append(file.name)
            half = len(content) // 2
            self.wfile.write(content[:half])
            if file.name == "model.safetensors":
                self.server.gate.wait(60)
            self.wfile.write(content[half:])
            self.server.sent.append(file.name)


@pytest.fixture
def local_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, snapshot: Path) -> Iterator[LocalHub]:
    server = LocalHub(snapshot)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in (
        ("HF_HUB_OFFLINE", False),
        ("ENDPOINT", server.address),
        ("HUGGINGFACE_CO_URL_TEMPLATE", template),
        ("HF_HUB_CACHE", str(tmp_path / "hub")),
        ("DOWNLOAD_CHUNK_SIZE", 1000),
    ):
        monkeypatch.setattr(constants, name, value)
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()


def stages(told: list[LoadProgress], stage: str) -> list[LoadProgress]:
    return [progress for progress in told if progress.stage == stage]


def test_a_download_tells_its_bytes_and_then_what_it_reads(local_hub: LocalHub) -> None:
    told: list[LoadProgress] = []
    threads = set()

    def on_progress(progress: LoadProgress) -> None:
        told.append(progress)
        threads.add(threading.current_thread())

    model = load_model(HUB_ID, device="cpu", on_progress=on_progress)
    assert model.revision == COMMIT
    sizes = {name: (local_hub.folder / name).stat().st_size for name in local_hub.fetched}
    assert "model.safetensors" in sizes
    fetched, read = stages(told, "download"), stages(told, "read")
    assert told == fetched + read
    for some, total in ((fetched, sum(sizes.values()) - sizes["config.json"]), (read, sizes["model.safetensors"])):
        assert {progress.total for progress in some} == {total}
        done = [progress.done for progress in some]
        assert done == sorted(done)
        assert (done[0], done[-1]) == (0, total)
    assert threads == {threading.current_thread()}

    told.clear()
    load_model(HUB_ID, device="cpu", on_progress=on_progress)
    assert {progress.stage for progress in told} == {"read"}, "what is in the cache is not fetched again"


def test_a_stopped_download_goes_on_where_it_was(local_hub: LocalHub) -> None:
    """In the midst of the weights: the call ends at once, whole files stay, and the next call fetches the rest."""
    local_hub.gate.clear()
    rest = {path.name: path.stat().st_size for path in local_hub.folder.iterdir() if path.name != "config.json"}
    texts = sum(size for name, size in rest.items() if name != "model.safetensors")

    def stop(progress: LoadProgress) -> None:
        if progress.done > texts + 1000:
            raise enough

    enough = Enough()
    with pytest.raises(Enough) as caught:
        load_model(HUB_ID, device="cpu", on_progress=stop)
    assert caught.value is enough
    assert "model.safetensors" in set(local_hub.fetched) - set(local_hub.sent), "it did not wait for the file"
    local_hub.gate.set()
    wait_until(lambda: not any(thread.name.startswith("download") for thread in threading.enumerate()))
    cache = Path(constants.HF_HUB_CACHE)
    assert {path.name for path in cache.rglob("*") if path.name in rest} == set(rest) - {"model.safetensors"}

    local_hub.fetched.clear()
    assert load_model(HUB_ID, device="cpu").revision == COMMIT
    assert local_hub.fetched == ["model.safetensors"]


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_bytes_of_the_fast_protocol_count_when_they_come(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes a file late and in large pieces; and fewer bytes may come than are written, as they come packed."""
    local_hub.is_fast = True
    size = (local_hub.folder / "model.safetensors").stat().st_size
    texts = sum(file.stat().st_size for file in local_hub.folder.iterdir()) - size
    texts -= (local_hub.folder / "config.json").stat().st_size
    halfway = threading.Event()
    told: list[LoadProgress] = []

    def on_progress(progress: LoadProgress) -> None:
        told.append(progress)
        if progress.done >= texts + size // 2:
            halfway.set()

    def fast(*, incomplete_path: Path, expected_size: int, tqdm_class: Any, **_: Any) -> None:
        with XetDownloadProgressReporter(
            reconstruction_desc="", total=expected_size, log_level=20, tqdm_class=tqdm_class
        ) as reporter:
            for come, written in ((expected_size // 2, 0), (expected_size // 2, expected_size)):
                reporter.update_progress(
                    SimpleNamespace(
                        total_bytes=expected_size,
                        total_bytes_completed=written,
                        total_transfer_bytes_completed=come,
                        total_bytes_completion_rate=None,
                        total_transfer_bytes_completion_rate=None,
                    )
                )
                assert halfway.wait(30)
        incomplete_path.write_bytes((local_hub.folder / "model.safetensors").read_bytes())

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SHARED_BLOBS", True)
    monkeypatch.setattr("huggingface_hub.file_download.xet_get", fast)
    assert load_model(HUB_ID, device="cpu", on_progress=on_progress).revision == COMMIT
    assert "model.safetensors" not in local_hub.fetched
    assert halfway.is_set()
    fetched = stages(told, "download")
    assert (fetched[-1].done, fetched[-1].total) == (texts + size, texts + size)


def test_what_is_whole_in_the_cache_needs_no_hub(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model(HUB_ID, device="cpu")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    told: list[LoadProgress] = []
    assert load_model(HUB_ID, device="cpu", on_progress=told.append).revision == COMMIT
    assert {progress.stage for progress in told} == {"read"}


def test_a_download_that_breaks_off_says_so(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The progress of a failed download is no wish to stop."""

    def broken(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", broken)
    with pytest.raises(DamagedModelError, match="no space left"):
        load_model(HUB_ID, device="cpu", on_progress=lambda _: None)
