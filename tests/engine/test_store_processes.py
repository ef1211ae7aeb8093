"""Runs under several processes: killed at any moment, or all at once.  Each process is a real one.

The moments are all changes that a process makes to the disk, one after the other, and some at random.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ivcore.errors import RunBusyError
from ivcore.store import Store, run_key
from ivcore.store.entries import DRAFT

REPOSITORY = Path(__file__).resolve().parents[2]
REQUEST = {"analysis": "test", "n": 4}
KEY = run_key(REQUEST, "f")
NAMES = [f"block-{i}" for i in range(4)]

COMPUTE = f"""
import os, signal, sys, time
from pathlib import Path
import numpy as np
from ivcore.errors import RunBusyError, StoreFullError
from ivcore.store import Store

REQUEST, KEY, NAMES = {REQUEST!r}, {KEY!r}, {NAMES!r}
store = Store(Path(sys.argv[1]))


def block(i):
    return {{"x": np.random.default_rng(i).normal(size=3000)}}


def say(text):
    os.write(1, (text + "\\n").encode())


def compute(pause=0.0):
    with store.draft(KEY, REQUEST, {{}}) as draft:
        if store.find(KEY) is not None:
            return
        found = []
        for i, name in enumerate(NAMES):
            arrays = draft.read_block(name)
            if arrays is None:
                time.sleep(pause)
                arrays = block(i)
                draft.write_block(name, arrays)
                say(name)
            found.append(arrays["x"])
        draft.finish({{"x": np.stack(found)}})
    say("finished")
"""

# Compute again and again in forked children, the n-th of which dies before its n-th change of the disk.
DIE_EVERYWHERE = (
    COMPUTE
    + """
import shutil

CHANGES = ("open", "write", "fsync", "mkdir", "rename", "replace", "unlink", "rmdir")


def die_before(n):
    left = [n]

    def deadly(function, name):
        def call(*arguments, **options):
            if arguments[:1] == (1,):
                return function(*arguments, **options)
            left[0] -= 1
            if left[0] < 0:
                if name == "write":
                    function(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call

    for name in CHANGES:
        setattr(os, name, deadly(getattr(os, name), name))


def child(n):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1)
        try:
            die_before(n)
            compute()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read().split()
    return said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def look(said):
    wanted = np.stack([block(i)["x"] for i in range(len(NAMES))])
    assert all(entry.reason is None for entry in store.verify_all() if entry.kind != "draft"), store.verify_all()
    run = store.find(KEY)
    if run is not None:
        assert np.array_equal(run.arrays()["x"], wanted)
        return True
    with store.draft(KEY, REQUEST, {}) as draft:
        kept = draft.blocks()
        assert set(said) <= set(kept), (said, kept)
        for name in kept:
            assert np.array_equal(draft.read_block(name)["x"], block(NAMES.index(name))["x"])
    compute()
    assert np.array_equal(store.find(KEY).arrays()["x"], wanted)
    return False


deaths = early = late = 0
for n in range(10**6):
    said, code = child(n)
    if code != -signal.SIGKILL:
        assert code == 0 and said[-1] == "finished", (said, code)
        break
    deaths += 1
    if look(said):
        late += 1
    else:
        early += 1
    shutil.rmtree(store.own)
print("deaths", deaths, early, late)
"""
)

RACE = (
    COMPUTE
    + """
while store.find(KEY) is None:
    try:
        compute(pause=0.02)
    except RunBusyError:
        time.sleep(0.02)
say("seen")
"""
)

# A limit on the size of files is a disk that takes no more, kept by the kernel itself.
LIMITED = (
    COMPUTE
    + """
import resource

resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
try:
    compute()
except StoreFullError as err:
    say("full")
    assert "IVCORE_CACHE" in str(err)
assert store.find(KEY) is None and all(entry.reason is None for entry in store.verify_all())
assert not list(store.own.rglob("scratch/*"))
"""
)


def start(script: str, own: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-c", script, str(own)], stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
    )


def said_by(process: subprocess.Popen[str]) -> list[str]:
    with process:
        assert process.stdout is not None
        said = process.stdout.read().split()
    return said


def check_finished(own: Path) -> None:
    found = Store(own).find(KEY)
    assert found is not None
    wanted = np.stack([np.random.default_rng(i).normal(size=3000) for i in range(len(NAMES))])
    np.testing.assert_array_equal(found.arrays()["x"], wanted, strict=True)
    Store(own).gc()  # a process killed while it tidies up leaves its draft beside the run
    assert not os.listdir(own / "drafts")


def test_killed_before_any_change_of_the_disk_nothing_false_is_shown_and_nothing_finished_is_lost(
    tmp_path: Path,
) -> None:
    process = start(DIE_EVERYWHERE, tmp_path / "own")
    said = said_by(process)
    assert process.returncode == 0
    word, deaths, early, late = said[-4], *map(int, said[-3:])
    # Every block and the run itself take at least a file opened, written, flushed and renamed.
    assert word == "deaths" and deaths == early + late and early > 4 * len(NAMES) and late > 3


def test_killed_at_random_it_goes_on_from_its_finished_blocks(tmp_path: Path) -> None:
    own, kept, store = tmp_path / "own", set[str](), Store(tmp_path / "own")
    moments = random.Random(0)
    for _ in range(4):
        process = start(COMPUTE + "compute(pause=0.05)", own)
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        said = {line, *said_by(process)} - {"", "finished"}
        assert not said & kept, "a finished block was computed again"
        kept |= said
        finished = store.find(KEY) is not None
        # A draft half tidied away beside its finished run is nobody's loss; gc takes it.
        told = [entry for entry in store.verify_all() if not (finished and entry.kind == DRAFT)]
        assert all(entry.reason is None for entry in told), told
        if not finished and kept:
            with store.draft(KEY, REQUEST, {}) as draft:
                assert kept <= set(draft.blocks())
                kept |= set(draft.blocks())  # whole on disk, killed before it said so
    said_by(start(COMPUTE + "compute()", own))
    check_finished(own)


def test_processes_at_once_compute_every_block_once(tmp_path: Path) -> None:
    processes = [start(RACE, tmp_path / "own") for _ in range(3)]
    said = [said_by(process) for process in processes]
    assert all(process.returncode == 0 for process in processes)
    words = [word for words in said for word in words]
    assert sorted(words) == sorted([*NAMES, "finished", "seen", "seen", "seen"])
    check_finished(tmp_path / "own")


def test_a_process_that_computes_is_waited_for_and_a_dead_one_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "own")
    process = start(COMPUTE + "compute(pause=60)", tmp_path / "own")
    try:
        deadline = time.monotonic() + 60
        while not any(entry.busy for entry in store.entries()):
            assert time.monotonic() < deadline, "the other process never began"
            time.sleep(0.02)
        with pytest.raises(RunBusyError, match="another process"), store.draft(KEY, REQUEST, {}):
            pytest.fail("two hold one draft")
    finally:
        process.kill()
        said_by(process)
    with store.draft(KEY, REQUEST, {}) as draft:
        assert draft.blocks() == ()


def test_a_file_that_cannot_grow_is_a_full_disk(tmp_path: Path) -> None:
    process = start(LIMITED, tmp_path / "own")
    said = said_by(process)
    assert process.returncode == 0 and said == [*NAMES, "full"]
    with Store(tmp_path / "own").draft(KEY, REQUEST, {}) as draft:
        assert list(draft.blocks()) == NAMES


def test_the_store_needs_no_model_code(tmp_path: Path) -> None:
    heavy = "print(sorted({'torch', 'scipy', 'pandas', 'transformers'} & set(sys.modules)))"
    assert said_by(start(COMPUTE + heavy, tmp_path)) == ["[]"]
