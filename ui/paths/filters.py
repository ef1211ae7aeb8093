"""Which of the paths are drawn: by source, rank, head, layer and number; the rest is counted and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from ..text import count, visible
from .coverage import part_words
from .kept import Paths
from .runs import Traced
from .state import DRAWN, MAX_DRAWN

__all__ = ["Filtered", "choice", "chosen_filters", "drawn_chooser", "path_filters", "token_name"]

_SMALLEST = 1e-6
"""A share of less than this many logits is not defined."""
ANY_SOURCE, ANY_HEAD, ANY_LAYER = "all sources", "any head", "any layer"


@dataclass(frozen=True)
class Filtered:
    """The paths that the filters leave."""

    rows: tuple[int, ...]
    """The rows of the run whose sources are looked at."""
    high: int
    """High-ranking paths of these sources, kept or not."""
    kept: Paths
    """Those of them that the run kept."""
    left: Paths
    """Those that the filters leave."""
    drawn: Paths
    """The strongest of these, largest logit first."""

    @property
    def words(self) -> str:
        """How many are drawn, of how many, and what is not."""
        parts = [f"**{count(len(self.drawn))} of {count(self.high)}** high-ranking paths are drawn"]
        if (more := len(self.left) - len(self.drawn)) > 0:
            parts.append(f"{count(more)} with smaller logits are not")
        if (out := len(self.kept) - len(self.left)) > 0:
            parts.append(f"{count(out)} are filtered out")
        if (lost := self.high - len(self.kept)) > 0:
            parts.append(
                f"{count(lost)} were counted but not kept by this run, which keeps those with the largest logits"
            )
        total = float(self.kept.logits.sum())
        if abs(total) < _SMALLEST or not len(self.drawn):
            return f"{'; '.join(parts)}."
        carried = part_words(float(self.drawn.logits.sum()) / total)
        return f"{'; '.join(parts)}. The drawn ones carry {carried} of the logit of those kept."


def path_filters(traced: Traced) -> Filtered:
    """Draw the filters and apply them."""
    positions = [int(traced.run.position[row]) for row in traced.rows]
    names = {token_name(traced, at): row for at, row in zip(positions, traced.rows, strict=True)}
    rows = traced.rows
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if len(names) > 1:
            source = choice("From", (ANY_SOURCE, *names), "from", 170)
            rows = (names[source],) if source in names else rows
        kept = traced.paths(rows)
        mask = np.ones(len(kept), dtype=bool)
        limit = traced.run.request.max_rank
        if limit > 1:
            mask &= kept.ranks <= _rank_chooser(limit)
        mask &= _through_head(kept) & _moves(kept)
        drawn = drawn_chooser("Paths drawn")
    left = kept.take(mask)
    high = int(traced.run.n_high_ranking[list(rows)].sum())
    return Filtered(rows, high, kept, left, left.strongest(drawn))


def chosen_filters(*keys: str) -> tuple[tuple[str, object], ...]:
    """What some choosers say, by URL parameter."""
    return tuple((key, st.session_state[key]) for key in keys if st.session_state.get(key) is not None)


def choice(label: str, options: Sequence[str], key: str, width: int, help: str | None = None) -> str:
    """A chooser whose first option is the default; a choice that is no longer offered is dropped."""
    if st.session_state.get(key, options[0]) not in options:
        del st.session_state[key]
    chosen = st.selectbox(label, options, key=key, bind="query-params", width=width, help=help)
    return chosen or options[0]


def drawn_chooser(label: str) -> int:
    """How many paths or edges to draw."""
    return int(
        st.slider(
            label,
            1,
            MAX_DRAWN,
            DRAWN,
            key="drawn",
            bind="query-params",
            width=200,
            help="Those with the largest logits, up or down. More than a few dozen are hard to read.",
        )
    )


def token_name(traced: Traced, position: int) -> str:
    """A position with its token, for choosers: ``8 .``."""
    mark = " (T_inst)" if position == traced.info.t_inst else ""
    return f"{position} {visible(traced.info.tokens[position])}{mark}"


def _rank_chooser(limit: int) -> int:
    if not 1 <= st.session_state.get("upto", limit) <= limit:
        del st.session_state["upto"]
    return int(
        st.slider(
            "Rank at most",
            1,
            limit,
            limit,
            key="upto",
            bind="query-params",
            width=160,
            help="Of the answer, in the path alone.",
        )
    )


def _through_head(kept: Paths) -> np.ndarray:
    """The mask of paths through the chosen head; the most used heads are offered first."""
    use = kept.edges.head_use(kept.positions)
    order = np.argsort(-use, axis=None, kind="stable")
    layers, heads = (axis.tolist() for axis in np.unravel_index(order, use.shape))
    pairs = [(layer, head) for layer, head in zip(layers, heads, strict=True) if use[layer, head]]
    names = {f"layer {layer}, head {head}": (layer, head) for layer, head in pairs}
    chosen = choice("Through head", (ANY_HEAD, *names), "head", 160, "The heads that most paths use come first.")
    return kept.through_head(*names[chosen]) if chosen in names else np.ones(len(kept), dtype=bool)


def _moves(kept: Paths) -> np.ndarray:
    """The mask of paths that go to another token in the chosen layer."""
    names = {f"layer {layer}": layer for layer in range(kept.n_layers)}
    chosen = choice("Changes token in", (ANY_LAYER, *names), "moves", 150)
    return kept.moves(names[chosen]) if chosen in names else np.ones(len(kept), dtype=bool)
