"""Traces as runs, on the command line and in plans: what is stored comes back as it was traced, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivcore.errors import DamagedRunError, DataError, InputError
from ivcore.models import LoadedModel
from ivcore.paths import Tracer
from ivcore.prompts import build_answer, build_prompt
from ivcore.prompts.tasks import load_task
from ivcore.runs import (
    PathsRequest,
    PathsRun,
    PlannedPaths,
    Progress,
    Stopped,
    find_paths,
    list_paths,
    open_paths,
    paths_request,
    read_plan,
    run_paths,
    source_positions,
    task_paths_request,
    trace_document,
)
from ivcore.runs import paths as paths_module
from ivcore.store import Store, run_key
from tests.conftest import INSTRUCTION, QUERY, make_olmo2, save_folder
from tests.engine.test_command_line import run, run_json

ITEMS = ((QUERY, "bigger"), ("Adjective: small. Answer:", "smaller"), ("Adjective: cat. Answer:", "black"))
REQUEST = paths_request(INSTRUCTION, ITEMS, 1, sources="from_t_inst", max_rank=40, n_listed=2)
ONE = paths_request(INSTRUCTION, ITEMS[:1], 2, sources="from_t_inst", max_rank=30)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_folder(make_olmo2(), tmp_path_factory.mktemp("models") / "tiny"))


def same(a: PathsRun, b: PathsRun) -> bool:
    names = set(a.arrays)
    return names == set(b.arrays) and all(np.array_equal(a.arrays[n], b.arrays[n], equal_nan=True) for n in names)


def test_a_run_holds_what_a_tracer_finds(olmo2: LoadedModel, store: Store) -> None:
    found = run_paths(store, olmo2, REQUEST)
    assert found.n_samples == 3 and found.request == REQUEST
    for sample, (query, answer) in enumerate(ITEMS):
        prompt = build_prompt(olmo2.tokenizer, INSTRUCTION, query)
        token = build_answer(olmo2.tokenizer, prompt, answer).id
        tracer = Tracer(olmo2, prompt.ids_full, top_k=1)
        sources = range(prompt.t_inst, len(prompt.ids_full))
        traced = tracer.trace(sources, token, max_rank=40)
        rows = found.rows_of(sample).tolist()
        assert [int(found.position[row]) for row in rows] == list(sources)
        for row, source in zip(rows, traced.sources, strict=True):
            assert found.n_paths[row] == source.found.n_paths
            assert found.n_high_ranking[row] == len(source.found.ranks)
            assert found.coverage(row) == pytest.approx(source.coverage)
            assert found.coverage(row, of_all=True) == pytest.approx(source.coverage_of_all)
            assert np.array_equal(found.head_use[row], tracer.edges.head_use(source.found.positions))
            if found.is_listed(sample):
                positions, ranks, logits = found.listed(row)
                assert np.array_equal(positions, source.found.positions)
                assert np.array_equal(ranks, source.found.ranks) and np.allclose(logits, source.found.logits)
        if found.is_listed(sample):
            assert np.array_equal(found.edges(sample).heads, tracer.edges.heads)
            assert np.allclose(found.flow(sample), tracer.flow(prompt.t_inst, token).edges, atol=1e-5)
    assert found.is_listed(1) and not found.is_listed(2) and len(found.listed(int(found.rows_of(2)[0]))[1]) == 0
    assert int(found.n_high_ranking.sum()) > 0, "else nothing was compared"


def test_the_second_time_nothing_is_traced(olmo2: LoadedModel, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_paths(store, olmo2, REQUEST)
    monkeypatch.setattr(paths_module, "Tracer", lambda *_, **__: pytest.fail("traced again"))
    assert same(run_paths(store, olmo2, REQUEST), first)
    assert [(row.key, row.request) for row in list_paths(store)] == [(first.key, REQUEST)]
    for other in (replace(REQUEST, top_k=2), replace(REQUEST, max_rank=41), replace(REQUEST, sources="all")):
        with pytest.raises(pytest.fail.Exception):
            run_paths(store, olmo2, other)


@pytest.mark.parametrize("request_", [REQUEST, ONE], ids=["samples", "sources"])
def test_stopped_and_resumed_is_uninterrupted(
    olmo2: LoadedModel, store: Store, tmp_path: Path, request_: PathsRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = run_paths(Store(tmp_path / "together"), olmo2, request_)
    monkeypatch.setattr("ivcore.runs.paths._PATHS_AT_ONCE", 1)  # of one prompt, source after source
    whole = run_paths(Store(tmp_path / "other"), olmo2, request_)
    assert np.array_equal(whole.n_high_ranking, together.n_high_ranking)
    assert np.allclose(whole.arrays["path_logit"], together.arrays["path_logit"], rtol=0, atol=1e-9)
    told: list[Progress] = []

    def after_one() -> bool:
        return bool(told) and told[-1].samples_done >= 1

    with pytest.raises(Stopped):
        run_paths(store, olmo2, request_, on_progress=told.append, should_stop=after_one)
    assert find_paths(store, olmo2.fingerprint, olmo2.dtype, request_) is None
    done = told[-1].samples_done
    told.clear()
    assert same(run_paths(store, olmo2, request_, on_progress=told.append), whole)
    assert told[0].samples_done >= done >= 1, "what was finished is not traced again"
    assert told[-1].share == 1.0


def test_max_listed_keeps_the_highest_logits(olmo2: LoadedModel, store: Store) -> None:
    every = run_paths(store, olmo2, ONE)
    few = run_paths(store, olmo2, replace(ONE, max_listed=3))
    assert np.array_equal(every.n_high_ranking, few.n_high_ranking), "all are counted"
    cut = 0
    for row in every.rows_of(0).tolist():
        logits, kept = every.listed(row)[2], few.listed(row)[2]
        assert sorted(kept) == pytest.approx(sorted(logits)[-3:])
        assert every.coverage(row) == few.coverage(row), "what is not listed still counts"
        cut += len(logits) > 3
    assert cut


def test_a_changed_byte_is_never_shown_and_made_anew(olmo2: LoadedModel, store: Store) -> None:
    found = run_paths(store, olmo2, REQUEST)
    (path,) = (store.own / found.key).glob("*.npz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedRunError):
        find_paths(store, olmo2.fingerprint, olmo2.dtype, REQUEST)
    assert same(run_paths(store, olmo2, REQUEST), found)


Arrays = dict[str, np.ndarray]


def planted(store: Store, model: LoadedModel, change: Callable[[Arrays], object], **request: Any) -> str:
    """A run whose checksums hold and whose content is somebody else's."""
    sound = run_paths(store, model, REQUEST)
    run_on_disk = store.find(sound.key)
    assert run_on_disk is not None
    arrays = run_on_disk.arrays()
    change(arrays)
    document = replace(REQUEST, seed=77).document(model.dtype) | request
    key = run_key(document, model.fingerprint)
    meta = {name: run_on_disk.meta[name] for name in ("model", "samples")}
    with store.draft(key, document, meta) as draft:
        draft.finish(arrays)
    return key


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("n_paths"),
        lambda arrays: arrays.update(n_paths=np.zeros(2, dtype=np.int64)),
        lambda arrays: arrays.update(head_use=np.zeros((1, 1, 1), dtype=np.int32)),
        lambda arrays: arrays.update(n_high_ranking=arrays["n_high_ranking"] + 1),
        lambda arrays: arrays.update(flow_1=arrays["flow_1"][:, :-1, :-1]),
        lambda arrays: arrays.pop("edges_0"),
    ],
)
def test_a_foreign_run_that_does_not_fit_together_is_refused(
    olmo2: LoadedModel, store: Store, change: Callable[[Arrays], object]
) -> None:
    found = store.find(planted(store, olmo2, change))
    assert found is not None
    with pytest.raises(DamagedRunError, match=found.key[:12]):
        open_paths(found)


@pytest.mark.parametrize("request_", [{"items": 3}, {"items": [["a"]]}, {"extra": 1}])
def test_a_foreign_request_is_refused(olmo2: LoadedModel, store: Store, request_: dict[str, Any]) -> None:
    found = store.find(planted(store, olmo2, lambda _: None, **request_))
    assert found is not None
    with pytest.raises(DamagedRunError):
        open_paths(found)


def test_an_unchanged_copy_opens(olmo2: LoadedModel, store: Store) -> None:
    """The control of the two above."""
    found = store.find(planted(store, olmo2, lambda _: None))
    assert found is not None and same(open_paths(found), run_paths(store, olmo2, REQUEST))


def test_what_cannot_be_asked_is_said() -> None:
    with pytest.raises(InputError, match="No prompt"):
        paths_request(INSTRUCTION, [], 1)
    with pytest.raises(InputError, match="begin at 1"):
        paths_request(INSTRUCTION, ITEMS, 0)
    with pytest.raises(InputError, match="exact, released"):
        paths_request(INSTRUCTION, ITEMS, 1, surrogate="soul")
    for sources in ("here", "", "1,", "1;2"):
        with pytest.raises(InputError, match="no positions"):
            paths_request(INSTRUCTION, ITEMS, 1, sources=sources)
    assert source_positions(" 9,8,9 ", 3, 12) == (8, 9)
    assert source_positions("from_t_inst", 3, 6) == (3, 4, 5) and source_positions("all", 3, 4) == (0, 1, 2, 3)
    for sources in ("12", "-1", "3,99"):
        with pytest.raises(InputError, match="choose 0 to 11"):
            source_positions(sources, 3, 12)


def test_too_many_paths_are_refused_before_any_is_followed(olmo2: LoadedModel, store: Store) -> None:
    with pytest.raises(InputError, match=r"at most 10 .* lower k"):
        run_paths(store, olmo2, ONE, max_paths=10)
    assert not list_paths(store)


def test_the_document_is_what_the_run_says(olmo2: LoadedModel, store: Store) -> None:
    found = run_paths(store, olmo2, ONE)
    document = json.loads(json.dumps(trace_document(found), allow_nan=False))
    assert document["tokens"] == list(found.samples[0].tokens) and document["t_inst"] == found.samples[0].t_inst
    for row, source in zip(found.rows_of(0).tolist(), document["sources"], strict=True):
        positions, ranks, logits = found.listed(row)
        assert source["n_paths"] == found.n_paths[row] and source["n_high_ranking"] == len(source["paths"])
        assert source["coverage"] == found.coverage(row)
        assert [path["positions"] for path in source["paths"]] == positions.tolist()
        assert [path["rank"] for path in source["paths"]] == ranks.tolist()
        assert [path["logit"] for path in source["paths"]] == logits.tolist()


def ask(folder: str, *more: str) -> list[str]:
    prompt = ["--instruction", INSTRUCTION, "--query", QUERY, "--answer", "bigger"]
    return ["trace", "--model", folder, "--device", "cpu", *prompt, *more]


def test_trace_prints_the_keys_of_the_contract(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVCORE_CACHE", str(tmp_path / "runs"))
    found = run_json(capsys, *ask(folder, "--sources", "all", "--max-rank", "50"))
    assert {"tokens", "t_inst", "t_last", "answer", "sources", "completeness_error"} <= found.keys()
    assert found["t_last"] == len(found["tokens"]) - 1 and found["completeness_error"] < 1e-2
    assert [source["position"] for source in found["sources"]] == list(range(len(found["tokens"])))
    keys = {"position", "n_paths", "n_high_ranking", "coverage", "paths"}
    n_layers, listed = found["model"]["n_layers"], 0
    for source in found["sources"]:
        assert keys <= source.keys() and len(source["paths"]) == source["n_high_ranking"] <= source["n_paths"]
        for path in source["paths"]:
            assert path.keys() == {"positions", "heads", "rank", "logit"} and 1 <= path["rank"] <= 50
            assert len(path["positions"]) == n_layers + 1 == len(path["heads"]) + 1
            assert path["positions"][0] == source["position"] and path["positions"][-1] == found["t_last"]
            steps = zip(path["positions"], path["positions"][1:], path["heads"], strict=False)
            assert all(heads or i == j for j, i, heads in steps)
            listed += 1
    assert listed
    code, out, _ = run(capsys, *ask(folder))
    assert code == 0 and "source" in out and "differ from the model's logits" in out


BAD_INPUT = {
    "k too large": (["--top-k", "99"], "choose 1 to"),
    "k too small": (["--top-k", "0"], "begin at 1"),
    "no such source": (["--sources", "99"], "choose 0 to"),
    "sources in words": (["--sources", "here"], "no positions"),
    "rank": (["--max-rank", "0"], "begin at 1"),
    "surrogate": (["--surrogate", "soul"], "invalid choice"),
    "released with k": (["--surrogate", "released", "--top-k", "2"], "k = 1"),
    "too many": (["--top-k", "9", "--sources", "all", "--max-paths", "5"], "lower k"),
    "no answer": (["--answer", " "], "white space"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_ends_with_two_and_one_line(capsys: pytest.CaptureFixture[str], folder: str, name: str) -> None:
    more, words = BAD_INPUT[name]
    code, out, err = run(capsys, *ask(folder, *more))
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1


def test_a_plan_names_its_traces(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('[[paths]]\nmodel = "m"\ntask = "adj_comp"\ntop_k = 2\nsources = "from_t_inst"\n', encoding="utf-8")
    (planned,) = read_plan(path)
    assert isinstance(planned, PlannedPaths) and "k 2" in planned.name
    request, task = planned.request(), load_task("adj_comp")
    assert request == task_paths_request(task, 100, 2, sources="from_t_inst")
    assert (request.n_listed, request.max_listed, request.max_rank) == (10, 200, 100)
    assert request.instruction == task.instruction and len(request.items) == 100 and request.task == "adj_comp"
    for text in ("top_k = 'one'\ntask = 'can_fly'", "task = 'can_fly'\nsurrogate = 'soul'", "top_k = 1"):
        path.write_text(f"[[paths]]\nmodel = 'm'\n{text}\n", encoding="utf-8")
        with pytest.raises(DataError, match="Paths 1"):
            read_plan(path)


def test_precompute_makes_the_run_that_the_page_looks_for(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVCORE_CACHE", str(tmp_path / "runs"))
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'[[paths]]\nmodel = "{folder}"\ntask = "adj_comp"\nsamples = 3\nsources = "t_inst"\n', encoding="utf-8"
    )
    code, out, _ = run(capsys, "precompute", str(plan), "--json")
    (row,) = json.loads(out)["runs"]
    (found,) = list_paths(Store(tmp_path / "runs"))
    assert code == 0 and found.key == row["run"] and row["n_samples"] == 3
    assert found.request == task_paths_request(load_task("adj_comp"), 3, 1, sources="t_inst")
