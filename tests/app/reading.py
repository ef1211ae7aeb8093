"""What a page says, as it reads."""

from __future__ import annotations

import html

from streamlit.testing.v1 import AppTest


def plain(text: str) -> str:
    """Escaped Markdown as it reads."""
    return html.unescape(text).replace("\u2060", "")


def words(page: AppTest) -> str:
    """All Markdown and captions of the page as one text."""
    return plain(" ".join(element.value for element in [*page.markdown, *page.caption]))
