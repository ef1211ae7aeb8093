"""Geometry as runs, on the command line and in plans: what is stored comes back as it was computed, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivcore.activations import component_states
from ivcore.errors import DamagedRunError, DataError, InputError
from ivcore.models import LoadedModel
from ivcore.probes import geometry, released_probe
from ivcore.prompts.paraphrases import ParaphraseSet, make_set, task_paraphrases
from ivcore.prompts.tasks import load_task
from ivcore.runs import (
    GeometryRequest,
    GeometryRun,
    PlannedGeometry,
    Progress,
    Stopped,
    behaviour_request,
    find_geometry,
    geometry_document,
    geometry_request,
    list_geometries,
    open_geometry,
    read_plan,
    run_behaviour,
    run_geometry,
)
from ivcore.runs import geometry as geometry_module
from ivcore.store import Store, run_key
from tests.conftest import make_olmo2, save_folder
from tests.engine.test_command_line import run, run_json

SETS = [ParaphraseSet(name, task_paraphrases(name).texts[:n]) for name, n in (("adj_comp", 14), ("can_fly", 11))]
REQUEST = geometry_request(SETS, n_permutations=2, released=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_folder(make_olmo2(), tmp_path_factory.mktemp("models") / "tiny"))


def same(a: Any, b: Any) -> bool:
    """Equal dataclasses, arrays and numbers among their fields."""
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    return bool(a == b)


@pytest.mark.parametrize("component", ["resid", "mlp"])
def test_what_is_stored_comes_back_as_it_was_computed(olmo2: LoadedModel, store: Store, component: str) -> None:
    request = replace(REQUEST, component=component)
    found = run_geometry(store, olmo2, request)
    plan = request.plan()
    states = component_states(olmo2, plan.texts, component)
    assert same(found.result, geometry(plan, states, component))
    assert same(found.released, released_probe(plan, states, component))
    assert not same(found.result, geometry(replace(request, seed=1).plan(), states, component)), "another seed differs"
    assert [row.layer for row in found.rows] == ([None, 0, 1, 2, 3, 4] if component == "resid" else [0, 1, 2, 3, 4])
    assert found.request.texts == plan.texts and found.n_samples == 25


def test_the_second_time_nothing_is_computed(olmo2: LoadedModel, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_geometry(store, olmo2, REQUEST)
    run_behaviour(store, olmo2, behaviour_request(load_task("adj_comp"), 3))
    monkeypatch.setattr(geometry_module, "component_states", lambda *_, **__: pytest.fail("computed again"))
    assert same(run_geometry(store, olmo2, REQUEST).result, first.result)
    assert [(row.key, row.request) for row in list_geometries(store)] == [(first.key, REQUEST)]
    for other in (replace(REQUEST, seed=1), replace(REQUEST, component="attn"), geometry_request(SETS[::-1])):
        with pytest.raises(pytest.fail.Exception):
            run_geometry(store, olmo2, other)


def test_it_tells_how_far_it_is_and_stops(olmo2: LoadedModel, store: Store) -> None:
    told: list[Progress] = []
    run_geometry(store, olmo2, replace(REQUEST, released=False), on_progress=told.append)
    done = [progress.samples_done for progress in told]
    assert done == sorted(done) and (done[0], done[-1]) == (0, 25) and len(set(done)) > 4
    for least in (2, 9):
        asked = replace(REQUEST, seed=least)
        seen: list[Progress] = []
        with pytest.raises(Stopped):
            run_geometry(store, olmo2, asked, on_progress=seen.append, should_stop=lambda n=least, s=seen: len(s) >= n)
        assert find_geometry(store, olmo2.fingerprint, olmo2.dtype, asked) is None


@pytest.mark.parametrize(
    ("sets", "changes", "error", "words"),
    [
        (SETS[:1], {}, DataError, "2 to 8"),
        ([SETS[0], make_set("few", ["one thing", "another"])], {}, DataError, "few"),
        ([SETS[0], ParaphraseSet("twin", SETS[0].texts)], {}, DataError, "twin"),
        (SETS, {"component": "soul"}, InputError, "soul"),
        (SETS, {"n_permutations": -1}, InputError, "-1"),
    ],
)
def test_what_cannot_be_compared_is_told(
    sets: list[ParaphraseSet], changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        geometry_request(sets, **changes)


def test_a_changed_byte_is_never_shown_and_made_anew(olmo2: LoadedModel, store: Store) -> None:
    found = run_geometry(store, olmo2, REQUEST)
    (path,) = (store.own / found.key).glob("*.npz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedRunError):
        find_geometry(store, olmo2.fingerprint, olmo2.dtype, REQUEST)
    assert same(run_geometry(store, olmo2, REQUEST).result, found.result)


Arrays = dict[str, np.ndarray]


def planted(store: Store, model: LoadedModel, change: Callable[[Arrays], object], **request: Any) -> str:
    """A run whose checksums hold and whose content is somebody else's."""
    asked = replace(REQUEST, seed=77)
    sound = run_geometry(store, model, REQUEST)
    run_on_disk = store.find(sound.key)
    assert run_on_disk is not None
    arrays = run_on_disk.arrays()
    change(arrays)
    document = asked.document(model.dtype) | request
    key = run_key(document, model.fingerprint)
    with store.draft(key, document, {"model": dict(sound.model)}) as draft:
        draft.finish(arrays)
    return key


def put(name: str, value: object) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({name: np.asarray(value)})


def said(**changes: object) -> Callable[[Arrays], object]:
    def change(arrays: Arrays) -> None:
        document = json.loads(arrays["document"].tobytes()) | changes
        arrays["document"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("lda", np.zeros((6, 25, 3))),
        put("pca", np.full((6, 25, 2), np.nan)),
        put("held_out", np.zeros(25)),
        put("confusion", np.zeros((7, 2, 2), dtype=np.int64)),
        put("confusion", np.tile([[15, -1], [0, 11]], (7, 1, 1))),
        put("more", np.zeros(1)),
        put("document", np.zeros(3, dtype=np.uint8)),
        lambda arrays: arrays.pop("strengths"),
        said(n_folds="many"),
        said(rows=[]),
        said(rows=[{}] * 6),
        said(released={"random_split": {"hits": 9, "n": 3}}),
    ],
)
def test_a_foreign_run_that_does_not_fit_together_is_refused(
    olmo2: LoadedModel, store: Store, change: Callable[[Arrays], object]
) -> None:
    found = store.find(planted(store, olmo2, change))
    assert found is not None
    with pytest.raises(DamagedRunError, match=found.key[:12]):
        open_geometry(found)


@pytest.mark.parametrize("request_", [{"sets": 3}, {"sets": [["a"]]}, {"component": "soul"}, {"extra": 1}])
def test_a_foreign_request_is_refused(olmo2: LoadedModel, store: Store, request_: dict[str, Any]) -> None:
    found = store.find(planted(store, olmo2, lambda _: None, **request_))
    assert found is not None
    with pytest.raises(DamagedRunError):
        open_geometry(found)


def test_an_unchanged_copy_opens(olmo2: LoadedModel, store: Store) -> None:
    """The control of the two above."""
    found = store.find(planted(store, olmo2, lambda _: None))
    assert found is not None and isinstance(open_geometry(found), GeometryRun)


def test_geometry_prints_the_keys_of_the_contract(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVCORE_CACHE", str(tmp_path / "runs"))
    paths = []
    for one in SETS:
        paths.append(tmp_path / f"{one.name}.csv")
        rows = "".join(f'{i},"{text.replace(chr(34), chr(34) * 2)}"\n' for i, text in enumerate(one.texts))
        paths[-1].write_text(f"index,instruction\n{rows}", encoding="utf-8")
    ask = ["geometry", "--model", folder, "--paraphrases", *map(str, paths)]
    found = run_json(capsys, *ask, "--released")
    assert {"layers", "lexical_accuracy", "n_per_task"} <= found.keys()
    keys = {"layer", "probe_accuracy", "probe_ci", "shuffled_accuracy", "lda_heldout_accuracy"}
    assert all(keys <= row.keys() for row in found["layers"]) and len(found["layers"]) == 5
    assert found["n_per_task"] == {"adj_comp": 14, "can_fly": 11}
    assert found["released"]["random_split"] is not None
    for row in found["layers"]:
        assert row["probe_accuracy"] == sum(np.diag(row["confusion"])) / 25
    assert run_json(capsys, *ask)["released"] is None
    code, out, _ = run(capsys, *ask, "--component", "attn")
    assert code == 0 and "words only" in out and "embedding" not in out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--tasks", "adj_comp"], "2 to 8"),
        (["--tasks", "adj_comp,no_such"], "no_such"),
        (["--paraphrases", "none.csv", "other.csv"], "none.csv"),
        (["--tasks", "adj_comp,adj_ant", "--component", "soul"], "soul"),
        ([], "required"),
    ],
)
def test_bad_input_ends_with_two_and_one_line(
    capsys: pytest.CaptureFixture[str], folder: str, more: list[str], words: str
) -> None:
    code, out, err = run(capsys, "geometry", "--model", folder, *more)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1


def test_a_plan_names_its_tasks(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('[[geometry]]\nmodel = "m"\ntasks = ["adj_comp", "can_fly"]\ncomponent = "mlp"\n', encoding="utf-8")
    (planned,) = read_plan(path)
    assert isinstance(planned, PlannedGeometry)
    request = planned.request()
    assert isinstance(request, GeometryRequest) and request.names == ("adj_comp", "can_fly")
    assert request.component == "mlp" and request.texts[0] == load_task("adj_comp").paraphrases[0]
    for text in ("tasks = 3", 'tasks = [3]\nmodel = "m"', 'tasks = ["a"]\nmodel = "m"\ncomponent = "soul"'):
        path.write_text(f"[[geometry]]\n{text}\n", encoding="utf-8")
        with pytest.raises(DataError, match="Geometry 1"):
            read_plan(path)


def test_the_document_is_what_the_run_says(olmo2: LoadedModel, store: Store) -> None:
    found = run_geometry(store, olmo2, REQUEST)
    document = json.loads(json.dumps(geometry_document(found), allow_nan=False))
    layer = found.result.layers[2]
    assert document["layers"][2]["probe_ci"] == [layer.probe.accuracy.low, layer.probe.accuracy.high]
    assert document["layers"][2]["shuffled_accuracy"] == layer.shuffled_accuracy
    assert document["embedding"]["probe_accuracy"] == found.rows[0].probe.accuracy.share
    assert document["lexical_accuracy"] == found.result.lexical.accuracy.share
