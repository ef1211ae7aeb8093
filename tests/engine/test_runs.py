"""Runs: computed once, found again, stopped and resumed without losing a finished block, and never shown damaged."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivcore import patching
from ivcore.errors import DamagedRunError, DataError, InputError
from ivcore.models import LoadedModel, load_model
from ivcore.patching import build_samples, layer_sets, plan_blocks, sweep_block, task_vectors
from ivcore.prompts.tasks import load_task
from ivcore.runs import (
    PlannedSweep,
    Progress,
    Stopped,
    SweepRequest,
    SweepRun,
    find_sweep,
    list_sweeps,
    read_plan,
    run_sweep,
    sweep_cost,
    sweep_document,
    sweep_request,
)
from ivcore.runs import sweep as sweep_module
from ivcore.store import Store
from tests.conftest import INSTRUCTION, make_olmo2, save_folder

WORDS = ("big", "small", "bad", "cat", "yes", "no", "black", "an", "color", "form", "state", "given")
ITEMS = tuple((f"Adjective: {a} {b}. Answer:", a) for a in WORDS for b in WORDS[:3])
N_BLOCKS_AT_LEAST = 3


def request(**changes: Any) -> SweepRequest:
    fields = {"task": "tiny", "instruction": INSTRUCTION, "items": ITEMS, "depth": 2}
    return SweepRequest(**fields | changes)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def same(a: SweepRun, b: SweepRun) -> bool:
    parts = ("full", "target", "patched")
    return all(np.array_equal(getattr(a, p).rank, getattr(b, p).rank) for p in parts) and all(
        np.allclose(getattr(a, p).logit, getattr(b, p).logit, rtol=1e-6) for p in parts
    )


def test_a_run_holds_what_each_sample_alone_gives(olmo2: LoadedModel, store: Store) -> None:
    run = run_sweep(store, olmo2, request())
    samples = build_samples(olmo2, INSTRUCTION, ITEMS)
    assert len(plan_blocks(samples)) >= N_BLOCKS_AT_LEAST, "one block would prove little about their order"
    vectors = task_vectors(olmo2, samples)
    for i in (0, 7, 20, 35):
        alone = sweep_block(olmo2, vectors, [samples[i]], layer_sets(5, 2))
        assert np.array_equal(run.patched.rank[:, i], alone.patched.rank[:, 0])
        assert run.full.rank[i] == alone.full.rank[0] and run.target.rank[i] == alone.target.rank[0]
        effect = alone.patched.values("logit")[:, 0] - alone.target.values("logit")[0]
        assert np.allclose(run.effects("logit")[:, i], effect, atol=1e-5)
        assert run.answer_tokens[i] == samples[i].answer.token
    assert run.sets == layer_sets(5, 2) and run.n_samples == len(ITEMS)


def test_a_finished_run_is_opened_and_not_computed(
    olmo2: LoadedModel, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_sweep(store, olmo2, request())
    monkeypatch.setattr(sweep_module, "sweep_block", lambda *_a, **_k: pytest.fail("computed again"))
    assert same(first, run_sweep(store, olmo2, request()))
    found = find_sweep(store, olmo2.fingerprint, olmo2.dtype, request())
    assert found is not None and found.key == first.key
    summary = list_sweeps(store)[0]
    assert (summary.request, summary.ref, summary.created) == (request(), olmo2.ref, first.created)


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 1},
        {"convention": "released"},
        {"instruction": INSTRUCTION + " Now."},
        {"items": ITEMS[:-1]},
        {"items": ITEMS[1:] + ITEMS[:1]},
        {"filler": " a"},
    ],
)
def test_another_request_is_another_run(olmo2: LoadedModel, store: Store, change: dict[str, Any]) -> None:
    run_sweep(store, olmo2, request())
    assert find_sweep(store, olmo2.fingerprint, olmo2.dtype, request(**change)) is None


def test_another_model_or_dtype_is_another_run(olmo2: LoadedModel, store: Store) -> None:
    run_sweep(store, olmo2, request(items=ITEMS[:3]))
    assert find_sweep(store, "0" * 64, olmo2.dtype, request(items=ITEMS[:3])) is None
    assert find_sweep(store, olmo2.fingerprint, "bfloat16", request(items=ITEMS[:3])) is None


def test_a_stopped_run_keeps_its_blocks_and_resumes(
    olmo2: LoadedModel, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Progress] = []
    with pytest.raises(Stopped):
        run_sweep(
            store,
            olmo2,
            request(),
            on_progress=seen.append,
            should_stop=lambda: bool(seen) and seen[-1].samples_done >= 16,
        )
    assert find_sweep(store, olmo2.fingerprint, olmo2.dtype, request()) is None
    computed: list[int] = []
    real = sweep_block

    def counted(model: Any, vectors: Any, samples: Any, sets: Any, **options: Any) -> Any:
        computed.append(len(samples))
        return real(model, vectors, samples, sets, **options)

    monkeypatch.setattr(sweep_module, "sweep_block", counted)
    resumed = run_sweep(store, olmo2, request())
    assert 0 < sum(computed) <= len(ITEMS) - 16
    assert same(resumed, run_sweep(Store(store.own.parent / "other"), olmo2, request()))


def test_progress_only_grows_and_ends_at_the_whole(olmo2: LoadedModel, store: Store) -> None:
    seen: list[Progress] = []
    run_sweep(store, olmo2, request(), on_progress=seen.append)
    done = [p.samples_done for p in seen]
    assert done == sorted(done) and done[-1] == len(ITEMS)
    assert {p.layer for p in seen} == set(range(6))
    assert seen[-1].remaining == 0 and all(p.remaining is None or p.remaining >= 0 for p in seen)


def test_a_changed_byte_is_reported_and_never_shown(olmo2: LoadedModel, store: Store) -> None:
    run = run_sweep(store, olmo2, request(items=ITEMS[:4]))
    file = next((store.own / run.key).glob("*.npz"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(DamagedRunError):
        find_sweep(store, olmo2.fingerprint, olmo2.dtype, request(items=ITEMS[:4]))
    assert list_sweeps(store)[0].key == run.key, "a list reads no arrays, so it cannot know"
    assert same(run_sweep(store, olmo2, request(items=ITEMS[:4])), run)
    assert find_sweep(store, olmo2.fingerprint, olmo2.dtype, request(items=ITEMS[:4])) is not None


_CHILD = """
import sys
from pathlib import Path
from ivcore.models import load_model
from ivcore.runs import run_sweep
from ivcore.store import Store
from tests.engine.test_runs import request
model = load_model(sys.argv[1], device="cpu", dtype="float64")
print("ready", flush=True)
run_sweep(Store(Path(sys.argv[2])), model, request(depth=3))
print("done", flush=True)
"""


def test_killed_at_any_moment_it_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    """A real process, killed at random moments until it comes through."""
    folder = str(save_folder(make_olmo2(), tmp_path / "model"))
    draw, kills = random.Random(0), 0
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", _CHILD, folder, str(tmp_path / "runs")],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        ) as child:
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
            time.sleep(draw.uniform(0, 0.25) if kills < 4 else 0)
            if kills < 4 and child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
            out = child.stdout.read()
        if "done" in out:
            break
    assert kills, "nothing was killed: this would prove nothing"
    model = load_model(folder, device="cpu", dtype="float64")
    killed = find_sweep(Store(tmp_path / "runs"), model.fingerprint, model.dtype, request(depth=3))
    assert killed is not None
    assert same(killed, run_sweep(Store(tmp_path / "clean"), model, request(depth=3)))


def test_the_cost_counts_sets_and_samples(olmo2: LoadedModel) -> None:
    one, two, three = (sweep_cost(olmo2, request(depth=depth)) for depth in (1, 2, 3))
    assert [c.n_sets for c in (one, two, three)] == [5, 15, 25]
    assert 0 < one.operations < two.operations < three.operations
    assert two.n_samples == len(ITEMS) and two.seconds > 0


def test_the_document_holds_every_set_best_first(olmo2: LoadedModel, store: Store) -> None:
    run = run_sweep(store, olmo2, request())
    document = json.loads(json.dumps(sweep_document(run), allow_nan=False))
    assert {"run", "n_samples", "metrics", "superadditivity"} <= document.keys()
    for metric in ("rr", "logit"):
        rows = document["metrics"][metric]
        means = [row["mean"] for row in rows]
        assert means == sorted(means, reverse=True)
        by_set = {tuple(row["layers"]): row for row in rows}
        assert set(by_set) == set(run.sets)
        for index, layers in enumerate(run.sets):
            assert by_set[layers]["mean"] == pytest.approx(run.effects(metric)[index].mean(), abs=1e-12)
            assert by_set[layers]["ci"][0] <= by_set[layers]["mean"] <= by_set[layers]["ci"][1]
    assert {tuple(row["layers"]) for row in document["superadditivity"]} == {s for s in run.sets if len(s) == 2}


def test_one_sample_has_no_interval_and_no_test(olmo2: LoadedModel, store: Store) -> None:
    document = sweep_document(run_sweep(store, olmo2, request(items=ITEMS[:1])))
    assert all(row["ci"] is None for row in document["metrics"]["rr"])
    assert all(row["p"] is None and row["undefined"] for row in document["superadditivity"])


def test_a_plan_is_read_as_written(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[sweep]]\nmodel = "ivy-sft"\ntask = "adj_comp"\ndepth = 3\nsamples = 20\n')
    assert read_plan(plan) == (PlannedSweep("ivy-sft", "adj_comp", 3, 20),)
    asked = read_plan(plan)[0].request()
    task = load_task("adj_comp")
    assert asked == sweep_request(task, 20, 3) and len(set(asked.items)) == 20
    for text, answer in asked.items:
        assert answer == task.answer(text.removeprefix("Adjective: ").removesuffix(". Answer:"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"\[\[sweep\]\]"),
        ("[[sweep]]\nmodel = 3\ntask = 'adj_comp'", "it must be str"),
        ("[[sweep]]\nmodel = 'a'\ntask = 'adj_comp'\ndepth = 4", "1, 2, 3"),
        ("[[sweep]]\nmodel = 'a'\ntask = 'adj_comp'\nsamples = 0", "at least 1"),
        ("[[sweep]]\nmodel = 'a'\ntask = 'adj_comp'\nrun = 'rm'", "only"),
        ("[[sweep]]\nmodel = 'a'", "name model and task"),
        ("[[sweep]\n", "not TOML"),
        ("x = 1", r"\[\[sweep\]\]"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_plan(plan)
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_plan(tmp_path / "none.toml")


def test_a_request_for_more_samples_than_there_are_is_refused() -> None:
    task = load_task("country_capital")
    with pytest.raises(InputError, match=str(len(task.queries))):
        sweep_request(task, len(task.queries) + 1, 2)


def test_the_memory_budget_is_handed_down(olmo2: LoadedModel, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = patching.final_residuals

    def watched(*args: Any, memory_budget: int, **more: Any) -> Any:
        seen.append(memory_budget)
        return real(*args, memory_budget=memory_budget, **more)

    monkeypatch.setattr("ivcore.patching.sweep.final_residuals", watched)
    run_sweep(store, olmo2, request(items=ITEMS[:2]), memory_budget=2**22)
    assert set(seen) == {2**22}
