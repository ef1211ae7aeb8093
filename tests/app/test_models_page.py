"""The Models page through Streamlit's AppTest; and what a failing self-check does on every page."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ivcore.check import CheckReport, check_model
from ivcore.models import LoadedModel, LoadProgress, load_model
from tests.app.conftest import APP
from tests.app.reading import plain, words
from tests.app.tiny_folder import make_folder
from ui import calls
from ui.models.details import report_json
from ui.models.files import models_downloads
from ui.models.listing import list_rows
from ui.models.state import ModelsInputs, check_command, models_link
from ui.state import OTHER
from ui.worker import workshop

PATIENCE = 60.0
LOAD = "Load and check"
Open = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def fresh(cache: Path) -> Iterator[None]:
    """Nothing in memory, no verdict known."""
    calls.alive().clear()
    calls.verdicts().clear()
    yield
    calls.verdicts().clear()


@pytest.fixture
def open_page(folder: Path) -> Open:
    """Open a page at an address with these parameters; by default Models on the tiny model."""

    def opened(name: str = "models", **parameters: str | list[str]) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=300)
        page.switch_page(f"pages/{name}.py")
        for key, value in ({"model": OTHER, "ref": str(folder)} | parameters).items():
            page.query_params[key] = value
        return page.run()

    return opened


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check that is made finds the paths wrong."""

    monkeypatch.setattr("ivcore.runs.verdicts.check_model", _failed)


def button(page: AppTest, label: str) -> Any:
    return next(one for one in page.button if one.label == label)


def labels(page: AppTest) -> list[str]:
    return [one.label for one in page.button]


def errors(page: AppTest) -> list[str]:
    return [plain(element.value) for element in page.error]


def row(page: AppTest, name: str) -> dict[str, str]:
    """The list's row of a model."""
    table = page.dataframe[0].value
    found: dict[str, str] = table[table["model"] == name].iloc[0].to_dict()
    return found


def markup(page: AppTest) -> str:
    """All HTML of the page."""
    return " ".join(str(element.proto.body) for element in page.get("html"))


def report_rows(page: AppTest) -> list[list[str]]:
    """The cells of the check's report, row by row."""
    rows = re.findall(r"<tr>(<td.*?)</tr>", markup(page))
    return [[html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def assert_whole(page: AppTest) -> None:
    """The page reached its foot without an error of any kind."""
    assert not page.exception and not page.error
    assert any("ivcore check" in code.value for code in page.code)


def assert_one_sentence(page: AppTest, *told: str) -> None:
    assert not page.exception
    (found,) = errors(page)
    assert all(word in found for word in told), found
    assert "Traceback" not in found and "\n" not in found and found.endswith(".")


def loaded(page: AppTest) -> AppTest:
    """The page once the job that the button started has ended."""
    button(page, LOAD).click().run()
    return ended(page)


def ended(page: AppTest) -> AppTest:
    """The page once no job is under way."""
    deadline = time.monotonic() + PATIENCE
    while "Stop" in labels(page):
        assert time.monotonic() < deadline, "the job did not end"
        time.sleep(0.05)
        page.run()
    return page


def test_the_first_visit_lists_all_models_and_loads_none(open_page: Open) -> None:
    page = open_page(model="ivy")
    assert_whole(page)
    names = [entry.name.rpartition("/")[2] for entry in calls.entries()]
    assert list(page.dataframe[0].value["model"]) == names
    assert row(page, "ivy-sft")["where"] == "bundled" and row(page, "ivy-sft")["loaded"] == "no"
    assert row(page, "OLMo-2-1124-13B")["where"] == "to be fetched"
    assert row(page, "OLMo-2-0425-1B")["in memory"].startswith("5.5 GiB"), "told before it is fetched"
    assert calls.alive().present() == ()
    assert "Free memory now" in words(page) and "Add a model" in [one.value for one in page.subheader]
    assert "GPT-NeoX, `GPTNeoXForCausalLM`" in words(page)


def test_load_check_release(open_page: Open, folder: Path) -> None:
    page = loaded(open_page())
    assert_whole(page)
    (shown,) = calls.alive().present()
    assert shown.ref == str(folder)
    tiny = row(page, "tiny")
    assert tiny["self-check"] == "passed" and tiny["loaded"] == f"{shown.device}, float32" and tiny["family"] == "–"
    model = load_model(str(folder))
    told = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", markup(page)))
    assert told["layers"] == "4" and told["heads"] == "4" and told["key-value heads"] == "2"
    assert told["width (d_model)"] == "48" and told["fingerprint"] == model.fingerprint
    assert told["longest prompt"] == "512 tokens" and told["family"] == "OLMo-2"
    expected = [("✓ passed", item.name.replace("_", " "), f"{item.tolerance:.2g}") for item in check_model(model).items]
    assert [(one[0], one[1], one[3]) for one in report_rows(page)] == expected
    button(page, "Release").click().run()
    assert calls.alive().present() == () and row(page, "tiny")["loaded"] == "no"
    assert row(page, "tiny")["self-check"] == "passed", "the report is kept"
    assert_whole(page)


def test_a_report_outlives_the_server(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(open_page())
    calls.alive().clear()
    calls.verdicts().clear()
    monkeypatch.setattr("ivcore.runs.verdicts.check_model", lambda _: pytest.fail("checked again"))
    page = open_page()
    assert_whole(page)
    assert row(page, "tiny")["self-check"] == "passed" and "UTC on cpu" in words(page)
    assert calls.alive().present() == (), "nothing is loaded for it"


def test_a_report_does_not_hold_for_other_files(open_page: Open, tmp_path: Path) -> None:
    mine = make_folder(tmp_path / "mine", n_layers=2, seed=7)
    page = loaded(open_page(ref=str(mine)))
    assert row(page, "mine")["self-check"] == "passed"
    make_folder(mine, n_layers=2, seed=8)
    page.run()
    assert row(page, "mine")["self-check"] == "not made yet" and LOAD in labels(page)


def test_a_report_holds_for_the_same_files_elsewhere(open_page: Open, folder: Path, tmp_path: Path) -> None:
    loaded(open_page())
    shutil.copytree(folder, tmp_path / "copy")
    page = open_page(ref=str(tmp_path / "copy"))
    assert row(page, "copy")["self-check"] == "passed" and row(page, "copy")["loaded"] == "no"


def test_a_report_holds_for_one_number_format(open_page: Open) -> None:
    page = loaded(open_page())
    page.selectbox(key="dtype").set_value("bfloat16").run()
    assert row(page, "tiny")["self-check"] == "not made yet" and LOAD in labels(page)
    small = row(page, "tiny")["in memory"]
    page.selectbox(key="dtype").set_value("float32").run()
    assert row(page, "tiny")["self-check"] == "passed"
    assert small.endswith("MiB")


def test_sizes_are_those_of_the_files(folder: Path) -> None:
    model = load_model(str(folder))
    inputs = ModelsInputs("ivy", "SFT", "ivy-sft", dtype="float64")
    ivy = next(one for one in list_rows(inputs) if one.ref == "ivy-sft")
    weights = Path("ivy/checkpoints/ivy-sft/model.safetensors")
    assert ivy.disk == weights.stat().st_size and ivy.memory is not None
    parameters = sum(weight.numel() for weight in load_model("ivy-sft").hf.parameters())
    assert ivy.memory == 8 * parameters and model.n_layers == 4


def test_a_permalink_opens_the_page_on_its_model(open_page: Open) -> None:
    page = open_page(model="ivy", stage="DPO", dtype="float64")
    assert [code.value for code in page.code][1] == "python -m ivcore check --model ivy-dpo --dtype float64 --json"
    assert "stage=DPO" in page.code[0].value and "dtype=float64" in page.code[0].value
    assert plain(page.subheader[0].value) == "ivy-dpo"


def test_what_a_link_asks_for_in_vain_is_told(open_page: Open) -> None:
    page = open_page(model="<script>", device="abacus")
    assert_whole(page)
    told = " ".join(plain(warning.value) for warning in page.warning)
    assert "<script>" in told and "abacus" in told and all("<" not in warning.value for warning in page.warning)


def test_link_and_command_name_everything() -> None:
    inputs = ModelsInputs(OTHER, "", "-my folder/&x", "cpu", "bfloat16")
    assert (
        check_command(inputs) == "python -m ivcore check '--model=-my folder/&x' --device cpu --dtype bfloat16 --json"
    )
    link = models_link("http://x/models", inputs)
    assert link.endswith("?model=another+model&ref=-my+folder%2F%26x&device=cpu&dtype=bfloat16")


def test_nothing_typed_yet(open_page: Open) -> None:
    page = open_page(ref="")
    assert not page.error and not page.exception
    assert "Type the folder" in page.info[0].value and LOAD not in labels(page)


def _cut_weights(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _lose_a_shard(path: Path) -> None:
    (path / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


def _shard_elsewhere(path: Path) -> None:
    (path / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "../../secret.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


def _other_family(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"architectures": ["MambaForCausalLM"]}))


def _own_code(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.py"}}))


def _pickled(path: Path) -> None:
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_cut_weights, ("model.safetensors", "cut short")),
        (_lose_a_shard, ("lacks", "model-00001-of-00002.safetensors")),
        (_shard_elsewhere, ("secret.safetensors", "beside it")),
        (_other_family, ("MambaForCausalLM", "OLMo-2")),
        (_own_code, ("auto_map",)),
        (_pickled, ("pickled", "safetensors")),
    ],
)
def test_folders_that_cannot_be_used(
    open_page: Open, folder: Path, tmp_path: Path, damage: Callable[[Path], None], told: tuple[str, ...]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    damage(broken)
    page = open_page(ref=str(broken))
    assert_one_sentence(page, *told)
    assert row(page, "broken")["where"] == "cannot be used" and LOAD not in labels(page)
    assert any("ivcore check" in code.value for code in page.code), "the rest of the page is there"


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ("no-such-model", ("no-such-model", "ivy-sft")),
        ("../../etc", ("etc",)),
        ("/etc/passwd", ("is a file",)),
        ("x" * 5000, ("too long",)),
        ("<script>alert(1)</script>", ("<script>",)),
    ],
)
def test_names_that_lead_nowhere(open_page: Open, ref: str, told: tuple[str, ...]) -> None:
    page = open_page(ref=ref)
    assert_one_sentence(page, *told)
    assert "<" not in page.error[0].value


def test_spaces_around_a_name_do_not_matter(open_page: Open, folder: Path) -> None:
    page = open_page(ref=f"  {folder} ")
    assert_whole(page)
    assert row(page, "tiny")["where"] == "on this machine"


def test_typed_models_stay_in_the_list(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.text_input(key="ref").set_value(str(make_folder(tmp_path / "second", n_layers=2))).run()
    page.switch_page("pages/patch.py").run()
    page.switch_page("pages/models.py").run()
    assert {"tiny", "second"} <= set(page.dataframe[0].value["model"])


def test_a_hub_model_offline_is_one_sentence(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    page = open_page(ref="some-lab/some-model")
    assert not page.error and row(page, "some-model")["where"] == "to be fetched"
    button(page, "Fetch, load and check").click().run()
    assert_one_sentence(ended(page), "some-lab/some-model", "cache")


def test_progress_is_shown_and_loading_can_be_stopped(
    open_page: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(ref: str, *, on_progress: Callable[[LoadProgress], None], **_: object) -> LoadedModel:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            on_progress(LoadProgress("download", 3 * 2**30, 4 * 2**30))
            time.sleep(0.01)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr("ivcore.models.load_model", slow)
    page = open_page()
    button(page, LOAD).click().run()
    deadline = time.monotonic() + PATIENCE
    while "3.0 GiB of 4.0 GiB" not in (bar := _bar(page)):
        assert time.monotonic() < deadline, bar
        page.run()
    button(page, "Stop").click().run()
    assert "Stopped" in plain(ended(page).info[0].value)
    assert calls.alive().present() == () and LOAD in labels(page)


def test_a_model_at_work_is_not_released(open_page: Open, folder: Path) -> None:
    page = loaded(open_page())
    model = calls.model(str(folder), "auto", "float32")
    over: list[bool] = []
    lane = f"{model.fingerprint} {model.device} {model.dtype}"
    job = workshop().start("holds it", "holds it", lane, lambda *_: _until(lambda: bool(over)))
    button(page, "Release").click().run()
    assert "at work" in page.warning[0].value and len(calls.alive().present()) == 1
    over.append(True)
    _until(lambda: job.ended)
    button(page, "Release").click().run()
    assert calls.alive().present() == ()


def test_downloads_hold_the_list_and_the_report(open_page: Open, folder: Path) -> None:
    loaded(open_page())
    inputs = ModelsInputs("ivy", "SFT", "ivy-sft")
    ref = str(folder)
    verdict = calls.verdict(model := calls.model(ref, "auto", "float32"), model.fingerprint, model.device, model.dtype)
    rows = list_rows(inputs)
    listing, report = models_downloads(rows, replace(rows[0], verdict=verdict))
    assert listing.make().splitlines()[0].startswith("ref,group,stage,where,disk_bytes")
    assert len(listing.make().splitlines()) == len(rows) + 1
    document = json.loads(report.make())
    assert document["passed"] and document["model"]["ref"] == ref and document["items"][0]["tolerance"] is not None
    for value in (math.inf, math.nan):  # plain JSON has neither
        wrong = replace(verdict, items=(replace(verdict.items[0], passed=False, value=value),))
        told = json.loads(report_json(wrong), parse_constant=lambda name: pytest.fail(name))
        assert told["items"][0]["value"] is None


def test_an_app_may_open_its_own_models_only(open_page: Open, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("ivcore.models.others_allowed", lambda: False)
    page = open_page()
    assert_whole(page)
    assert OTHER not in page.selectbox(key="model").options and "tiny" not in set(page.dataframe[0].value["model"])
    assert OTHER in plain(page.warning[0].value) and "Choose another model" not in labels(page)
    assert "only the models that it lists" in words(page)
    for name in ("patch", "behaviour", "sweep"):
        page = open_page(name)
        assert not page.exception and str(folder) not in words(page)
        assert page.selectbox(key="model").value == "ivy"


@pytest.mark.parametrize("name", ("patch", "behaviour", "sweep", "paths", "heads"))
def test_a_model_that_fails_shows_only_the_report(open_page: Open, failing: None, name: str) -> None:
    assert_report_only(open_page(name))


def test_numbers_shown_before_the_check_are_withdrawn(
    open_page: Open, cache: Path, request: pytest.FixtureRequest
) -> None:
    parameters = {"task": "adj_ant", "samples": "6", "depth": "1"}
    page = open_page("sweep", **parameters)
    button(page, "Start the sweep").click().run()
    assert ended(page).get("vega_lite_chart"), "the sweep is stored, and opens before the check"
    shutil.rmtree(cache / "notes")
    calls.verdicts().clear()
    request.getfixturevalue("failing")
    page = open_page("sweep", **parameters)
    assert_report_only(page)
    assert_report_only(page.run())


@pytest.mark.parametrize("name", ("patch", "behaviour", "sweep", "geometry", "paths", "heads"))
def test_a_kept_failure_is_known_before_the_model_is_loaded(
    open_page: Open, failing: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = loaded(open_page())
    assert row(page, "tiny")["self-check"] == "failed" and "no page shows a number" in errors(page)[0]
    calls.verdicts().clear()
    if name != "patch":
        calls.alive().clear()
        monkeypatch.setattr("ivcore.models.load_model", lambda *_, **__: pytest.fail("loaded for nothing"))
    assert_report_only(open_page(name))


def test_a_mended_model_is_shown_again(open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = make_folder(tmp_path / "mine", n_layers=2, seed=9)
    with monkeypatch.context() as patch:
        patch.setattr("ivcore.runs.verdicts.check_model", _failed)
        assert_report_only(open_page("patch", ref=str(mine)))
    make_folder(mine, n_layers=2, seed=10)
    page = open_page("patch", ref=str(mine))
    assert not page.error and page.get("vega_lite_chart")


def assert_report_only(page: AppTest) -> None:
    """The report and its reason; no chart, no table of results, no foot."""
    assert not page.exception
    (found,) = errors(page)
    assert "fails its self-check (paths)" in found and "none of its numbers" in found
    first, *others = report_rows(page)
    assert first[:3] == ["✗ failed", "paths", "3.5"] and {one[0] for one in others} == {"✓ passed"}
    assert not page.get("vega_lite_chart") and not page.dataframe and not page.code and not page.metric
    assert "UTC on cpu" in words(page)


def _failed(model: LoadedModel) -> CheckReport:
    report = check_model(model)
    items = tuple(replace(item, passed=False, value=3.5) if item.name == "paths" else item for item in report.items)
    return replace(report, passed=False, items=items)


def _bar(page: AppTest) -> str:
    return " ".join(plain(bar.proto.text) for bar in page.get("progress"))


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
