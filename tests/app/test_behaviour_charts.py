"""Charts, table and files of the Behaviour page against numbers counted by hand."""

from __future__ import annotations

import csv
import io
import json

import pytest

from ivcore.behaviour import Step
from ivcore.metrics import TokenScore
from ivcore.runs import behaviour_document
from tests.app.behaviours import make_answers
from ui.behaviour.ask import _chip, _heading
from ui.behaviour.charts import confusion_chart, picked, share_words, shares_chart, shares_frame, tops_chart, whole
from ui.behaviour.files import answers_csv, behaviour_commands, behaviour_downloads, command_of, shares_csv
from ui.behaviour.result import confused_heading, confusions_of, shares_heading
from ui.behaviour.runs import Panel
from ui.behaviour.state import BehaviourInputs, behaviour_link
from ui.behaviour.table import ALL, answer_rows, filtered, verdict_names
from ui.sweep.state import OWN_FILE
from ui.text import short_name
from ui.triangle import CELL

SAID = [" red", " red.", "green", " Blue", " no", "", " yes", " red"]
"""Three right, two more of the right kind, three of the wrong kind."""
SIBLINGS = (("can_fly", ("yes", "no", "no", "no", "no", "no", None, "red")), ("legs", (None,) * 8))
RUN = make_answers(SAID, others=SIBLINGS)
PERFECT = make_answers(["red"] * 10, key="1" * 64)


def panel(task: str, stage: str, run: object = None) -> Panel:
    return Panel(task, stage, f"ivy-{stage.lower()}", RUN.request, run)  # type: ignore[arg-type]


PANELS = (panel("a", "base", RUN), panel("a", "SFT", PERFECT), panel("b", "base"), panel("b", "SFT", PERFECT))
INPUTS = BehaviourInputs("ivy", (("base", "ivy-base"), ("SFT", "ivy-sft")), ("a", "b"), 8, "a", "base")


def test_the_bars_are_the_runs_shares() -> None:
    rows = shares_frame(PANELS).set_index(["task", "stage"])
    one = rows.loc[("a", "base")]
    assert (one["ema"], one["ia"], one["n"]) == (3 / 8, 5 / 8, 8)
    found = RUN.adherence
    assert (one["ema_low"], one["ema_high"]) == (found.ema.low, found.ema.high)
    assert (one["ia_low"], one["ia_high"]) == (found.ia.low, found.ia.high)
    assert (rows.loc[("a", "SFT")][["ema", "ia"]] == 1.0).all()
    assert not rows.loc[("b", "base")]["computed"] and rows.loc[("b", "base")]["right"] == "not computed"


def test_the_chart_draws_them_and_outlines_the_chosen_one() -> None:
    spec = shares_chart(PANELS, heading="Told", task="a", stage="SFT").to_dict(validate=True)
    assert spec["title"]["text"] == "Told" and "title" not in shares_chart(PANELS).to_dict()
    (data,) = [rows for rows in spec["datasets"].values() if "ema" in rows[0]]
    assert [row["chosen"] for row in data] == [False, True, False, False]
    scales = [layer["encoding"]["x"].get("scale", {}) for layer in spec["layer"] if "x" in layer["encoding"]]
    assert any(scale.get("domain") == [0, 1] for scale in scales), "the axis is 0 to 100%, whatever the shares"
    (offset,) = {json.dumps(layer["encoding"]["yOffset"]["sort"]) for layer in spec["layer"]}
    assert json.loads(offset) == ["base", "SFT"]


def test_no_task_gives_an_empty_state() -> None:
    assert "once a task is chosen" in json.dumps(shares_chart([]).to_dict())
    assert "No other task" in json.dumps(confusion_chart([], [""]).to_dict())


def test_the_heading_counts_what_was_computed_and_nothing_else() -> None:
    said = shares_heading(INPUTS, PANELS)
    assert said == "Right at least 90% of the time: base in 0 of 1 and SFT in 2 of 2 tasks"
    assert shares_heading(INPUTS, [panel("a", "base")]) == "No answers yet"


def test_a_click_names_task_and_stage_and_a_click_beside_nothing() -> None:
    assert picked({"selection": {CELL: [{"task": "a", "stage": "SFT"}]}}) == ("a", "SFT")
    assert picked({"selection": {CELL: []}}) is None and picked(None) is None


def test_confusions_stand_with_the_pair_first_and_their_own_n() -> None:
    more = (*SIBLINGS, ("often", ("x", "x", "green", "blue", "no", "x", "x", "x")))
    rows = confusions_of(make_answers(SAID, others=more), "can_fly")
    assert [row.task for row in rows] == ["can_fly", "often", "legs"]
    assert (rows[0].share.hits, rows[0].share.n) == (1, 6), "the last prompt has the same answer, one has none"
    assert confused_heading(rows) == f"Does often instead in {whole(3 / 8)} of the prompts on which the two differ"
    spec = confusion_chart(rows, ["x"], pair="can_fly").to_dict(validate=True)
    (data,) = spec["datasets"].values()
    assert [(row["task"], row["n"]) for row in data] == [("can_fly", 6), ("often", 8)]
    assert data[0]["low"] == rows[0].share.low and data[0]["share"] == pytest.approx(1 / 6)
    never = confusions_of(make_answers(["red"] * 8, others=SIBLINGS[:1]), None)
    assert confused_heading(never) == "Never does what another task asks for"


@pytest.mark.parametrize(("value", "text"), [(0, "0%"), (1, "100%"), (0.996, ">99%"), (0.004, "<1%"), (0.374, "37%")])
def test_a_share_is_never_rounded_to_all_or_nothing(value: float, text: str) -> None:
    assert whole(value) == text


def test_every_answer_has_one_verdict_and_names_the_task_that_it_answers() -> None:
    rows = answer_rows(RUN)
    assert [row.verdicts[0] for row in rows] == [
        "right",
        "right",
        "right kind",
        "right kind",
        "wrong kind",
        "wrong kind",
        "wrong kind",
        "right",
    ]
    assert rows[4].verdicts == ("wrong kind", "answers can_fly") and rows[0].verdicts == ("right",)
    assert (rows[0].answer, rows[5].answer, rows[3].normalised) == ("␣red", "∅", "blue")
    assert verdict_names(RUN) == (ALL, "right", "right kind", "wrong kind", "answers can_fly")


def test_filter_and_search_narrow_the_table() -> None:
    rows = answer_rows(RUN)
    assert filtered(rows, ALL, "") == tuple(range(8))
    assert filtered(rows, "right", "") == (0, 1, 7)
    assert filtered(rows, "answers can_fly", "") == (4,)
    assert filtered(rows, ALL, " ITEM 3 ") == (3,) and filtered(rows, "right", "item 3") == ()
    assert filtered(rows, ALL, "blue") == (3,), "the answer is searched too"


def test_files_hold_the_runs_own_words_and_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(answers_csv(RUN))))
    assert [row["answer"] for row in rows] == SAID
    assert [(row["exact"], row["valid"]) for row in rows][:3] == [("1", "1"), ("1", "1"), ("0", "1")]
    assert rows[4]["answers"] == "can_fly"
    shares = list(csv.DictReader(io.StringIO(shares_csv(PANELS))))
    assert (
        len(shares) == 3 and float(shares[0]["ema"]) == 3 / 8 and float(shares[0]["ia_high"]) == RUN.adherence.ia.high
    )
    files = {offer.file_name: offer.make for offer in behaviour_downloads(INPUTS, PANELS, RUN)}
    assert json.loads(files["behaviour.json"]()) == json.loads(json.dumps(behaviour_document(RUN)))
    assert files["behaviour-shares.svg"]().startswith("<svg")
    assert len(behaviour_downloads(INPUTS, PANELS, None)) == 2


def test_commands_are_those_of_the_task_looked_at() -> None:
    assert behaviour_commands(INPUTS, PANELS, None) == (
        "python -m ivcore evaluate --model ivy-base --task a --samples 8 --json",
        "python -m ivcore evaluate --model ivy-sft --task a --samples 8 --json",
    )
    own = panel(OWN_FILE, "base")
    assert command_of(INPUTS, own, None) is None
    line = command_of(INPUTS, own, {"task-csv": "my file.csv", "subtask": "-x"})
    assert line is not None and "--task-csv 'my file.csv' --subtask=-x" in line


def test_the_permalink_names_every_input() -> None:
    link = behaviour_link("http://here/behaviour", INPUTS)
    for part in ("model=ivy", "stage=base", "tasks=a&tasks=b", "samples=8", "task=a", "device=auto", "dtype=float32"):
        assert part in link
    assert short_name("/a/b/tiny/") == "tiny" and short_name("org/name") == "name" and len(short_name("x" * 90)) < 40


def test_steps_show_their_token_and_its_probability() -> None:
    top = (TokenScore(5, " <b>", 2.0, 0.75), TokenScore(0, "\n", 1.0, 0.2))
    assert "75%" in _chip(0, Step(5, " <b>", top, False)) and "<b>" not in _chip(0, Step(5, " <b>", top, False))
    assert "which ends it" in _heading(1, Step(0, "\n", top[::-1], True)) and "20%" in _heading(
        1, Step(0, "\n", top[::-1], True)
    )
    (data,) = tops_chart(top, "x").to_dict(validate=True)["datasets"].values()
    assert [(row["name"], row["probability"], row["taken"]) for row in data] == [
        ("1. ␣<b>", 0.75, True),
        ("2. ↵", 0.2, False),
    ]


def test_intervals_are_said_with_the_share() -> None:
    assert share_words(PERFECT.adherence.ema) == "100% (72% to 100%)"
    assert share_words(RUN.adherence.confusions[1].share) == "not defined"
