"""A run on disk: what comes back, and what is refused.  Checksums and names are computed here again, by hand."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ivcore.cache_command import cache
from ivcore.errors import DamagedRunError, InputError, RunBusyError, StoreError, StoreFullError
from ivcore.store import Run, Store, canonical, default_store, drafts, files, run_key

REQUEST = {"analysis": "sweep", "task": "adj_comp", "items": [["Adjective: big. Answer:", "bigger"]], "depth": 2}
META = {"model": {"ref": "tiny"}, "device": "cpu", "dtype": "float32", "seed": 0, "tokens": [" bigger", "é\ud800"]}
KEY = run_key(REQUEST, "f" * 64)


def arrays_of(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {"rank": random.integers(1, 99, (2, 3), dtype=np.int32), "logit": random.normal(size=4).astype(np.float32)}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return list(found) == list(wanted) and all(
        found[name].dtype == wanted[name].dtype and np.array_equal(found[name], wanted[name]) for name in wanted
    )


def put(store: Store, key: str = KEY, seed: int = 0) -> Run:
    with store.draft(key, REQUEST, META) as draft:
        return draft.finish(arrays_of(seed))


def forge(folder: Path, **changes: Any) -> None:
    """Change run.json and give it a checksum that fits, as one who means harm would."""
    path = folder / "run.json"
    document = json.loads(path.read_text()) | changes
    del document["sha256"]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    path.write_text(json.dumps(document | {"sha256": hashlib.sha256(text.encode()).hexdigest()}))


def forge_arrays(folder: Path, data: bytes) -> None:
    (folder / "arrays.npz").write_bytes(data)
    forge(folder, files={"arrays.npz": hashlib.sha256(data).hexdigest()})


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "own", tmp_path / "bundled")


def kinds(store: Store) -> list[str]:
    return [entry.kind for entry in store.verify_all()]


# Names


def test_a_key_is_the_digest_of_the_canonical_text() -> None:
    request = {"task": "é", "items": (("a", 1), [2.5, None, True])}
    text = '{"fingerprint":"abc","request":{"items":[["a",1],[2.5,null,true]],"task":"\\u00e9"}}'
    assert run_key(request, "abc") == hashlib.sha256(text.encode()).hexdigest()
    assert canonical({"b": 1, "a": ()}) == canonical({"a": [], "b": 1}) == '{"a":[],"b":1}'


def test_other_requests_have_other_keys() -> None:
    values: list[Any] = [1, 1.0, True, "1", None, [1], [[1]], {"1": 1}, "", 0]
    keys = {run_key({"x": value}, "f") for value in values} | {run_key({"x": 1}, "g"), run_key({"y": 1}, "f")}
    assert len(keys) == len(values) + 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, {1, 2}, np.zeros(2), np.int64(1), b"x", Path()])
def test_what_is_not_plain_json_has_no_key(value: object) -> None:
    with pytest.raises((TypeError, ValueError), match="request"):
        run_key({"deep": [value]}, "f")


@pytest.mark.parametrize("key", ["", "..", "../" + KEY, KEY[:-1], KEY + "\n", KEY.upper(), "/etc/passwd", "\x00" * 64])
def test_a_name_from_a_permalink_leads_nowhere_else(store: Store, key: str) -> None:
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        store.find(key)
    with pytest.raises(InputError), store.draft(key, REQUEST, META):
        pytest.fail("the draft was opened")
    assert not store.own.exists()


# What comes back


def test_a_run_comes_back_as_it_was_written(store: Store) -> None:
    wanted = arrays_of(0) | {
        "text": np.array(["", " bigger", "ünï"]),
        "none": np.zeros((0, 3)),
        "single": np.array(1.5),
        "odd": np.array([np.nan, -0.0, np.inf]),
        "turned": np.arange(6, dtype=">i2").reshape(2, 3).T,
    }
    assert store.find(KEY) is None
    with store.draft(KEY, REQUEST, META) as draft:
        made = draft.finish(wanted, {"n": 1})
    found = store.find(KEY)
    assert found == made and found is not None and not found.bundled and found.folder == store.own / KEY
    assert found.request == REQUEST and {name: found.meta[name] for name in META} == META and found.meta["n"] == 1
    arrays = found.arrays()
    assert all(arrays[name].dtype == array.dtype for name, array in wanted.items())
    for name, array in wanted.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    arrays["rank"][0, 0] = 0  # not read-only
    with np.load(found.folder / "arrays.npz", allow_pickle=False) as plain:
        assert sorted(plain) == sorted(wanted) and np.array_equal(plain["text"], wanted["text"])
    digest = hashlib.sha256((found.folder / "arrays.npz").read_bytes()).hexdigest()
    assert found.meta["files"] == {"arrays.npz": digest}
    assert set(os.listdir(store.own)) == {KEY, "drafts"} and not os.listdir(store.own / "drafts")


def test_the_same_arrays_give_the_same_file(store: Store) -> None:
    first, second, other = put(store, "a" * 64), put(store, "b" * 64), put(store, "c" * 64, seed=1)
    assert first.meta["files"] == second.meta["files"] != other.meta["files"]


def test_runs_lists_each_name_once_ones_own_first(store: Store, tmp_path: Path) -> None:
    bundled = Store(tmp_path / "bundled")
    put(bundled), put(bundled, "b" * 64), put(store)
    assert {(run.key, run.bundled) for run in store.runs()} == {(KEY, False), ("b" * 64, True)}


@pytest.mark.parametrize(
    ("arrays", "meta"),
    [
        ({"x": np.array([object()])}, {}),
        ({"../x": np.zeros(1)}, {}),
        ({"x": np.zeros(1)}, {"files": {}}),
        ({"x": np.zeros(1)}, {"n": np.zeros(1)}),
    ],
)
def test_what_cannot_be_stored_is_refused_and_the_blocks_stay(
    store: Store, arrays: dict[str, np.ndarray], meta: dict[str, Any]
) -> None:
    with store.draft(KEY, REQUEST, META) as draft:
        draft.write_block("a", arrays_of(0))
        with pytest.raises((TypeError, ValueError)):
            draft.finish(arrays, meta)
        assert store.find(KEY) is None and draft.blocks() == ("a",)
        draft.finish(arrays_of(0))


# What is refused


@pytest.mark.parametrize("name", ["run.json", "arrays.npz"])
def test_no_changed_byte_passes(store: Store, name: str) -> None:
    path = put(store).folder / name
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DamagedRunError):
            store.find(KEY)
    path.write_bytes(whole)
    assert store.find(KEY) is not None


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def trapped(folder: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap(folder.parent / "sprung")], dtype=object), allow_pickle=True)
    forge_arrays(folder, zipped({"rank.npy": buffer.getvalue()}))


def header(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def lie_about_size(folder: Path) -> None:
    """A megabyte of zeros in a member that states ten bytes, in both of the archive's headers."""
    data = zipped({"rank.npy": header("(131072,)") + bytes(2**20)})
    true = (2**20 + len(header("(131072,)"))).to_bytes(4, "little")
    assert data.count(true) == 2
    forge_arrays(folder, data.replace(true, (10).to_bytes(4, "little")))


def linked(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        elsewhere = folder.parent.parent / "elsewhere"
        (folder / name).rename(elsewhere)
        (folder / name).symlink_to(elsewhere)

    return damage


def link_folder(folder: Path) -> None:
    folder.rename(folder.parent.parent / "elsewhere")
    folder.symlink_to(folder.parent.parent / "elsewhere")


def pipe(folder: Path) -> None:
    (folder / "run.json").unlink()
    os.mkfifo(folder / "run.json")


def to_file(folder: Path) -> None:
    (folder / "run.json").unlink()
    (folder / "arrays.npz").unlink()
    folder.rmdir()
    folder.write_text("{}")


DIGEST = "0" * 64
HOSTILE: dict[str, Callable[[Path], object]] = {
    "no JSON": lambda f: (f / "run.json").write_text("{"),
    "no text": lambda f: (f / "run.json").write_bytes(b"\xff\xfe\x00"),
    "empty": lambda f: (f / "run.json").write_text(""),
    "a list": lambda f: (f / "run.json").write_text("[]"),
    "huge": lambda f: os.truncate(f / "run.json", 10**11),
    "deep": lambda f: (f / "run.json").write_text("[" * 10**6),
    "NaN": lambda f: (f / "run.json").write_text('{"request": NaN}'),
    "infinite": lambda f: (f / "run.json").write_text('{"request": 1e999}'),
    "long number": lambda f: (f / "run.json").write_text('{"request": ' + "9" * 10**5 + "}"),
    "run.json missing": lambda f: (f / "run.json").unlink(),
    "arrays missing": lambda f: (f / "arrays.npz").unlink(),
    "arrays cut": lambda f: os.truncate(f / "arrays.npz", 100),
    "arrays huge": lambda f: os.truncate(f / "arrays.npz", 10**11),
    "run.json linked": linked("run.json"),
    "arrays linked": linked("arrays.npz"),
    "folder linked": link_folder,
    "no folder": to_file,
    "a pipe": pipe,
    "a parent's file": lambda f: forge(f, files={"arrays.npz": DIGEST, "../x": DIGEST}),
    "an absolute path": lambda f: forge(f, files={"arrays.npz": DIGEST, "/etc/passwd": DIGEST}),
    "no checksum": lambda f: forge(f, files={"arrays.npz": None}),
    "no arrays named": lambda f: forge(f, files={}),
    "files a list": lambda f: forge(f, files=["arrays.npz"]),
    "no request": lambda f: forge(f, request=None),
    "no time": lambda f: forge(f, created="<b>now</b>"),
    "another's name": lambda f: forge(f, key="b" * 64),
    "no archive": lambda f: forge_arrays(f, b"x" * 100),
    "pickle itself": lambda f: forge_arrays(f, pickle.dumps(Trap(f.parent / "sprung"))),
    "pickle in an array": trapped,
    "huge array": lambda f: forge_arrays(f, zipped({"rank.npy": header("(10000000000000,)") + bytes(8)})),
    "negative shape": lambda f: forge_arrays(f, zipped({"rank.npy": header("(-1, -2)") + bytes(16)})),
    "empty type": lambda f: forge_arrays(f, zipped({"rank.npy": header("(9000000000,)", "'|S0'")})),
    "lying archive": lie_about_size,
    "array outside": lambda f: forge_arrays(f, zipped({"../rank.npy": header("()") + bytes(8)})),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_content_is_reported_removed_and_never_followed(store: Store, tmp_path: Path, name: str) -> None:
    folder = put(store).folder
    HOSTILE[name](folder)
    with pytest.raises(DamagedRunError, match=f"^The run {KEY[:12]} is damaged: .*'cache gc'"):
        found = store.find(KEY)
        assert found is not None
        found.arrays()
    (entry,) = store.verify_all()
    assert (entry.kind, entry.key) == ("damaged", KEY) and entry.reason
    assert len(store.entries()) == 1 and len(store.runs()) <= 1
    outcome = cache(store, "verify")
    assert outcome.code == 1 and json.dumps(outcome.document)
    assert [entry.key for entry in store.gc().removed] == [KEY]
    assert not os.path.lexists(folder) and not (store.own / "sprung").exists()
    if "linked" in name:
        assert (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["empty", "folder linked", "no folder", "arrays cut"])
def test_a_damaged_run_is_computed_again_in_its_place(store: Store, name: str) -> None:
    HOSTILE[name](put(store).folder)
    assert same(put(store, seed=3).arrays(), arrays_of(3)) and kinds(store) == ["run"]


def test_a_sound_run_is_not_replaced(store: Store) -> None:
    put(store)
    assert same(put(store, seed=3).arrays(), arrays_of(0))


def test_a_run_of_a_later_format_is_neither_read_nor_removed(store: Store) -> None:
    forge(put(store).folder, format=2)
    with pytest.raises(StoreError, match="format 2") as caught:
        store.find(KEY)
    assert not isinstance(caught.value, DamagedRunError)
    assert kinds(store) == ["unreadable"] and not store.gc().removed and kinds(store) == ["unreadable"]


def test_an_array_changed_after_find_is_not_shown(store: Store) -> None:
    run = put(store)
    (run.folder / "arrays.npz").write_bytes((put(store, "b" * 64, seed=1).folder / "arrays.npz").read_bytes())
    with pytest.raises(DamagedRunError):
        run.arrays()


def test_the_bundled_run_stands_in_for_a_damaged_one_and_is_never_removed(store: Store, tmp_path: Path) -> None:
    put(Store(tmp_path / "bundled"), seed=1)
    HOSTILE["empty"](put(store).folder)
    found = store.find(KEY)
    assert found is not None and found.bundled and same(found.arrays(), arrays_of(1))
    HOSTILE["empty"](tmp_path / "bundled" / KEY)
    with pytest.raises(DamagedRunError, match="'cache gc'"):
        store.find(KEY)
    assert [entry.bundled for entry in store.gc().removed] == [False]
    with pytest.raises(DamagedRunError, match="from where the program came"):
        store.find(KEY)


# Drafts


def test_blocks_outlive_an_error_and_the_run_is_finished_from_them(store: Store) -> None:
    with pytest.raises(KeyError), store.draft(KEY, REQUEST, META) as draft:
        assert not draft.resumed and draft.read_block("a-1") is None
        draft.write_block("a-1", arrays_of(1))
        draft.write_block("a-1", arrays_of(2))
        draft.write_block("b_2", arrays_of(3))
        raise KeyError
    (entry,) = store.entries()
    assert (entry.kind, entry.n_blocks, entry.model, entry.busy) == ("draft", 2, "tiny", False)
    assert "task 'adj_comp'" in entry.summary and "items 1 entries" in entry.summary and store.find(KEY) is None
    with store.draft(KEY, dict(reversed(REQUEST.items())), META | {"device": "cuda"}) as draft:
        assert draft.resumed and draft.blocks() == ("a-1", "b_2")
        found = draft.read_block("a-1")
        assert found is not None and same(found, arrays_of(2))
        run = draft.finish(found)
    assert run.meta["device"] == "cuda" and run.meta["begun"] == {"device": "cpu"} and kinds(store) == ["run"]


def test_a_damaged_block_is_dropped_and_no_other(store: Store) -> None:
    with store.draft(KEY, REQUEST, META) as draft:
        draft.write_block("a", arrays_of(1))
        draft.write_block("b", arrays_of(2))
    path = store.own / "drafts" / KEY / "blocks" / "b.block"
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with store.draft(KEY, REQUEST, META) as draft:
            assert draft.read_block("b") is None and draft.blocks() == ("a",)
    path.write_bytes(whole[:-1])
    assert "1 blocks" in str(store.verify_all()[0].reason)


def test_seconds_are_those_of_the_blocks_of_all_calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(drafts, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with store.draft(KEY, REQUEST, META) as draft:
        clock[0] = 5.0
        draft.write_block("a", arrays_of(1))
        clock[0] = 6.0  # work on a block that is never finished
    clock[0] = 100.0
    with store.draft(KEY, REQUEST, META) as draft:
        clock[0] = 103.0
        run = draft.finish(arrays_of(1))
    assert run.meta["seconds"] == 5.0 + 3.0
    (store.own / KEY).rename(store.own / "aside")
    with store.draft(KEY, REQUEST, META | {"seconds": 9}) as draft:
        assert draft.finish(arrays_of(1)).meta["seconds"] == 9


def test_a_draft_of_another_request_is_an_error(store: Store) -> None:
    with store.draft(KEY, REQUEST, META) as draft:
        draft.write_block("a", arrays_of(1))
    with pytest.raises(StoreError, match="another request"), store.draft(KEY, REQUEST | {"depth": 3}, META):
        pytest.fail("the draft was opened")
    with store.draft(KEY, REQUEST, META) as draft:
        assert draft.blocks() == ("a",)


def test_blocks_whose_request_is_unknown_are_thrown_away(store: Store) -> None:
    with store.draft(KEY, REQUEST, META) as draft:
        draft.write_block("a", arrays_of(1))
    (store.own / "drafts" / KEY / "draft.json").write_text("{}")
    assert "begun anew" in str(store.entries()[0].reason)
    with store.draft(KEY, REQUEST, META) as draft:
        assert draft.blocks() == () and not draft.resumed


def test_a_draft_without_blocks_leaves_nothing_and_a_closed_one_is_refused(store: Store) -> None:
    with store.draft(KEY, REQUEST, META) as draft:
        for name in ("", "..", "a/b", "a.b", "a" * 101):
            with pytest.raises(ValueError, match="cannot name a block"):
                draft.write_block(name, arrays_of(0))
    assert not os.listdir(store.own / "drafts")
    with pytest.raises(ValueError, match="closed"):
        draft.write_block("a", arrays_of(0))


def test_one_holder_at_a_time_among_threads(store: Store) -> None:
    errors: list[BaseException] = []

    def other() -> None:
        try:
            with store.draft(KEY, REQUEST, META):
                pass
        except RunBusyError as err:
            errors.append(err)

    with store.draft(KEY, REQUEST, META) as draft:
        draft.write_block("a", arrays_of(0))
        assert [entry.busy for entry in store.entries()] == [True]
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert "another process" in str(errors[0])
        assert not store.gc(drafts_older_than=0).removed
        with store.draft("b" * 64, REQUEST, META):
            pass
    other()
    assert len(errors) == 1


# A disk that takes no more


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_leaves_no_half_run(store: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    write, room = files._write_all, [0]

    def limited(descriptor: int, data: bytes) -> None:
        room[0] -= 1
        if room[0] < 0:
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(code, os.strerror(code))
        write(descriptor, data)

    monkeypatch.setattr(files, "_write_all", limited)
    outcomes = []
    for files_written in range(5):  # draft.json, a block, arrays.npz, run.json
        room[0] = files_written
        try:
            with store.draft(KEY, REQUEST, META) as draft:
                if draft.read_block("a") is None:
                    draft.write_block("a", arrays_of(1))
                draft.finish(arrays_of(1))
            outcomes.append("done")
        except StoreFullError as err:
            assert str(store.own) in str(err) and "IVCORE_CACHE" in str(err) and "\n" not in str(err)
            outcomes.append("full")
            assert store.find(KEY) is None
        assert all(entry.reason is None for entry in store.verify_all())
        left = list((store.own / "drafts").rglob("scratch/*"))
        assert left == []
    # The third try leaves its draft and block, so two files are enough for the fourth; the fifth starts anew.
    assert outcomes == ["full", "full", "full", "done", "done"] and kinds(store) == ["run"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    blocked = Store(tmp_path / "file" / "runs")
    with pytest.raises(StoreError, match="cannot be used"), blocked.draft(KEY, REQUEST, META):
        pytest.fail("the draft was opened")
    assert blocked.find(KEY) is None and blocked.entries() == () and blocked.gc().bytes == 0

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StoreFullError, match="cannot be written"), Store(tmp_path / "x").draft(KEY, REQUEST, META):
        pytest.fail("the draft was opened")


# Tidying up, and the command line


def test_gc_removes_old_drafts_and_what_a_killed_finish_left(store: Store) -> None:
    old, new, done = "a" * 64, "b" * 64, "c" * 64
    for key in (old, new, done):
        with store.draft(key, REQUEST, META) as draft:
            draft.write_block("a", arrays_of(0))
    (store.own / "drafts" / done).rename(store.own / "aside")
    put(store, done)
    (store.own / "aside").rename(store.own / "drafts" / done)
    (store.own / "drafts" / f"{'d' * 64}.lock").touch()
    (store.own / "drafts" / "notes").touch()
    for path in (store.own / "drafts" / old, *(store.own / "drafts" / old).rglob("*")):
        os.utime(path, (0, time.time() - 1000))
    assert store.gc(drafts_older_than=500, keep=[old, done]).removed == ()
    freed = store.gc(drafts_older_than=500)
    assert [entry.key for entry in freed.removed] == [old, done] and freed.bytes > 500
    assert sorted(os.listdir(store.own / "drafts")) == [new, f"{new}.lock", "notes"]
    assert sorted(entry.kind for entry in store.entries()) == ["draft", "run"]


def test_cache_lists_verifies_and_tidies(store: Store, tmp_path: Path) -> None:
    assert cache(store, "ls").document["entries"] == []
    put(Store(tmp_path / "bundled"), "b" * 64)
    folder = put(store).folder
    forge(folder, request={"task": "\x1b[31m\n" * 3, "items": [1, 2]}, model={"ref": "a\x1b\nb"})
    outcome = cache(store, "ls")
    assert outcome.code == 0 and len(outcome.lines) == 3 and all(line.isprintable() for line in outcome.lines)
    assert "items 2 entries" in outcome.lines[0] and "bundled" in outcome.lines[1]
    document = json.loads(json.dumps(outcome.document))
    assert document["bytes"] == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert cache(store, "verify").code == 0
    os.truncate(folder / "arrays.npz", 7)
    outcome = cache(store, "verify")
    assert outcome.code == 1 and not outcome.document["passed"] and "arrays.npz" in outcome.lines[0]
    assert cache(store, "gc", keep=[KEY[:6]]).document["bytes_freed"] == 0
    expected = sum(path.stat().st_size for path in folder.iterdir())
    assert cache(store, "gc").document["bytes_freed"] == expected
    assert [entry.key for entry in store.entries()] == ["b" * 64]


@pytest.mark.parametrize(
    ("action", "options"),
    [
        ("rm", {}),
        ("gc", {"days": -1.0}),
        ("gc", {"days": float("nan")}),
        ("gc", {"keep": ["abc"]}),
        ("gc", {"keep": [""]}),
    ],
)
def test_cache_refuses_in_one_sentence(store: Store, action: str, options: dict[str, Any]) -> None:
    put(store)
    with pytest.raises(InputError, match=r"^[^\n]+\.$"):
        cache(store, action, **options)


def test_the_default_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("IVCORE_CACHE", raising=False)
    repository = Path(__file__).resolve().parents[2]
    assert default_store() == Store(repository / "cache" / "runs", repository / "cache" / "bundled")
    monkeypatch.setenv("IVCORE_CACHE", str(tmp_path))
    assert default_store() == Store(tmp_path, repository / "cache" / "bundled")
