"""The Patch page through Streamlit's AppTest: what a person does, and what happens when they do it wrong."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import Open
from tests.app.reading import plain
from tests.app.tiny_folder import make_folder
from ui.patch.form import DEFAULT_INSTRUCTION, DEFAULT_QUERY


def said(page: AppTest) -> str:
    """All HTML of the page as one text, without its style sheet."""
    return " ".join(body for element in page.get("html") if "<style" not in (body := str(element.proto.body)))


def errors(page: AppTest) -> list[str]:
    return [plain(element.value) for element in page.error]


def layers(page: AppTest) -> list[int]:
    return list(page.session_state["layers"])


def assert_whole(page: AppTest) -> None:
    """The page is complete, without an error of any kind."""
    assert not page.exception and not page.error
    assert len(page.code) == 2 and page.get("vega_lite_chart")


def assert_one_sentence(page: AppTest, *words: str) -> None:
    """One clear error without a traceback, and nothing that was typed is lost."""
    assert not page.exception
    (found,) = errors(page)
    assert all(word in found for word in words), found
    assert "Traceback" not in found and "\n" not in found and found.endswith(".")


def test_the_first_page_is_whole(open_page: Open) -> None:
    page = open_page()
    assert_whole(page)
    assert page.title[0].value == "Patch an instruction vector"
    assert page.text_input(key="instruction").value == DEFAULT_INSTRUCTION
    assert page.text_input(key="query").value == DEFAULT_QUERY
    assert page.selectbox(key="example 0").value == "can_fly" and not page.warning
    assert "Full prompt" in said(page) and "read here" in said(page) and "written here" in said(page)
    assert any("self-check passed" in popover.proto.popover.label for popover in page.get("popover"))
    caption = plain(" ".join(element.value for element in page.caption))
    assert "float32" in caption and "cpu" in caption and "fingerprint" in caption and "n = 1" in caption


def test_another_text_gives_another_result(open_page: Open) -> None:
    page = open_page()
    page.text_input(key="instruction").set_value("Given an adjective, state its antonym.").run()
    assert_whole(page)
    drawn = re.findall(r'iv-token inst[^>]*><b class="mono">([^<]*)</b>', said(page))
    assert "".join(drawn).replace("␣", " ") == "Given an adjective, state its antonym."


def test_picking_layers_changes_the_numbers(open_page: Open) -> None:
    page = open_page()
    for chosen, name in (([1], "layer 1"), ([0, 2], "layers 0 and 2"), ([0, 1, 3], "layers 0, 1 and 3")):
        page.button_group(key="layers").set_value(chosen).run()
        assert_whole(page)
        assert f"vector at {name}" in said(page)
    page.button_group(key="layers").set_value([]).run()
    assert_whole(page)
    assert "Pick layers" in said(page)


def test_the_strongest_set_is_one_click_away(open_page: Open) -> None:
    page = open_page()
    page.button(key="strongest").click().run()
    assert_whole(page)
    assert not page.warning
    chosen = layers(page)
    report = _engine_report(page)
    best = max(report, key=lambda row: row["rr"])
    assert next(row for row in report if row["layers"] == chosen)["rr"] == best["rr"]


def test_the_map_can_show_each_metric(open_page: Open) -> None:
    page = open_page()
    for metric, unit in (("logit", "effect on the logit"), ("log-probability", "nats")):
        page.button_group(key="metric").set_value(metric).run()
        assert_whole(page)
        specs = " ".join(element.proto.spec for element in page.get("vega_lite_chart"))
        assert unit in specs


def test_an_expected_answer_is_measured_instead_of_the_models_own(open_page: Open) -> None:
    page = open_page()
    page.text_input(key="answer").set_value("gigantic").run()
    assert_whole(page)
    assert any("only the first" in plain(warning.value) for warning in page.warning)
    assert "--answer gigantic" in page.code[1].value


def test_an_example_fills_the_form_and_varies(open_page: Open) -> None:
    page = open_page()
    page.selectbox(key="example 0").set_value("adj_comp").run()
    assert_whole(page)
    assert "comparative" in page.text_input(key="instruction").value
    first = page.text_input(key="query").value
    _button(page, "Another query").click().run()
    assert page.text_input(key="query").value != first
    wording = page.text_input(key="instruction").value
    _button(page, "Another wording").click().run()
    assert page.text_input(key="instruction").value != wording
    assert_whole(page)


def test_the_first_page_shows_a_bundled_task(open_page: Open) -> None:
    from ivcore.prompts.tasks import load_task, query_text

    task = load_task("can_fly")
    assert task.instruction == DEFAULT_INSTRUCTION
    assert query_text(task.field, "owl") == DEFAULT_QUERY
    page = open_page(instruction="Mine.")
    assert page.selectbox(key="example 0").value is None


def test_own_text_gets_a_chooser_anew_so_that_a_late_word_from_the_browser_cannot_undo_it(open_page: Open) -> None:
    page = open_page()
    page.text_input(key="instruction").set_value("Given an animal, state its color.").run()
    assert page.selectbox(key="example 1").value is None
    assert not [chooser for chooser in page.selectbox if chooser.key == "example 0"]
    page.text_input(key="query").set_value("Animal: crow. Answer:").run()
    assert page.text_input(key="instruction").value == "Given an animal, state its color."
    page.selectbox(key="example 1").set_value("adj_comp").run()
    assert page.text_input(key="instruction").value != "Given an animal, state its color."


def test_t_inst_can_be_moved_and_another_instruction_starts_afresh(open_page: Open) -> None:
    page = open_page()
    start = page.slider[0].value
    before = said(page)
    page.slider[0].set_value(start - 2).run()
    assert_whole(page)
    assert said(page) != before and f"--t-inst {start - 2}" in page.code[1].value
    assert f"t_inst={start - 2}" in page.code[0].value
    page.text_input(key="instruction").set_value("Say the opposite of what is given.").run()
    assert_whole(page)
    assert "--t-inst" not in page.code[1].value


def test_a_permalink_restores_every_input(open_page: Open, folder: Path) -> None:
    wanted = {"instruction": "Name its colour.", "query": "Animal: crow. Answer:", "answer": "black", "metric": "logit"}
    page = open_page(**wanted, layers=["0", "3"], t_inst="1", filler=" big", dtype="float64")
    assert_whole(page)
    assert [page.text_input(key=key).value for key in ("instruction", "query", "answer", "filler")] == [
        "Name its colour.",
        "Animal: crow. Answer:",
        "black",
        " big",
    ]
    assert layers(page) == [0, 3] and page.slider[0].value == 1
    assert "float64" in plain(" ".join(element.value for element in page.caption))
    for part in ("layers=0&layers=3", "t_inst=1", "metric=logit", "dtype=float64", "answer=black"):
        assert part in page.code[0].value


def test_garbage_in_a_permalink_is_told_and_ignored(open_page: Open) -> None:
    page = open_page(layers=["1", "99", "<script>"], metric="beauty", t_inst="-4", device="abacus", dtype="int3")
    assert_whole(page)
    told = " ".join(plain(warning.value) for warning in page.warning)
    assert all(word in told for word in ("99", "<script>", "beauty", "-4", "abacus", "int3", "0 to 3"))
    assert layers(page) == [1] and page.session_state["metric"] == "RR"
    page.button_group(key="layers").set_value([0]).run()
    assert not page.warning, "it is told once"


def test_no_layers_in_a_permalink_stays_no_layers(open_page: Open) -> None:
    page = open_page(layers="")
    assert_whole(page)
    assert layers(page) == []


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("instruction", "", ("instruction", "empty")),
        ("instruction", "  \t ", ("instruction", "white space")),
        ("instruction", "word " * 20_000, ("instruction", "shorten")),
        ("instruction", "word " * 600, ("tokens", "shorten")),
        ("query", "", ("query", "empty")),
        ("query", " ", ("query", "white space")),
        ("filler", "two words", ("filler", "one token")),
        ("filler", "", ("filler", "empty")),
        ("answer", "x" * 30_000, ("answer", "shorten")),
    ],
)
def test_unusable_texts_get_one_sentence_and_are_kept(
    open_page: Open, field: str, text: str, words: tuple[str, ...]
) -> None:
    page = open_page(layers=["3"])
    page.text_input(key=field).set_value(text).run()
    assert_one_sentence(page, *words)
    assert page.text_input(key=field).value == text
    good = {"instruction": DEFAULT_INSTRUCTION, "query": DEFAULT_QUERY, "filler": "bos", "answer": ""}
    page.text_input(key=field).set_value(good[field]).run()
    assert_whole(page)
    assert layers(page) == [3], "the layers survive the error"


@pytest.mark.parametrize(
    "text",
    [
        "Nenne das Gegenteil, größer!",
        "反対語を言ってください。",
        "قل العكس",
        "🙂👩‍👩‍👧 say 🐘",
        "a\u202eb\u0000c",
        "$x^2$ **b** :smile:",
    ],
)
def test_any_script_works_as_text(open_page: Open, text: str) -> None:
    page = open_page()
    page.text_input(key="instruction").set_value(text).run()
    assert_whole(page)


def test_markup_is_shown_as_text_everywhere(open_page: Open, folder: Path) -> None:
    script = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    page = open_page()
    for key in ("instruction", "query", "answer"):
        page.text_input(key=key).set_value(script).run()
        assert_whole(page)
    assert "<script" not in said(page) and "<img" not in said(page)
    page.text_input(key="ref").set_value(f"{script} [x](http://example.org)").run()
    assert_one_sentence(page, "<script>alert(1)</script>")
    assert "<" not in page.error[0].value and "[" not in page.error[0].value


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("no-such-model", ("no-such-model", "ivy-sft")),
        ("/no/such/folder", ("/no/such/folder",)),
        ("../../etc", ("etc",)),
        ("x" * 5000, ("too long",)),
    ],
)
def test_models_that_are_not_there(open_page: Open, ref: str, words: tuple[str, ...]) -> None:
    page = open_page(layers=["3"], instruction="Keep me.")
    page.text_input(key="ref").set_value(ref).run()
    assert_one_sentence(page, *words)
    assert page.text_input(key="ref").value == ref and page.text_input(key="instruction").value == "Keep me."


def test_a_missing_chat_template_is_said(open_page: Open) -> None:
    page = open_page()
    page.toggle(key="chat").set_value(True).run()
    assert_one_sentence(page, "chat template")
    page.toggle(key="chat").set_value(False).run()
    assert_whole(page)


def test_no_model_named_yet_is_asked_for(open_page: Open) -> None:
    page = open_page(ref="")
    assert not page.error and not page.exception
    assert "Type the folder" in page.info[0].value


def _cut_weights(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _pickle_weights(path: Path) -> None:
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


def _other_family(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(
        json.dumps(config | {"architectures": ["MambaForCausalLM"], "model_type": "mamba"})
    )


def _broken_config(path: Path) -> None:
    (path / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut_weights, ("model.safetensors",)),
        (_pickle_weights, ("safetensors",)),
        (_other_family, ("MambaForCausalLM", "OLMo-2")),
        (_broken_config, ("config.json",)),
    ],
)
def test_damaged_folders(
    open_page: Open, folder: Path, tmp_path: Path, damage: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    damage(broken)
    page = open_page()
    page.text_input(key="ref").set_value(str(broken)).run()
    assert_one_sentence(page, *words)
    page.text_input(key="ref").set_value(str(folder)).run()
    assert_whole(page)


def test_no_network(open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    page = open_page(ref="some-lab/some-model")
    assert not page.error and "Hugging Face" in plain(page.info[0].value), "nothing is fetched unasked"
    _button(page, "Fetch the model").click().run()
    assert_one_sentence(page, "some-lab/some-model")


def test_a_fault_of_the_program_is_logged_and_not_shown(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("secret internals")

    monkeypatch.setattr("ui.patch.result.set_rows", broken)
    page = open_page()
    assert_one_sentence(page, "log")
    assert "secret" not in errors(page)[0] and "secret internals" in caplog.text


def test_a_slow_map_is_offered_with_its_cost(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.calls.QUICK_WORK", 0)
    page = open_page(layers=["0", "2"], instruction="Say the contrary.")
    assert not page.error and not page.exception and not page.get("vega_lite_chart")
    assert "10 single layers and pairs" in plain(page.info[0].value)
    assert "vector at layers 0 and 2" in said(page), "the chosen set is measured all the same"
    _button(page, "Measure the map").click().run()
    assert_whole(page)
    page.button_group(key="layers").set_value([1]).run()
    assert_whole(page)


def test_a_model_with_fewer_layers_keeps_the_page_alive(open_page: Open, tmp_path: Path) -> None:
    page = open_page(layers=["0", "3"])
    small = make_folder(tmp_path / "small", n_layers=2, seed=1)
    page.text_input(key="ref").set_value(str(small)).run()
    assert_whole(page)
    assert all(layer < 2 for layer in layers(page))


def test_a_folder_whose_files_changed_is_loaded_anew(open_page: Open, tmp_path: Path) -> None:
    mine = make_folder(tmp_path / "mine", n_layers=2, seed=5)
    page = open_page(ref=str(mine))
    before = plain(" ".join(element.value for element in page.caption))
    make_folder(mine, n_layers=2, seed=6)
    page.button_group(key="layers").set_value([1]).run()
    assert_whole(page)
    assert plain(" ".join(element.value for element in page.caption)) != before


def test_at_most_two_models_stay_alive(open_page: Open, tmp_path: Path) -> None:
    from ui import calls

    calls.alive().clear()
    page = open_page()
    for seed in (1, 2):
        page.text_input(key="ref").set_value(str(make_folder(tmp_path / str(seed), n_layers=2, seed=seed))).run()
        assert_whole(page)
    loads = []
    real = __import__("ivcore.models", fromlist=["load_model"]).load_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ivcore.models.load_model", lambda *a, **k: loads.append(a[0]) or real(*a, **k))
        page.text_input(key="ref").set_value(str(tmp_path / "1")).run()
        assert loads == []
        open_page()
        assert len(loads) == 1


def _button(page: AppTest, label: str) -> object:
    return next(button for button in page.button if button.label == label)


def _engine_report(page: AppTest) -> list[dict[str, float]]:
    """What the command line's engine says about the page's inputs."""
    from ivcore.models import load_model
    from ivcore.patching import layer_sets, patch
    from ivcore.prompts import build_prompt

    model = load_model(page.text_input(key="ref").value)
    prompt = build_prompt(model.tokenizer, page.text_input(key="instruction").value, page.text_input(key="query").value)
    report = patch(model, prompt, None, layer_sets(model.n_layers, 2))
    return [{"layers": list(row.layers), "rr": row.metrics.rr} for row in report.patched]
