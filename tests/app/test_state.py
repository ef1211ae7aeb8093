"""Permalinks, command lines, and links that ask for what is not there."""

from __future__ import annotations

import shlex
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from ui.state import OTHER, PatchInputs, commands, link_complaints, link_position, permalink

INPUTS = PatchInputs(
    family="ivy",
    stage="SFT",
    ref="ivy-sft",
    instruction="Say «it» & 'stop'; <b>#1?</b>",
    query="Wort: groß. 答え:",
    answer="",
    t_inst=3,
    layers=(1, 5),
)


def test_a_permalink_names_every_input() -> None:
    address = urlsplit(permalink("http://localhost:1/", INPUTS))
    named = parse_qs(address.query, keep_blank_values=True, strict_parsing=True)
    assert named["instruction"] == [INPUTS.instruction] and named["query"] == [INPUTS.query]
    assert named["layers"] == ["1", "5"] and named["t_inst"] == ["3"] and named["answer"] == [""]
    assert named["model"] == ["ivy"] and named["stage"] == ["SFT"] and "ref" not in named
    assert not address.fragment


def test_a_permalink_to_another_model_names_its_folder() -> None:
    named = parse_qs(urlsplit(permalink("http://x/", replace(INPUTS, family=OTHER, ref="/a b/c"))).query)
    assert named["ref"] == ["/a b/c"] and "stage" not in named


def test_no_layers_and_the_default_t_inst_are_written_as_empty() -> None:
    named = parse_qs(
        urlsplit(permalink("http://x/", replace(INPUTS, layers=(), t_inst=None))).query, keep_blank_values=True
    )
    assert named["layers"] == [""] and named["t_inst"] == [""]


def test_commands_survive_the_shell() -> None:
    chosen, whole = (shlex.split(line) for line in commands(INPUTS, "klein; rm -rf $HOME"))
    assert chosen[:4] == ["python", "-m", "ivcore", "patch"]
    flags = dict(zip(chosen[4:-1:2], chosen[5:-1:2], strict=True))
    assert flags["--instruction"] == INPUTS.instruction and flags["--answer"] == "klein; rm -rf $HOME"
    assert "--chat" in commands(replace(INPUTS, chat=True), None)[0]
    assert flags["--layers"] == "1,5" and flags["--t-inst"] == "3" and "--filler" not in flags
    assert whole[-3:] == ["--depth", "2", "--json"]


def test_text_that_looks_like_a_flag_stays_a_value() -> None:
    (line,) = commands(replace(INPUTS, instruction="--json", layers=()), None)
    assert "--instruction=--json" in shlex.split(line)


def test_the_engine_takes_the_commands() -> None:
    from ivcore.__main__ import _parser

    for line in commands(replace(INPUTS, filler="-", device="cpu", dtype="float64", instruction="-x"), "-y"):
        options = _parser().parse_args(shlex.split(line)[3:])
        assert (options.instruction, options.answer, options.filler, options.t_inst) == ("-x", "-y", "-", 3)


def test_complaints_name_the_value_and_what_there_is() -> None:
    link = {"layers": ["2", "99", "<b>"], "metric": ["rr"], "device": [""], "model": ["x" * 500]}
    told = link_complaints(link, {"layers": range(8), "metric": ("rr", "logit"), "device": ("cpu",), "model": ("ivy",)})
    assert len(told) == 2
    assert "“99”, “<b>”" in told[0] and "0 to 7" in told[0]
    assert len(told[1]) < 200


@pytest.mark.parametrize("value", ["9", "-1", "1e3", "²", "٣", "99999999999999999999", "x", "<script>"])
def test_positions_that_are_none_are_told(value: str) -> None:
    position, complaint = link_position({"t_inst": [value]}, "t_inst", 9)
    assert position is None and complaint is not None and "0 to 8" in complaint


@pytest.mark.parametrize(("values", "position"), [(["8"], 8), (["0"], 0), ([""], None), ([], None)])
def test_positions_that_are_some_are_taken(values: list[str], position: int | None) -> None:
    assert link_position({"t_inst": values}, "t_inst", 9) == (position, None)
