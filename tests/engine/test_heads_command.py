"""The command line's heads: its figures against the traces they are read from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivcore.errors import InputError
from ivcore.models import LoadedModel, load_model
from ivcore.paths import Tracer
from ivcore.prompts import build_answer, build_prompt
from ivcore.prompts.tasks import choose_items, load_task
from ivcore.runs import PathsRun, find_covering, head_use, paths_request, run_paths, task_paths_request
from ivcore.store import Store
from tests.conftest import make_olmo2, save_folder
from tests.engine.test_command_line import run, run_json


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_folder(make_olmo2(), tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IVCORE_CACHE", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_activity_is_the_share_of_each_prompts_paths(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    found = run_json(capsys, "heads", "--model", folder, "--task", "adj_comp", "--samples", "5", "--top-k", "2")
    model, task = load_model(folder), load_task("adj_comp")
    shares, chances = [], []
    for query, answer in choose_items(task, 5, 0):
        prompt = build_prompt(model.tokenizer, task.instruction, task.prompt_text(query))
        tracer = Tracer(model, prompt.ids_full, top_k=2)
        paths = tracer.trace([prompt.t_inst], build_answer(model.tokenizer, prompt, answer).id).sources[0].found
        on_path = [tracer.edges.path_heads(row) for row in paths.positions.tolist()]
        if on_path:
            shares.append([[np.mean([h in path[n] for path in on_path]) for h in range(4)] for n in range(5)])
            chances.append(tracer.edges.head_share(prompt.t_inst))
    assert found["n_samples"] == len(shares) and found["n_left_out"] == 5 - len(shares)
    rows = {(row["layer"], row["head"]): row for row in found["heads"]}
    assert len(rows) == 20
    for (layer, head), row in rows.items():
        assert row["activity"] == pytest.approx(np.mean(shares, axis=0)[layer, head])
        assert row["chance"] == pytest.approx(np.mean(chances, axis=0)[layer, head])
        assert row["excess"] == pytest.approx(row["activity"] - row["chance"])
    code, out, _ = run(capsys, "heads", "--model", folder, "--task", "adj_comp", "--samples", "5", "--top-k", "2")
    assert code == 0 and "by chance" in out


def test_offset_chooses_the_source(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    model, task = load_model(folder), load_task("adj_comp")
    asked = ["heads", "--model", folder, "--task", "adj_comp", "--samples", "3"]
    for offset in (-2, -1, 0, 1):
        found = run_json(capsys, *asked, "--offset", str(offset))
        shares = []
        for query, answer in choose_items(task, 3, 0):
            prompt = build_prompt(model.tokenizer, task.instruction, task.prompt_text(query))
            tracer = Tracer(model, prompt.ids_full, top_k=1)
            token = build_answer(model.tokenizer, prompt, answer).id
            paths = tracer.trace([prompt.t_inst + offset], token).sources[0].found
            if len(paths.ranks):
                shares.append(tracer.edges.head_use(paths.positions) / len(paths.ranks))
        assert found["offset_from_t_inst"] == offset and found["n_samples"] == len(shares) > 0
        means = np.mean(shares, axis=0)
        assert [row["activity"] for row in found["heads"]] == pytest.approx(means.ravel().tolist())
    code, out, err = run(capsys, *asked, "--offset", "90")
    assert code == 2 and not out and "no source +90 from T_inst" in err and err.count("\n") == 1


def test_bad_input_is_one_sentence(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    for more, words in (
        (["--task", "no_such"], "no_such"),
        (["--task", "adj_comp", "--top-k", "0"], "k = 0"),
        (["--task", "adj_comp", "--top-k", "1", "--max-rank", "0"], "rank 0"),
        (["--task", "adj_comp", "--top-k", "400", "--samples", "2"], "400 most attended"),
    ):
        code, out, err = run(capsys, "heads", "--model", folder, *more)
        assert code == 2 and not out and words in err and err.count("\n") == 1


def test_a_source_that_was_not_traced_is_named(olmo2: LoadedModel, tmp_path: Path) -> None:
    task = load_task("adj_comp")
    items = [(task.prompt_text(query), answer) for query, answer in choose_items(task, 2, 0)]
    traced = run_paths(Store(tmp_path / "runs"), olmo2, paths_request(task.instruction, items, 1))
    assert head_use(traced).shares.shape[1:] == (olmo2.n_layers, olmo2.n_heads)
    with pytest.raises(InputError, match=r"no source \+1 from T_inst"):
        head_use(traced, 1)


def test_a_wider_trace_serves_and_a_narrower_one_does_not(olmo2: LoadedModel, tmp_path: Path) -> None:
    task, store = load_task("adj_comp"), Store(tmp_path / "runs")
    wide = task_paths_request(task, 2, 1, sources="from_t_inst", n_listed=1, max_listed=5)
    made = run_paths(store, olmo2, wide)

    def found(**changes: Any) -> PathsRun | None:
        return find_covering(store, olmo2.fingerprint, olmo2.dtype, replace(wide, **changes))

    for changes in ({}, {"sources": "t_inst"}, {"n_listed": 0, "max_listed": None}, {"max_listed": 3}, {"task": ""}):
        covering = found(**changes)
        assert covering is not None and covering.key == made.key, changes
    for changes in ({"sources": "all"}, {"sources": "3"}, {"max_listed": None}, {"n_listed": 2}, {"top_k": 2}):
        assert found(**changes) is None, changes
    assert np.array_equal(
        head_use(made).shares, head_use(run_paths(store, olmo2, replace(wide, sources="t_inst"))).shares
    )
