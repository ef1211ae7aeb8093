"""One's own paraphrases: pasted, or from CSV files; kept for the session.

They cannot stand in an address, so nothing here is bound to the URL.  What is typed is copied, since Streamlit forgets
the fields of a page that is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import streamlit as st

from ..text import and_list, count, markdown

if TYPE_CHECKING:
    from ivcore.prompts.paraphrases import ParaphraseSet

__all__ = ["dropped_files", "left_out", "pasted_sets"]

LEAST, MOST = 2, 8
"""Numbers of sets that can be compared."""
_SETS, _NEXT, _TEXT = "pasted sets", "next pasted set", "pasted text"
_DROPPED, _FILES = "paraphrase files", "kept paraphrase files"


@dataclass(frozen=True)
class _File:
    name: str
    content: bytes


def pasted_sets() -> tuple[ParaphraseSet, ...]:
    """Let the user paste two to eight sets, one paraphrase a line; nothing while none holds a text.

    Raises:
        DataError: a set cannot be used.
    """
    from ivcore.prompts.paraphrases import pasted_paraphrases

    ids: list[int] = st.session_state.setdefault(_SETS, [0, 1])
    typed = []
    for row in (ids[at : at + 2] for at in range(0, len(ids), 2)):
        for place, number in zip(st.columns(2, gap="medium"), row, strict=False):
            with place:
                typed.append(_one_set(number, ids.index(number) + 1, len(ids) > LEAST))
    st.button(
        "Add a set",
        icon=":material/add:",
        on_click=_add,
        disabled=len(ids) >= MOST,
        help=f"{LEAST} to {MOST} sets can be compared.",
    )
    if not any(text.strip() for _, text in typed):
        st.info(
            "Paste at least ten ways to ask for one thing on the left, and as many for another on the right, each on "
            "a line of its own.",
            icon=":material/content_paste:",
        )
        return ()
    sets = tuple(pasted_paraphrases(text, name) for name, text in typed)
    left_out(sets)
    return sets


def dropped_files() -> tuple[tuple[ParaphraseSet, ...], tuple[str, ...]]:
    """Let the user drop CSV files; the sets and the names of their files, nothing while there are none.

    Raises:
        DataError: a file cannot be used.
    """
    from ivcore.prompts.paraphrases import load_paraphrase_csv

    dropped = st.file_uploader(
        "CSV files, one for each kind of instruction",
        type=["csv"],
        accept_multiple_files=True,
        key=_DROPPED,
        on_change=_keep_files,
        help="UTF-8, with the header index,instruction and one paraphrase a line. The file’s name names the set.",
    )
    files: list[_File] = st.session_state.get(_FILES, [])
    if not files:
        st.caption("A file has the header **index,instruction** and one paraphrase a line.")
        return (), ()
    if not dropped:
        st.caption(f"Still in use: {markdown(and_list([file.name for file in files]))}.")
    sets = tuple(load_paraphrase_csv(file.content, PurePath(file.name).stem) for file in files)
    left_out(sets)
    return sets, tuple(file.name for file in files)


def left_out(sets: Sequence[ParaphraseSet]) -> None:
    """How many paraphrases each set has, and what was left out of it."""
    st.caption(markdown("; ".join(_counted(one) for one in sets)) + ".")


def _counted(one: ParaphraseSet) -> str:
    dropped = []
    if one.n_empty:
        dropped.append(f"{count(one.n_empty)} empty line{'s' if one.n_empty > 1 else ''}")
    if one.n_repeated:
        dropped.append(f"{count(one.n_repeated)} repetition{'s' if one.n_repeated > 1 else ''}")
    n = len(one.texts)
    words = f"{one.name}: {count(n)} paraphrase{'' if n == 1 else 's'}"
    return f"{words} ({and_list(dropped)} left out)" if dropped else words


def _one_set(number: int, place: int, removable: bool) -> tuple[str, str]:
    """Name and text of one set."""
    kept: dict[int, tuple[str, str]] = st.session_state.setdefault(_TEXT, {})
    before = kept.get(number, (f"set {place}", ""))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.text_input("Name of the set", before[0], key=f"name of set {number}")
        if removable:
            st.button("Remove", key=f"remove set {number}", icon=":material/delete:", on_click=_remove, args=(number,))
    text = st.text_area(
        "Paraphrases, one a line",
        before[1],
        key=f"text of set {number}",
        height=190,
        placeholder="Given an adjective, state its antonym.\nName the opposite of this adjective.\n…",
    )
    kept[number] = (name or "", text or "")
    return kept[number]


def _keep_files() -> None:
    """Called when files are dropped or taken away, and not when Streamlit forgets them with the page."""
    dropped = st.session_state[_DROPPED] or []
    st.session_state[_FILES] = [_File(PurePath(one.name).name, one.getvalue()) for one in dropped]


def _add() -> None:
    ids: list[int] = st.session_state[_SETS]
    number = max(ids[-1] + 1, st.session_state.get(_NEXT, 2))
    st.session_state[_NEXT] = number + 1
    ids.append(number)


def _remove(number: int) -> None:
    st.session_state[_SETS].remove(number)
    st.session_state[_TEXT].pop(number, None)
