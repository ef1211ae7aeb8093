"""The self-check's report as a table, and the facts of a model: HTML that a phone shows as well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from .text import html, markdown

if TYPE_CHECKING:
    from ivcore.check import CheckItem, CheckReport
    from ivcore.runs import Verdict

__all__ = ["facts_html", "item_name", "report_html", "show_facts", "show_report", "when"]

_STYLE = Path(__file__).with_name("report.css")
_LONG = 24
"""Characters of a fact that takes a line of its own."""


def show_report(report: Verdict) -> None:
    """Every item of the check, and when it was made."""
    st.html(_STYLE)
    st.html(report_html(report))
    st.caption(markdown(when(report)))


def show_facts(facts: Mapping[str, str]) -> None:
    """Names and values, as many side by side as there is room for."""
    st.html(_STYLE)
    st.html(facts_html(facts))


def report_html(report: CheckReport) -> str:
    """The items, failed ones first."""
    items = sorted(report.items, key=lambda item: item.passed)
    names = ("verdict", "what was compared", "deviation", "allowed", "explanation")
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(_row(item) for item in items)
    return f'<div class="iv"><table class="iv-report"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts_html(facts: Mapping[str, str]) -> str:
    """A list of names and values."""
    cells = "".join(
        f"<div{' class=long' if len(value) > _LONG else ''}><dt>{html(name)}</dt><dd>{html(value)}</dd></div>"
        for name, value in facts.items()
    )
    return f'<div class="iv"><dl class="iv-facts">{cells}</dl></div>'


def when(report: Verdict) -> str:
    """When and on what the check was made."""
    made = report.made[:16].replace("T", " ")
    on = f"{report.model.device}, {report.model.dtype}"
    return f"Checked {made} UTC on {on} in {report.seconds:.1f} s; fingerprint {report.fingerprint[:12]}."


def item_name(name: str) -> str:
    """A name as people write it."""
    return name.replace("_", " ")


def _row(item: CheckItem) -> str:
    verdict = '<td class="passed">✓ passed</td>' if item.passed else '<td class="failed">✗ failed</td>'
    return (
        f'<tr>{verdict}<td class="name">{html(item_name(item.name))}</td>'
        f'<td class="number" data-name="deviation">{item.value:.2g}</td>'
        f'<td class="number" data-name="allowed">{item.tolerance:.2g}</td>'
        f'<td class="words">{html(item.explanation)}</td></tr>'
    )
