"""What is looked at closely: a path, a place or an edge, with its numbers and the words it speaks for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from .. import calls
from ..text import and_list, count, html, markdown, signed, visible
from .graph import row_name
from .kept import Paths
from .pick import Pick
from .run import Badge, loaded_model
from .runs import Traced
from .spoken import Spoken, head_flows, spoken
from .state import PathsInputs

if TYPE_CHECKING:
    from ivcore.models import LoadedModel

__all__ = ["heads_words", "model_at_hand", "route_words", "show_pick"]

_ASKED = "paths: model asked for"


def show_pick(
    badge: Badge, inputs: PathsInputs, traced: Traced, pick: Pick, kept: Paths, sources: tuple[int, ...]
) -> None:
    """The details of one pick.

    Args:
        badge: where the self-check's verdict goes, once the model is loaded.
        inputs: of the page.
        traced: the prompt.
        pick: what is looked at.
        kept: the high-ranking paths among which its own are counted.
        sources: where what passes a place or an edge comes from.
    """
    with st.container(border=True):
        st.markdown(f"**{markdown(_headline(traced, pick))}**")
        st.markdown(_numbers(traced, pick, kept))
        loaded = model_at_hand(badge, inputs, traced)
        if pick.kind == "path":
            _show_path(traced, pick, kept, spoken(loaded, traced, pick, sources) if loaded else ())
        elif loaded is not None:
            (one,) = spoken(loaded, traced, pick, sources)
            origin = and_list([f"token {at}" for at in sources]) if len(sources) <= 4 else f"{len(sources)} sources"
            st.caption(f"What comes from {origin} over all paths, as defined, says here:")
            st.html(_said_html(one))
            if pick.kind == "edge" and len(sources) == 1:
                _show_heads(loaded, traced, pick, sources[0])


def model_at_hand(badge: Badge, inputs: PathsInputs, traced: Traced) -> LoadedModel | None:
    """The model, where it loads in a moment or was asked for; else a button that asks."""
    if calls.is_to_download(inputs.ref):
        st.caption("What it promotes needs the model itself, which is not on this machine; the Patch page fetches it.")
        return None
    if not calls.is_light(inputs.ref) and st.session_state.get(_ASKED) != inputs.ref:
        key = f"load for {traced.run.key[:12]} {traced.sample}"
        if st.button("Load the model to see what it promotes", icon=":material/memory:", key=key):
            st.session_state[_ASKED] = inputs.ref
            st.rerun()
        return None
    loaded = loaded_model(badge, inputs)
    if loaded is not None and loaded.fingerprint != traced.run.model["fingerprint"]:
        st.caption("The model’s files have changed since this was traced, so it is not asked what it promotes.")
        return None
    return loaded


def route_words(traced: Traced, positions: Sequence[int], paths: Paths) -> str:
    """A path in one line: where it changes its token, and by which heads."""
    steps = [_token(traced, positions[0])]
    for layer, (j, i) in enumerate(pairwise(positions)):
        if i != j:
            steps.append(f"layer {layer} ({heads_words(paths.edge_heads(layer, j, i))}) → {_token(traced, i)}")
    return " → ".join(steps) if len(steps) > 1 else f"stays at {steps[0]}"


def heads_words(heads: Sequence[int]) -> str:
    """The heads of an edge in words."""
    if not heads:
        return "residual stream"
    return f"head{'' if len(heads) == 1 else 's'} {and_list(heads)}"


def _headline(traced: Traced, pick: Pick) -> str:
    row, at = pick.nodes[0]
    if pick.kind == "place":
        return f"{_token(traced, at)}, {row_name(row) if row == 0 else f'after {row_name(row)}'}"
    if pick.kind == "edge":
        i = pick.nodes[1][1]
        step = f"stays at {_token(traced, at)}" if i == at else f"{_token(traced, at)} → {_token(traced, i)}"
        return f"Layer {row}: {step}"
    n_moves = sum(before[1] != after[1] for before, after in pairwise(pick.nodes))
    times = {0: "never changing its token", 1: "changing its token once"}.get(n_moves, f"over {n_moves + 1} tokens")
    return f"A path from {_token(traced, at)} to {_token(traced, pick.nodes[-1][1])}, {times}"


def _numbers(traced: Traced, pick: Pick, kept: Paths) -> str:
    """Rank and logit of a path; of a place or an edge those of its paths, and the exact flow."""
    if pick.kind == "path":
        (row,) = (kept.positions == [at for _, at in pick.nodes]).all(axis=1).nonzero()[0][:1].tolist() or [None]
        if row is None:
            return ""
        return (
            f"It ranks the answer **{count(int(kept.ranks[row]))}** with a logit of **{signed(kept.logits[row], 4)}**."
        )
    layer, j = pick.nodes[0]
    if pick.kind == "place":
        mask, where = kept.through_place(layer, j), "pass here"
    else:
        mask, where = kept.through_edge(layer, j, pick.nodes[1][1]), "take this edge"
    mine = kept.take(mask)
    told = f"{count(len(mine))} of {count(len(kept))} high-ranking paths {where}"
    if len(mine):
        told += (
            f", with a logit of **{signed(float(mine.logits.sum()), 4)}** together and rank {mine.ranks.min()} at best"
        )
    if pick.kind == "edge":
        told += f". By {heads_words(kept.edge_heads(layer, j, pick.nodes[1][1]))}"
    flow = traced.run.flow(traced.sample)
    through = flow[layer, pick.nodes[1][1], j] if pick.kind == "edge" else _through(flow, layer, j)
    return f"{told}. Exact flow from T_inst over all paths: **{signed(float(through), 4)}** logits."


def _through(flow: NDArray[np.floating], row: int, position: int) -> float:
    """What leaves a place; of the last row what enters it."""
    return float(flow[row, :, position].sum() if row < len(flow) else flow[-1, position].sum())


def _show_path(traced: Traced, pick: Pick, kept: Paths, said: Sequence[Spoken]) -> None:
    """The path step by step."""
    rows = []
    for (row, at), one in zip_longest(pick.nodes, said):
        before = pick.nodes[row - 1][1] if row else at
        by = "" if row == 0 else heads_words(kept.edge_heads(row - 1, before, at))
        told = {"after": row_name(row), "token": _token(traced, at), "carried by": by}
        if one is not None:
            told |= {"promotes": _listed(one.promoted), "suppresses": _listed(one.suppressed)}
        rows.append(told)
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height=38 + 35 * len(rows),
        column_config={
            "carried by": st.column_config.TextColumn(help="The residual stream carries it too where it stays."),
            "promotes": st.column_config.TextColumn(help="With their logits, strongest first.", width="large"),
        },
    )


def _show_heads(loaded: LoadedModel, traced: Traced, pick: Pick, source: int) -> None:
    found = [f"{name} {signed(value, 3)}" for name, value in head_flows(loaded, traced, pick, source) if value]
    if found:
        st.caption(f"Exact flow along this edge, by carrier (logits): {'; '.join(found)}.")


def _listed(words: Sequence[tuple[str, float]]) -> str:
    return "  ".join(f"{visible(token)} {signed(logit, 2)}" for token, logit in words)


def _said_html(one: Spoken) -> str:
    lines = []
    for name, words in (("promotes", one.promoted), ("suppresses", one.suppressed)):
        tokens = "".join(
            f'<span class="iv-token"><b class="mono">{html(visible(token))}</b><i>{html(signed(logit, 2))}</i></span>'
            for token, logit in words
        )
        lines.append(f'<div class="name">{name}</div><div class="iv-tokens">{tokens}</div>')
    return f'<div class="iv"><div class="iv-prompt">{"".join(lines)}</div></div>'


def _token(traced: Traced, at: int) -> str:
    return f"{at} “{visible(traced.info.tokens[at])}”"
