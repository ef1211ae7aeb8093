"""The command line's sweep, precompute and cache: contract, own CSV files, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ivcore.prompts.tasks import load_task
from tests.conftest import make_olmo2, save_folder
from tests.engine.test_command_line import run, run_json

OWN = "query,comparative,antonym\nbig,bigger,small\nsmall,black,big\nblack,no,yes\n=cmd|'x',yes,no\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_folder(make_olmo2(), tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IVCORE_CACHE", str(tmp_path / "runs"))
    return tmp_path / "runs"


def csv(folder: Path, text: str = OWN) -> str:
    path = folder / "own.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def own(path: str) -> list[str]:
    return ["--task-csv", path, "--subtask", "antonym", "--instruction", "Name the antonym.", "--field", "Adjective"]


def test_sweep_prints_the_keys_of_the_contract(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    found = run_json(capsys, "sweep", "--model", folder, "--task", "adj_comp", "--depth", "2", "--samples", "4")
    assert {"run", "n_samples", "metrics", "superadditivity"} <= found.keys()
    assert found["n_samples"] == 4 and len(found["metrics"]["rr"]) == len(found["metrics"]["logit"]) == 15
    assert found["metrics"]["rr"][0].keys() == {"layers", "mean", "ci"}
    assert {"layers", "mean", "ci", "p", "p_adjusted", "share"} <= found["superadditivity"][0].keys()
    again = run_json(capsys, "sweep", "--model", folder, "--task", "adj_comp", "--depth", "2", "--samples", "4")
    assert again == found, "the second time it is the very run"


def test_the_seed_chooses_the_samples(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    ask = ["sweep", "--model", folder, "--task", "adj_comp", "--depth", "1", "--samples", "4"]
    assert run_json(capsys, *ask)["run"] != run_json(capsys, *ask, "--seed", "1")["run"]


def test_a_csv_of_ones_own_is_swept(capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path) -> None:
    ask = ["sweep", "--model", folder, *own(csv(tmp_path)), "--depth", "1", "--samples", "4"]
    found = run_json(capsys, *ask)
    assert found["instruction"] == "Name the antonym." and found["task"] == "own:antonym"
    code, out, _ = run(capsys, *ask)
    assert code == 0 and "n = 4" in out


def test_a_bigbench_file_is_swept(capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    scores = {"a": 1, "b": 0}
    examples = [{"input": f"(a) {word} ham (b) Lovely.", "target_scores": scores} for word in ("Good", "Old", "Thin")]
    path.write_text(json.dumps({"examples": examples}), encoding="utf-8")
    ask = ["--task-json", str(path), "--subtask", "snarks", "--depth", "1", "--samples", "3"]
    found = run_json(capsys, "sweep", "--model", folder, *ask)
    assert found["n_samples"] == 3 and found["instruction"] == load_task("snarks").instruction


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--task", "no_such"], "no_such"),
        (["--task", "adj_comp", "--samples", "5000"], "211"),
        (["--task", "adj_comp", "--samples", "0"], "0"),
        (["--task", "adj_comp", "--field", "Word"], "--field belongs to --task-csv"),
        (["--task-json", "none.json"], "--subtask too"),
        (["--task-json", "none.json", "--subtask", "snarks"], "none.json"),
        (["--task-json", "none.json", "--subtask", "snarks", "--field", "A"], "--field belongs to --task-csv"),
        (["--task-csv", "none.csv"], "--task-csv needs --subtask and --instruction and --field"),
        (["--task", "adj_comp", "--memory", "lots"], "not a number of GiB"),
        (["--task", "adj_comp", "--depth", "4"], "choose from"),
    ],
)
def test_bad_input_ends_with_two_and_one_line(
    capsys: pytest.CaptureFixture[str], folder: str, more: list[str], words: str
) -> None:
    code, out, err = run(capsys, "sweep", "--model", folder, "--depth", "1", *more)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["", "query\nbig\n", "query,antonym\nbig,\n", "word,antonym\nbig,small\n", "query,antonym\nbig,a\nbig,b\n"]
)
def test_a_bad_csv_ends_with_two_and_one_line(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path, text: str
) -> None:
    ask = ["sweep", "--model", folder, *own(csv(tmp_path, text)), "--depth", "1", "--samples", "1"]
    code, out, err = run(capsys, *ask)
    assert (code, out) == (2, "") and err.count("\n") == 1


def test_a_plan_is_computed_once_and_listed(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path, cache: Path
) -> None:
    plan = tmp_path / "plan.toml"
    rows = [f'[[sweep]]\nmodel = "{folder}"\ntask = "{t}"\ndepth = 1\nsamples = 3\n' for t in ("adj_comp", "adj_ant")]
    plan.write_text("".join(rows))
    code, out, _ = run(capsys, "precompute", str(plan))
    assert code == 0 and out.count("\n") == 2
    folders = {p.name for p in cache.iterdir() if len(p.name) == 64}
    assert len(folders) == 2
    run(capsys, "precompute", str(plan))
    listed = run_json(capsys, "cache", "ls")
    assert folders <= {entry["key"] for entry in listed["entries"]}
    assert run_json(capsys, "cache", "verify")["passed"] is True


def test_verify_finds_a_changed_byte_and_gc_removes_the_run(
    capsys: pytest.CaptureFixture[str], folder: str, cache: Path
) -> None:
    key = run_json(capsys, "sweep", "--model", folder, "--task", "adj_comp", "--depth", "1", "--samples", "3")["run"]
    file = next((cache / key).glob("*.npz"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    code, out, _ = run(capsys, "cache", "verify")
    assert code == 1 and key[:12] in out
    code, out, _ = run(capsys, "cache", "gc")
    assert code == 0 and not (cache / key).exists()


def test_every_bundled_task_makes_samples_that_the_tokenizer_can_cut() -> None:
    """Each plan may name any bundled task: its prompts end in the marker that the answer follows."""
    for name in ("adj_comp", "can_fly", "object_counting"):
        task = load_task(name)
        assert all(task.prompt_text(query).endswith("Answer:") for query in task.queries)
