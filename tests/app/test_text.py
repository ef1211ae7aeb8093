"""Escaping and numbers in words."""

from __future__ import annotations

import html as stdlib_html
import re

import pytest

from ui import text

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)",
    "[link](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "**bold** _it_ `code` ~~gone~~ $x^2$",
    "# head\n- list\n1. one\n> quote\n| a | b |",
    ":smile: :red[x] :material/home: :red-badge[x]",
    "http://example.org www.example.org me@example.org",
    "a -> b <- c",
    "&lt;b&gt; &amp; \\*",
    "1. first",
]


@pytest.mark.parametrize("given", HOSTILE)
def test_html_leaves_no_markup_and_loses_nothing(given: str) -> None:
    shown = text.html(given)
    assert not re.search(r"[<>\"']", shown)
    assert stdlib_html.unescape(shown) == given


@pytest.mark.parametrize("given", HOSTILE)
def test_markdown_leaves_no_syntax_and_loses_nothing(given: str) -> None:
    shown = text.markdown(given)
    assert not re.search(r"[<>*_`~$#\[\]|!\\+=^{}.:-]", re.sub(r"&#\d+;", "", shown))
    assert "\n" not in shown
    assert stdlib_html.unescape(shown).replace("\u2060", "") == " ".join(given.split())


def test_what_markdown_replaces_after_parsing_is_broken_apart() -> None:
    shown = stdlib_html.unescape(text.markdown(":smile: http://a.b www.a.b x@a.b -> <- :material/home:"))
    for found in (r":[\w+-]+:", r"https?://", r"www\.", r"@\w", "->", "<-", r":material/"):
        assert not re.search(found, shown), found


def test_tokens_are_made_visible() -> None:
    assert text.visible(" big") == "␣big"
    assert text.visible("\n\t") == "↵⇥"
    assert text.visible("a\u202eb\u200b") == "a<U+202E>b<U+200B>"
    assert text.visible("") == "∅"


@pytest.mark.parametrize(
    ("n", "shown"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (113, "113th"), (1021, "1,021st")]
)
def test_ordinals(n: int, shown: str) -> None:
    assert text.ordinal(n) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.254, "+0.25"), (-3.0, "−3.00"), (0.0, "0.00"), (-0.001, "0.00"), (1234.5, "+1,234.50")]
)
def test_signed(value: float, shown: str) -> None:
    assert text.signed(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.0, "100%"),
        (0.99999, ">99.9%"),
        (0.93, "93%"),
        (0.041, "4.1%"),
        (0.0012, "0.12%"),
        (1e-6, "<0.01%"),
        (0.0, "0%"),
    ],
)
def test_percent(value: float, shown: str) -> None:
    assert text.percent(value) == shown


def test_recovery_in_words() -> None:
    assert [text.share(v) for v in (None, 0.494, -0.2, 1.31)] == ["undefined", "49%", "−20%", "131%"]


def test_small_reciprocal_ranks_keep_their_digits() -> None:
    assert [text.reciprocal(1 / r) for r in (1, 3, 57, 4096)] == ["1.000", "0.333", "0.018", "0.00024"]


def test_layer_names() -> None:
    assert [text.layer_names(s) for s in ((), (3,), (3, 7), (1, 3, 7))] == [
        "no layer",
        "layer 3",
        "layers 3 and 7",
        "layers 1, 3 and 7",
    ]
