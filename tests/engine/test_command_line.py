"""The command line's contract: JSON keys, exit codes, and one line on standard error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ivcore.__main__ import main
from ivcore.models import load_model
from ivcore.models.registry import REPOSITORY
from ivcore.patching import layer_sets, patch
from ivcore.prompts import build_answer, build_prompt
from tests.conftest import INSTRUCTION, QUERY, make_olmo2, make_tokenizer, save_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_folder(make_olmo2(), tmp_path_factory.mktemp("models") / "tiny"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code, out, err = run(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    document: dict[str, Any] = json.loads(out)
    return document


def ask(folder: str, *more: str) -> list[str]:
    return ["patch", "--model", folder, "--device", "cpu", "--instruction", INSTRUCTION, "--query", QUERY, *more]


def test_patch_prints_the_keys_of_the_contract(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    found = run_json(capsys, *ask(folder, "--answer", "bigger", "--layers", "3,1", "--layers", "0"))
    assert {"ref", "family", "n_layers", "fingerprint"} <= found["model"].keys()
    assert found["model"]["ref"] == folder
    prompt = build_prompt(make_tokenizer(), INSTRUCTION, QUERY)
    for key in ("t_inst", "t_last", "patch_position"):
        assert found["prompt"][key] == getattr(prompt, key)
    for key in ("ids_full", "tokens_full", "ids_target", "tokens_target"):
        assert found["prompt"][key] == list(getattr(prompt, key))
    answer = build_answer(make_tokenizer(), prompt, "bigger")
    assert {k: found["answer"][k] for k in ("text", "id", "token")} == {
        "text": "bigger",
        "id": answer.id,
        "token": " bigger",
    }
    assert found["baseline"].keys() == {"full", "target"}
    assert [row["layers"] for row in found["patched"]] == [[1, 3], [0]]
    for row in (*found["baseline"].values(), *found["patched"]):
        assert {"rank", "rr", "logit", "logprob"} <= row.keys()
        assert row["rr"] == 1 / row["rank"]
    assert found["seconds"].keys() >= {"load", "sweep"}


def test_patch_prints_what_the_engine_computes(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    found = run_json(capsys, *ask(folder, "--answer", "bigger", "--depth", "2", "--t-inst", "4", "--filler", " big"))
    model = load_model(folder, device="cpu")
    prompt = build_prompt(model.tokenizer, INSTRUCTION, QUERY, t_inst=4, filler=" big")
    answer = build_answer(model.tokenizer, prompt, "bigger")
    report = patch(model, prompt, answer, layer_sets(model.n_layers, 2))
    assert found["model"]["fingerprint"] == model.fingerprint
    assert [tuple(row["layers"]) for row in found["patched"]] == [row.layers for row in report.patched]
    for row, expected in zip(found["patched"], report.patched, strict=True):
        assert row["rank"] == expected.metrics.rank
        assert row["logit"] == pytest.approx(expected.metrics.logit, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_check_gives_a_verdict(capsys: pytest.CaptureFixture[str], folder: str, dtype: str) -> None:
    found = run_json(capsys, "check", "--model", folder, "--device", "cpu", "--dtype", dtype)
    assert found["passed"] is True
    assert found["model"]["dtype"] == dtype
    assert {"name", "passed", "value", "tolerance", "explanation"} == found["items"][0].keys()


def test_a_failed_check_is_exit_code_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    hf = make_olmo2()
    with torch.no_grad():
        hf.model.layers[1].mlp.down_proj.weight[0, 0] = float("inf")
    broken = save_folder(hf, tmp_path / "broken")
    code, out, err = run(capsys, "check", "--model", str(broken), "--device", "cpu", "--json")
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert found["passed"] is False
    assert None in [item["value"] for item in found["items"]], "what is not a number is null in JSON"


def test_models_lists_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    names = [row["name"] for row in run_json(capsys, "models")["models"]]
    assert names[:3] == ["ivy-base", "ivy-sft", "ivy-dpo"]
    assert "allenai/OLMo-2-0425-1B-DPO" in names


def test_tables_for_people(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    code, out, err = run(capsys, *ask(folder, "--answer", "bigger", "--depth", "3"))
    assert (code, err) == (0, "")
    assert "target alone" in out
    assert "... and 5 more sets" in out
    assert "comparative" in out
    assert "passed" in run(capsys, "check", "--model", folder, "--device", "cpu")[1]
    assert "ivy-sft" in run(capsys, "models")[1]


BAD_INPUT: dict[str, tuple[list[str], str]] = {
    "no verb": ([], "VERB"),
    "unknown verb": (["dance"], "invalid choice"),
    "no model": (["check"], "--model"),
    "unknown model": (["check", "--model", "no-such-model"], "choose one of ivy-base"),
    "empty model": (["check", "--model", ""], "is empty"),
    "not a dtype": (["check", "--model", "{folder}", "--dtype", "int4"], "invalid choice"),
    "no device": (["check", "--model", "{folder}", "--device", "tpu"], "invalid choice"),
    "no layers": (["{patch}"], "--layers --depth is required"),
    "both": (["{patch}", "--layers", "1", "--depth", "1"], "not allowed with"),
    "layers out of range": (["{patch}", "--layers", "5"], "layers 0 to 4"),
    "layers twice": (["{patch}", "--layers", "1,1"], "names a layer twice"),
    "layers empty": (["{patch}", "--layers", ""], "at least one layer"),
    "layers no numbers": (["{patch}", "--layers", "one"], "3,7"),
    "depth": (["{patch}", "--depth", "4"], "invalid choice"),
    "answer empty": (["{patch}", "--depth", "1", "--answer", ""], "answer is empty"),
    "filler": (["{patch}", "--depth", "1", "--filler", "several words"], "exactly one token"),
    "t-inst": (["{patch}", "--depth", "1", "--t-inst", "99"], "choose 0 to"),
    "position": (["{patch}", "--depth", "1", "--position", "-1"], "choose 0 to"),
    "query blank": (
        ["patch", "--model", "{folder}", "--instruction", "x", "--query", " \n", "--depth", "1"],
        "white space",
    ),
    "half a character": (
        ["patch", "--model", "{folder}", "--instruction", "\udce2", "--query", "x", "--depth", "1"],
        "half a character",
    ),
    "revision": (["check", "--model", "{folder}", "--revision", "main"], "no revision"),
    "abbreviation": (["check", "--mod", "{folder}"], "--model"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], folder: str, name: str) -> None:
    arguments, message = BAD_INPUT[name]
    filled = [part for a in arguments for part in (ask(folder) if a == "{patch}" else [a.replace("{folder}", folder)])]
    code, out, err = run(capsys, *filled)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("ivcore: ")
    assert message in err


def test_a_bug_is_exit_code_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    def bug(*_args: Any, **_options: Any) -> None:
        raise ZeroDivisionError("in the\nengine")

    monkeypatch.setattr("ivcore.patching.patch", bug)
    code, out, err = run(capsys, *ask(folder, "--depth", "1"))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "ZeroDivisionError: in the engine" in err
    monkeypatch.setenv("IVCORE_TRACEBACK", "1")
    assert "Traceback" in run(capsys, *ask(folder, "--depth", "1"))[2]


def test_as_a_process_of_its_own(folder: str) -> None:
    """Standard output holds the document and nothing else; nothing is written to standard error."""
    command = [sys.executable, "-m", "ivcore", *ask(folder, "--layers", "1", "--json")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["patched"][0]["layers"] == [1]
    bad = [sys.executable, "-m", "ivcore", "check", "--model", "no-such-model"]
    done = subprocess.run(bad, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_a_person_at_a_terminal_sees_how_far_loading_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["check", "--model", "ivy-sft", "--json"]
    assert not run(capsys, *asked)[2], "a script sees nothing"
    monkeypatch.setattr("ivcore.run_commands._SECONDS_BETWEEN_REMARKS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, out, err = run(capsys, *asked)
    assert code == 0 and json.loads(out)["passed"]
    done = [float(line.split()[0]) for line in err.splitlines()]
    assert len(done) > 2 and done == sorted(done) and all(line.endswith(" MiB read") for line in err.splitlines())
