"""Verdicts that are kept: found again, and never where anything that they depend on is another."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ivcore.check import CheckReport, check_model
from ivcore.errors import InputError, StoreFullError
from ivcore.models import LoadedModel
from ivcore.runs import checked, find_verdict, kept_verdicts
from ivcore.store import Store
from ivcore.store.records import seal

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were really checked."""
    made: list[str] = []

    def check(model: LoadedModel) -> CheckReport:
        made.append(model.ref)
        return check_model(model)

    monkeypatch.setattr("ivcore.runs.verdicts.check_model", check)
    return made


def found(store: Store, model: LoadedModel) -> object:
    return find_verdict(store, model.fingerprint, model.device, model.dtype)


def rewrite(store: Store, **changes: Any) -> None:
    """Change the only note and seal it anew, as somebody could who means harm."""
    (path,) = (store.own / "notes").iterdir()
    document = json.loads(path.read_bytes())
    del document["sha256"]
    document["content"] |= changes
    path.write_bytes(seal(document))


def test_a_model_is_checked_once(store: Store, olmo2: LoadedModel, once: list[str]) -> None:
    first = checked(store, olmo2)
    assert first.passed and first.model.n_kv_heads == olmo2.n_kv_heads and first.model.fingerprint == olmo2.fingerprint
    assert checked(store, olmo2) == first == found(store, olmo2) and once == [olmo2.ref]
    assert kept_verdicts(store) == (first,)


def test_another_device_number_format_or_model_has_none(store: Store, olmo2: LoadedModel) -> None:
    checked(store, olmo2)
    assert find_verdict(store, olmo2.fingerprint, "cuda", olmo2.dtype) is None
    assert find_verdict(store, olmo2.fingerprint, olmo2.device, "bfloat16") is None
    assert find_verdict(store, "0" * 64, olmo2.device, olmo2.dtype) is None


@pytest.mark.parametrize("what", ["library_versions", "_engine"])
def test_it_holds_for_these_libraries_and_this_source(
    store: Store, olmo2: LoadedModel, once: list[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    checked(store, olmo2)
    monkeypatch.setattr(f"ivcore.runs.verdicts.{what}", lambda: {"torch": "0"})
    assert found(store, olmo2) is None and kept_verdicts(store) == ()
    checked(store, olmo2)
    assert once == [olmo2.ref] * 2
    assert len(kept_verdicts(store)) == len(store.notes()) == 1, "it takes the other's place"


def test_a_deviation_that_is_no_number_is_kept(
    store: Store, olmo2: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(model: LoadedModel) -> CheckReport:
        report = check_model(model)
        return replace(report, passed=False, items=(replace(report.items[0], passed=False, value=math.nan),))

    monkeypatch.setattr("ivcore.runs.verdicts.check_model", check)
    checked(store, olmo2)
    (verdict,) = kept_verdicts(store)
    assert not verdict.passed and math.isnan(verdict.items[0].value)


@pytest.mark.parametrize(
    "report",
    [
        {},
        [],
        {"passed": True, "items": [], "seconds": 1.0, "fingerprint": "F"},
        {"passed": True, "items": [{"name": "logits"}], "seconds": 1.0, "fingerprint": "F"},
        {"passed": True, "items": "FAILED", "seconds": 1.0, "fingerprint": "F"},
        {"passed": 1, "items": "PASSED", "seconds": "<b>", "fingerprint": "F"},
        {"passed": True, "items": "PASSED", "seconds": 1.0, "fingerprint": "another"},
        {"passed": True, "items": "PASSED", "seconds": 1.0, "fingerprint": "F", "more": 1},
    ],
)
def test_a_report_that_contradicts_itself_counts_as_none(
    store: Store, olmo2: LoadedModel, once: list[str], report: Any
) -> None:
    checked(store, olmo2)
    item = {"name": "logits", "value": "1.0", "tolerance": "2.0", "explanation": "words"}
    if isinstance(report, dict) and report:
        items = {"PASSED": [item | {"passed": True}], "FAILED": [item | {"passed": False}]}
        report = report | {"items": items.get(str(report["items"]), report["items"])}
        report |= {"fingerprint": olmo2.fingerprint} if report["fingerprint"] == "F" else {}
    rewrite(store, report=report)
    assert found(store, olmo2) is None and kept_verdicts(store) == ()
    assert checked(store, olmo2).passed and len(once) == 2


def test_a_sound_report_written_anew_is_read(store: Store, olmo2: LoadedModel) -> None:
    """The control of the test above: it is the content that is refused, not the writing."""
    checked(store, olmo2)
    item = {"name": "logits", "value": "1.0", "tolerance": "2.0", "explanation": "words", "passed": True}
    rewrite(store, report={"passed": True, "items": [item], "seconds": 1.0, "fingerprint": olmo2.fingerprint})
    assert [verdict.items[0].value for verdict in kept_verdicts(store)] == [1.0]


def test_a_verdict_that_cannot_be_kept_is_given_all_the_same(
    store: Store, olmo2: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreFullError("No room is left.")

    monkeypatch.setattr("ivcore.store.folders.keep_note", full)
    assert checked(store, olmo2).passed and kept_verdicts(store) == ()


def test_notes_are_found_as_they_were_kept(store: Store) -> None:
    note = store.keep_note(KEY, {"b": [1, 2.5, None], "a": "é"})
    assert store.find_note(KEY) == note and store.notes() == (note,)
    after = store.keep_note(KEY, {"b": 2})
    assert store.find_note(KEY) == after and store.notes() == (after,)
    assert store.find_note("cd" * 32) is None and store.runs() == () and store.entries() == ()


def test_notes_that_are_not_what_was_written_count_as_none(store: Store, tmp_path: Path) -> None:
    store.keep_note(KEY, {"a": 1})
    path = store.own / "notes" / f"{KEY}.json"
    whole = path.read_bytes()
    for content in (b"", whole[:-20], whole.replace(b'"a": 1', b'"a": 2'), b"[]", b"\xff" * 10, b"[" * 100_000):
        path.write_bytes(content)
        assert store.find_note(KEY) is None and store.notes() == ()
    other = path.with_name(f"{'cd' * 32}.json")
    other.write_bytes(whole)
    assert store.find_note("cd" * 32) is None, "a note of another name"
    path.unlink()
    (tmp_path / "elsewhere").write_bytes(whole)
    path.symlink_to(tmp_path / "elsewhere")
    assert store.find_note(KEY) is None, "no link is followed"
    path.unlink()
    path.write_bytes(whole)
    assert store.find_note(KEY) is not None


@pytest.mark.parametrize("key", ["", "../" + KEY, KEY[:-1], KEY.upper()])
def test_notes_have_names_of_runs(store: Store, key: str) -> None:
    with pytest.raises(InputError):
        store.find_note(key)
    with pytest.raises(InputError):
        store.keep_note(key, {})
