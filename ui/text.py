"""Text for the screen: escaping of untrusted text, tokens made visible, and numbers in words people read.

Prompts, model names and permalinks are untrusted.  Whatever of them reaches HTML goes through ``html``, whatever
reaches Markdown (alerts, captions, labels) through ``markdown``.
"""

from __future__ import annotations

import html as _html
import re
from collections.abc import Sequence

__all__ = [
    "and_list",
    "count",
    "decimal",
    "duration",
    "html",
    "layer_names",
    "markdown",
    "operations",
    "ordinal",
    "p_value",
    "percent",
    "reciprocal",
    "share",
    "short_name",
    "signed",
    "visible",
]

_JOINER = "\u2060"
_PUNCTUATION = re.compile(r"[!#$&(-+\-.:<-@\[-`{-~]")
_LATE_MARKUP = re.compile(r"(?<=:)|(?<=@)|(?<=\bwww)(?=\.)|(?<=-)(?=[->])|(?<=<)(?=-)|(?<==)(?=[=>])|(?<=[<>])(?==)")
_SPACES = {" ": "␣", "\n": "↵", "\r": "↵", "\t": "⇥"}
MINUS = "\u2212"
_LONGEST_NAME = 32


def html(text: object) -> str:
    """``text`` as HTML that shows it literally, in element content and in quoted attributes."""
    return _html.escape(str(text), quote=True)


def markdown(text: object) -> str:
    """``text`` as Markdown that shows it literally, on one line.

    Each punctuation character becomes a character reference, which no Markdown syntax survives.  Emoji codes, icons,
    bare links and arrows are replaced after parsing, so an invisible word joiner breaks those apart.
    """
    line = _LATE_MARKUP.sub(_JOINER, " ".join(str(text).split()))
    return _PUNCTUATION.sub(lambda match: f"&#{ord(match.group())};", line)


def visible(token: str) -> str:
    """A token with its white space drawn and characters that do not print (controls, direction marks) spelled out."""
    return "".join(_SPACES.get(c) or (c if c.isprintable() else f"<U+{ord(c):04X}>") for c in token) or "∅"


def count(n: int) -> str:
    """An integer with thousands separators."""
    return f"{n:,}"


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 1,021st."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"


def decimal(value: float, places: int = 2) -> str:
    """A number with a true minus sign, and never minus zero."""
    text = f"{value:,.{places}f}"
    return (text[1:] if float(text.replace(",", "")) == 0 else MINUS + text[1:]) if text.startswith("-") else text


def signed(value: float, places: int = 2) -> str:
    """A difference: always with its sign, except for zero."""
    text = decimal(value, places)
    return text if text.startswith(MINUS) or not text.strip("0.,") else f"+{text}"


def reciprocal(value: float) -> str:
    """A reciprocal rank: three decimals, or two significant digits where those would be zeros."""
    return f"{value:.3f}" if value >= 0.01 else f"{value:.2g}"


def percent(probability: float) -> str:
    """A probability as a percentage with about two significant digits."""
    points = 100 * probability
    if points >= 99.95 and probability < 1:
        return ">99.9%"
    for places, least in ((0, 10), (1, 1), (2, 0.1), (3, 0.01)):
        if points >= least:
            return f"{points:.{places}f}%"
    return "0%" if probability == 0 else "<0.01%"


def share(value: float | None) -> str:
    """A recovery as a percentage; it may be negative, exceed 100%, or be undefined."""
    return "undefined" if value is None else f"{decimal(100 * value, 0)}%"


def and_list(items: Sequence[object]) -> str:
    """``3``, ``3 and 7``, ``1, 3 and 7``."""
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def layer_names(layers: Sequence[int]) -> str:
    """``no layer``, ``layer 3``, ``layers 3 and 7``."""
    return "no layer" if not layers else f"layer{'s' if len(layers) > 1 else ''} {and_list(layers)}"


def duration(seconds: float) -> str:
    """A time in words: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``4 h 10 min``."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def operations(n: float) -> str:
    """A number of operations: ``3.4 billion``."""
    for name, unit in (("quadrillion", 1e15), ("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if n >= unit:
            return f"{n / unit:.3g} {name}" if n < 1000 * unit else f"{n / unit:,.0f} {name}"
    return f"{n:,.0f}"


def p_value(p: float | None) -> str:
    """A p-value with two significant digits; tiny ones as a bound, undefined ones in words."""
    if p is None:
        return "not defined"
    return "<0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.995 else "1"


def short_name(ref: str) -> str:
    """The last part of a folder or hub id, to stand for a model that has no stage."""
    name = ref.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or ref
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
