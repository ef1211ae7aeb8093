"""How many paths rank the answer high, next to chance; and how much of its logit they carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from ..text import MINUS, count, decimal, markdown, percent, visible

if TYPE_CHECKING:
    from ivcore.runs import PathsRun

    from .runs import Traced

__all__ = ["Coverage", "coverage_of", "coverage_words", "part_told", "part_words", "show_coverage"]

_SMALLEST = 1e-6
"""A share of less than this many logits is not defined."""


@dataclass(frozen=True)
class Coverage:
    """The paths of some sources of one prompt; logits are the answer's."""

    n_paths: int
    n_high: int
    logit_high: float
    """Summed over the high-ranking paths."""
    logit_followed: float
    """Summed over all paths along the edges of this k."""
    logit_all: float | None
    """Summed over all paths there are; None as released."""
    max_rank: int
    vocabulary: int | None
    """Tokens that are ranked; None where the model's configuration is not here."""

    @property
    def high(self) -> float | None:
        """Share of the paths that rank the answer high."""
        return self.n_high / self.n_paths if self.n_paths else None

    @property
    def chance(self) -> float | None:
        """The share that dealing out ranks at random would give."""
        return None if self.vocabulary is None else min(1.0, self.max_rank / self.vocabulary)

    @property
    def of_followed(self) -> float | None:
        """Share of the followed paths' logit that high-ranking ones carry."""
        return _part(self.logit_high, self.logit_followed)

    @property
    def of_all(self) -> float | None:
        """The same of all paths there are."""
        return _part(self.logit_high, self.logit_all)


def coverage_of(run: PathsRun, rows: Sequence[int], vocabulary: int | None) -> Coverage:
    """The sums over some rows of a run."""
    chosen = np.array(rows, dtype=np.intp)
    totals = {name: float(run.arrays[name][chosen].sum()) for name in ("logit_listed", "logit_sum", "logit_all")}
    return Coverage(
        n_paths=int(run.n_paths[chosen].sum()),
        n_high=int(run.n_high_ranking[chosen].sum()),
        logit_high=totals["logit_listed"],
        logit_followed=totals["logit_sum"],
        logit_all=totals["logit_all"] if np.isfinite(totals["logit_all"]) else None,
        max_rank=run.request.max_rank,
        vocabulary=vocabulary,
    )


def show_coverage(traced: Traced, rows: Sequence[int], vocabulary: int | None) -> None:
    """The figures that belong beside every picture of paths."""
    found = coverage_of(traced.run, rows, vocabulary)
    limit = count(found.max_rank)
    with st.container(horizontal=True, gap="small"):
        st.metric(
            "High-ranking paths",
            f"{count(found.n_high)} of {count(found.n_paths)}",
            f"the answer in the first {limit}",
            delta_color="off",
            delta_arrow="off",
            border=True,
            width=205,
        )
        st.metric(
            "Their share of all paths",
            "not defined" if found.high is None else percent(found.high),
            f"by chance {_chance(found)}",
            delta_color="off",
            delta_arrow="off",
            border=True,
            width=170,
        )
        st.metric(
            "Logit they carry",
            part_words(found.of_followed),
            "of the paths followed",
            delta_color="off",
            delta_arrow="off",
            border=True,
            width=205,
            help="The answer's logit in the high-ranking paths, over that in all paths along the edges of this k. "
            "Below 0% or above 100% where other paths cancel.",
        )
        st.metric(
            "Logit they carry",
            part_words(found.of_all),
            "of all paths there are",
            delta_color="off",
            delta_arrow="off",
            border=True,
            width=205,
            help="The same over all paths with every token attended: the exact flow. Not defined as released.",
        )
    st.markdown(coverage_words(found, traced.info.answer))


def coverage_words(found: Coverage, answer: str) -> str:
    """The figures in words, with the caution that belongs to them."""
    word = f"“{markdown(visible(answer))}”"
    if not found.n_paths:
        return "No path leads from there to the answer along these edges."
    if not found.n_high:
        return f"None of the {count(found.n_paths)} paths ranks {word} among the first {count(found.max_rank)}."
    chance = ""
    if found.chance is not None and found.vocabulary is not None:
        chance = (
            f" Were ranks dealt at random, it would be {percent(found.chance)} ({count(found.max_rank)} of "
            f"{count(found.vocabulary)} tokens)."
        )
    logit = f"their logits add up to **{decimal(found.logit_high, 3)}**"
    parts = []
    if found.of_followed is not None:
        parts.append(f"{part_told(found.of_followed)} of the {decimal(found.logit_followed, 3)} of the paths followed")
    if found.of_all is not None and found.logit_all is not None:
        parts.append(f"{part_told(found.of_all)} of the {decimal(found.logit_all, 3)} of all paths there are")
    carried = ", ".join(parts) or "no share of anything, since all paths together carry next to nothing"
    return (
        f"**{percent(found.n_high / found.n_paths)}** of the paths rank {word} high.{chance} What they carry is "
        f"another matter: {logit}, which is {carried}. A path can rank the answer high and carry almost none of "
        "its logit, since a rank says nothing of the path’s size."
    )


def part_words(value: float | None) -> str:
    """A share that may be below 0% or above 100%, with about two significant digits."""
    if value is None:
        return "not defined"
    return f"{MINUS if value < 0 else ''}{percent(abs(value))}"


def part_told(value: float | None) -> str:
    """The same for a sentence, which also says how a share can be beyond all."""
    return part_words(value) + ("" if value is None or 0 <= value <= 1 else " (others cancel them)")


def _chance(found: Coverage) -> str:
    return "not known" if found.chance is None else percent(found.chance)


def _part(part: float, whole: float | None) -> float | None:
    return None if whole is None or abs(whole) < _SMALLEST else part / whole
