"""The hub, simulated: what is asked of it, in which order, and one clear sentence for each way it can fail."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import errors as hub_errors

from ivcore.errors import DamagedModelError, ModelError, ModelNotFoundError, OfflineError, UnknownFamilyError
from ivcore.models import hub, load_model
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

    def hf_hub_download(self, hub_id: str, name: str, revision: str | None = None) -> str:
        self.asked.append((name, revision))
        if self.failure is not None and not self.late:
            raise self.failure
        return str(self.folder / name) if self.folder else ""

    def snapshot_download(self, hub_id: str, revision: str | None, allow_patterns: list[str]) -> str:
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
