"""The page's HTML: the prompt as tokens, the finding in words, cards and top tokens."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ivcore.prompts import Answer
from tests.app.reports import make_prompt, make_report, measured
from ui.cards import cards_html, said_html, tops_html, tracks_html
from ui.numbers import no_patch_row, set_rows
from ui.tokens import prompt_html

SCRIPT = "<script>alert('x')</script>"
ANSWER = Answer(text="small", id=7, token=" small", n_tokens=1)


class _Reader(HTMLParser):
    """Tags, attributes and text of a piece of HTML; fails where tags do not match."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def plain(source: str) -> str:
    return _Reader(source).text


def marked(source: str, mark: str) -> list[str]:
    """The text of each token with this mark."""
    return re.findall(rf'<span class="iv-token [^"]*\b{mark}\b[^"]*"[^>]*><b class="mono">([^<]*)</b>', source)


def test_the_places_that_matter_are_marked() -> None:
    source = prompt_html(make_prompt(), ANSWER, 1, 10)
    assert marked(source, "inst") == ["Say", "␣it", "."]
    assert marked(source, "spot") == [".", "&lt;s&gt;"]
    assert marked(source, "last") == [":", ":"]
    assert marked(source, "reply") == ["␣small", "␣small"]
    assert "ranked 1st" in plain(source) and "ranked 10th" in plain(source)


def test_a_moved_source_moves_the_mark_and_leaves_the_segment() -> None:
    source = prompt_html(replace(make_prompt(), t_inst=1), ANSWER, 1, 10)
    assert marked(source, "inst") == ["Say", "␣it", "."]
    assert marked(source, "spot") == ["␣it", "&lt;s&gt;"]


def test_a_very_long_prompt_is_cut_but_keeps_its_marks() -> None:
    prompt = make_prompt(tuple(f"t{i}" for i in range(3000)), t_inst=1500)
    source = prompt_html(prompt, ANSWER, 1, 10)
    assert marked(source, "spot") == ["t1500", "&lt;s&gt;"]
    assert "more tokens" in source and source.count("iv-token") < 900


def test_texts_of_the_prompt_and_the_model_are_shown_not_run() -> None:
    report = make_report(
        {(0,): measured(2, 3.0)}, token=SCRIPT, prompt=make_prompt(("Say", SCRIPT, ".", '" onclick="x', ":"))
    )
    (row,) = set_rows(report)
    pieces = [
        prompt_html(report.prompt, report.answer, 1, 2),
        said_html(report, row),
        cards_html(report, row, 50),
        tracks_html(row),
        tops_html(report, row, report.full.top),
    ]
    for piece in pieces:
        read = _Reader(piece)
        assert "script" not in read.tags and not any(name.startswith("on") for name in read.attributes)
    assert "alert('x')" in plain(pieces[0]) and "alert('x')" in plain(pieces[-1])


@pytest.mark.parametrize(
    ("rank", "words"),
    [
        (1, "all that the instruction did for its rank comes back"),
        (2, "44% of what the instruction did for its reciprocal rank comes back. Try other layers."),
        (30, "further down than without"),
    ],
)
def test_the_finding_in_words(rank: int, words: str) -> None:
    report = make_report({(2, 5): measured(rank, 3.0)})
    said = plain(said_html(report, set_rows(report)[0]))
    assert "With the instruction, ␣small ranks 1st ; with only the query 10th" in said
    assert "vector at layers 2 and 5" in said and words in said


def test_words_for_no_layer_and_for_nothing_to_recover() -> None:
    report = make_report({(2,): measured(1, 6.0)})
    assert "Pick layers" in plain(said_html(report, no_patch_row(report)))
    same = make_report({(2,): measured(1, 6.0)}, target=measured(1, 6.0))
    assert "nothing to bring back" in plain(said_html(same, set_rows(same)[0]))
    lower = make_report({(2,): measured(1, 6.5)}, target=measured(1, 5.0))
    assert "its logit moves 150% of the way back" in plain(said_html(lower, set_rows(lower)[0]))


def test_cards_show_all_three_measurements() -> None:
    report = make_report({(2,): measured(4, -3.25, -2.3)})
    text = plain(cards_html(report, set_rows(report)[0], 4096))
    assert "1st" in text and "10th" in text and "4th of 4,096 tokens" in text
    assert "RR 0.250" in text and "−3.25" in text and "10%" in text


def test_recovery_bars_stay_inside_their_track() -> None:
    for logit in (-100.0, 0.0, 3.0, 100.0):
        report = make_report({(0,): measured(3, logit)})
        for left, width in re.findall(r"left:([\d.]+)%;width:([\d.]+)%", tracks_html(set_rows(report)[0])):
            assert 0 <= float(left) <= 100 and float(left) + float(width) <= 100.1


def test_an_answer_below_the_top_is_added_with_its_rank() -> None:
    report = make_report({(0,): measured(3, 1.0)})
    hidden = replace(report, answer=replace(report.answer, id=99, token=" tiny"))
    text = plain(tops_html(hidden, set_rows(hidden)[0], hidden.full.top))
    assert "⋯ 10th: ␣tiny" in text and "⋯ 3rd: ␣tiny" in text
