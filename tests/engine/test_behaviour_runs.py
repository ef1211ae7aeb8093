"""Answers as runs, on the command line and in plans: asked once, judged by the rule they came with; hostile files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ivcore.behaviour import adherence, greedy_answers
from ivcore.errors import DamagedRunError, DataError, PromptError
from ivcore.models import LoadedModel
from ivcore.prompts import build_prompt
from ivcore.prompts.tasks import AnswerPattern, all_task_names, choose_items, kind_tasks, load_task
from ivcore.runs import (
    PlannedBehaviour,
    Progress,
    Stopped,
    behaviour_document,
    behaviour_request,
    find_behaviour,
    list_behaviours,
    list_sweeps,
    open_behaviour,
    read_plan,
    run_behaviour,
)
from ivcore.runs import behaviour as behaviour_module
from ivcore.store import Store, run_key
from tests.conftest import make_olmo2, save_folder
from tests.engine.judge_stub import KEY, Reply, Seen, Stub, say, start
from tests.engine.test_command_line import run, run_json


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_folder(make_olmo2(max_position_embeddings=256), tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IVCORE_CACHE", str(tmp_path / "runs"))
    return tmp_path / "runs"


REQUEST = behaviour_request(load_task("adj_comp"), 12)


def test_a_run_holds_what_the_model_says_and_how_it_is_judged(olmo2: LoadedModel, store: Store) -> None:
    found = run_behaviour(store, olmo2, REQUEST)
    task = load_task("adj_comp")
    chosen = choose_items(task, 12, 0)
    ids = [build_prompt(olmo2.tokenizer, task.instruction, task.prompt_text(q)).ids_full for q, _ in chosen]
    assert found.answers == tuple(greedy_answers(olmo2, ids))
    siblings = {
        name: [load_task(name).answer(query) for query, _ in chosen]
        for name in kind_tasks("adjective")
        if name != "adj_comp"
    }
    assert found.adherence == adherence(task.rule, found.answers, [a for _, a in chosen], siblings)
    assert found.n_samples == 12 and found.adherence.ema.n == 12


def test_the_second_time_nothing_is_asked(olmo2: LoadedModel, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_behaviour(store, olmo2, REQUEST)
    monkeypatch.setattr(behaviour_module, "greedy_answers", lambda *_, **__: pytest.fail("asked again"))
    assert run_behaviour(store, olmo2, REQUEST) == first
    assert [row.key for row in list_behaviours(store)] == [first.key]
    assert list_behaviours(store)[0].request == REQUEST
    assert list_sweeps(store) == (), "a sweep's list holds sweeps only"
    with pytest.raises(pytest.fail.Exception):
        run_behaviour(store, olmo2, replace(REQUEST, instruction="Say anything."))


def test_the_rule_is_part_of_what_was_asked(olmo2: LoadedModel, store: Store) -> None:
    strict = replace(REQUEST, rule=replace(REQUEST.rule, pattern=None))
    assert find_behaviour(store, olmo2.fingerprint, olmo2.dtype, strict) is None
    assert run_behaviour(store, olmo2, strict).key != run_behaviour(store, olmo2, REQUEST).key


def test_it_tells_how_far_it_is_and_stops(olmo2: LoadedModel, store: Store) -> None:
    told: list[Progress] = []
    with pytest.raises(Stopped):
        run_behaviour(store, olmo2, REQUEST, on_progress=told.append, should_stop=lambda: len(told) > 1)
    assert told[0].samples_done == 0 < told[1].samples_done
    assert list_behaviours(store) == ()
    assert run_behaviour(store, olmo2, REQUEST, on_progress=told.append).n_samples == told[-1].samples_done == 12


def test_an_error_says_which_query_it_is_about(olmo2: LoadedModel, store: Store) -> None:
    with pytest.raises(PromptError, match=r"The query ' '.*white space"):
        run_behaviour(store, olmo2, replace(REQUEST, items=(*REQUEST.items, (" ", "x")), siblings=()))


def test_a_changed_byte_is_never_shown_and_made_anew(olmo2: LoadedModel, store: Store) -> None:
    found = run_behaviour(store, olmo2, REQUEST)
    (path,) = (store.own / found.key).glob("*.npz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedRunError):
        find_behaviour(store, olmo2.fingerprint, olmo2.dtype, REQUEST)
    assert run_behaviour(store, olmo2, REQUEST).answers == found.answers


def planted(store: Store, request: dict[str, object], answers: object) -> str:
    """A run whose checksums hold and whose content is somebody else's."""
    key = run_key(request, "f" * 64)
    text = json.dumps(answers).encode()
    meta = {"model": {"ref": "x", "fingerprint": "f" * 64, "dtype": "float64"}}
    with store.draft(key, request, meta) as draft:
        draft.finish({"answers": np.frombuffer(text, dtype=np.uint8)})
    return key


@pytest.mark.parametrize("answers", [["one"], [1] * 12, {"a": 1}, "text", None])
def test_a_foreign_run_whose_answers_do_not_fit_is_refused(store: Store, answers: object) -> None:
    key = planted(store, REQUEST.document("float64"), answers)
    found = store.find(key)
    assert found is not None
    with pytest.raises(DamagedRunError, match=key[:12]):
        open_behaviour(found)


def test_a_foreign_regular_expression_is_never_run(store: Store) -> None:
    """This one would take longer than the universe has."""
    rule = replace(REQUEST.rule, pattern=AnswerPattern("number", "(a+)+$", "a trap"))
    key = planted(store, replace(REQUEST, rule=rule).document("float64"), ["a" * 60 + "!"] * 12)
    found = store.find(key)
    assert found is not None
    with pytest.raises(DamagedRunError):
        open_behaviour(found)
    assert list_behaviours(store) == ()


def test_more_samples_than_queries_are_refused_and_own_siblings_taken() -> None:
    with pytest.raises(DataError, match="211"):
        behaviour_request(load_task("adj_comp"), 500)
    task = load_task("adj_comp")
    own = replace(task, name="mine")
    assert behaviour_request(own, 5).siblings == (), "a file's task knows no siblings of itself"
    assert behaviour_request(replace(task, answers=task.answers[::-1]), 5).siblings == (), (
        "nor one that only is called so"
    )
    (named,) = behaviour_request(own, 5, siblings={"other": load_task("adj_ant")}).siblings
    assert named == ("other", tuple(load_task("adj_ant").answer(q) for q, _ in choose_items(own, 5, 0)))


def test_evaluate_prints_the_keys_of_the_contract(capsys: pytest.CaptureFixture[str], folder: str, cache: Path) -> None:
    found = run_json(capsys, "evaluate", "--model", folder, "--task", "can_fly", "--samples", "6")
    assert {"ema", "ia", "n", "rows"} <= found.keys()
    assert found["n"] == 6 == len(found["rows"])
    assert found["ema"] == sum(row["exact"] for row in found["rows"]) / 6
    assert found["ia"] == sum(row["valid"] for row in found["rows"]) / 6
    assert {row["task"] for row in found["confusion"]} == {"anim_color", "anim_legs", "anim_class"}
    assert run_json(capsys, "evaluate", "--model", folder, "--task", "can_fly", "--samples", "6") == found
    code, out, _ = run(capsys, "evaluate", "--model", folder, "--task", "can_fly", "--samples", "6")
    assert code == 0 and "EMA" in out and load_task("can_fly").rule.in_words() in out


def test_a_csv_of_ones_own_is_evaluated_against_its_other_columns(
    capsys: pytest.CaptureFixture[str], folder: str, cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.csv"
    path.write_text("query,comparative,antonym\nbig,bigger,small\nhot,hotter,cold\n", encoding="utf-8")
    own = ["--task-csv", str(path), "--subtask", "antonym", "--instruction", "Name it.", "--field", "Adjective"]
    found = run_json(capsys, "evaluate", "--model", folder, *own, "--samples", "2")
    assert found["task"] == "own:antonym" and [row["task"] for row in found["confusion"]] == ["comparative"]
    code, _, err = run(capsys, "evaluate", "--model", folder, *own, "--samples", "3")
    assert code == 2 and "2 queries" in err and err.count("\n") == 1


def test_the_document_is_what_the_run_says(olmo2: LoadedModel, store: Store) -> None:
    found = run_behaviour(store, olmo2, REQUEST)
    document = json.loads(json.dumps(behaviour_document(found), allow_nan=False))
    assert document["ema_ci"] == [found.adherence.ema.low, found.adherence.ema.high]
    assert [row["answer"] for row in document["rows"]] == list(found.answers)
    assert document["valid"] == load_task("adj_comp").rule.in_words()


def test_a_plan_asks_all_tasks_and_at_most_their_queries(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('[[behaviour]]\nmodel = "m"\ntask = "all"\nsamples = 60\n', encoding="utf-8")
    planned = read_plan(path)
    assert [row.task for row in planned] == list(all_task_names())
    assert all(isinstance(row, PlannedBehaviour) for row in planned)
    sizes = {row.task: len(row.request().items) for row in planned}
    assert sizes["adj_comp"] == 60 and sizes == {
        name: min(60, len(set(load_task(name).queries))) for name in all_task_names()
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[behaviour]]\nmodel = "m"\n', "Behaviour 1"),
        ('[[behaviour]]\nmodel = "m"\ntask = "all"\ndepth = 2\n', "beside them only"),
        ('[[behaviour]]\nmodel = "m"\ntask = "all"\nsamples = 0\n', "at least 1"),
        ("behaviour = 3\n", "tables"),
        ("[[other]]\nmodel = 3\n", "tables"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_plan(path)


@pytest.fixture
def judge() -> Iterator[Stub]:
    yield from start()


def test_another_model_judges_beside_the_rule(
    capsys: pytest.CaptureFixture[str], folder: str, cache: Path, judge: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IVCORE_JUDGE_HOSTS", raising=False)
    monkeypatch.setenv("IVCORE_JUDGE_KEY", KEY)
    replies = iter(["yes", "no", "maybe", "maybe", "maybe", "yes", "yes", "yes"])
    lock = threading.Lock()

    def script(_: Seen) -> Reply:
        with lock:
            return say(next(replies, "yes"))

    judge.script = script
    ask = ["evaluate", "--model", folder, "--task", "can_fly", "--samples", "6"]
    ask += ["--judge", judge.settings.address, "--judge-model", "some-judge"]
    found = run_json(capsys, *ask)
    said = [row["judged"] for row in found["rows"]]
    assert set(said) <= {True, False, None} and said.count(None) == len(found["judge"]["unclear"])
    sure = [row for row in found["rows"] if row["judged"] is not None]
    assert found["judge"]["n"] == len(sure)
    assert found["judge"]["ia"] == sum(row["judged"] for row in sure) / len(sure)
    assert found["judge"]["agreement"] == sum(row["judged"] == row["valid"] for row in sure) / len(sure)
    assert all(seen.headers["Authorization"] == f"Bearer {KEY}" for seen in judge.seen)
    asked = len(judge.seen)
    code, out, _ = run(capsys, *ask)
    assert code == 0 and "some-judge says" in out and KEY not in out
    assert len(judge.seen) - asked <= said.count(None), "sound verdicts are not asked for again"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--judge", "http://localhost:1/v1"], "--judge-model belong together"),
        (["--judge", "file:///etc", "--judge-model", "m"], "http"),
        (["--judge", "http://127.0.0.1:9/v1", "--judge-model", "m"], "cannot be reached"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str],
    folder: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    words: str,
) -> None:
    monkeypatch.delenv("IVCORE_JUDGE_HOSTS", raising=False)
    code, out, err = run(capsys, "evaluate", "--model", folder, "--task", "can_fly", "--samples", "2", *more)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1
