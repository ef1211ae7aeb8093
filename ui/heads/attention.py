"""Where one head looks: its attention pattern on one prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from .. import calls
from ..text import percent, visible
from ..triangle import INK, title
from .maps import SEQUENTIAL
from .missing import Models
from .runs import Side

if TYPE_CHECKING:
    from ivcore.models import LoadedModel

__all__ = ["attention_chart", "attention_of"]

_ASKED = "heads: models asked for"
_LONGEST = 14


def attention_of(models: Models, side: Side, sample: int) -> NDArray[np.float32] | None:
    """The patterns of all heads on a side's prompt, (n_layers, n_heads, n_tokens, n_tokens), rows are queries; None
    where the model is not at hand, which the page then says.
    """
    ref, run = side.wanted.ref, side.run
    assert run is not None
    if calls.is_to_download(ref):
        st.caption("Its attention needs the model itself, which is not on this machine; the Patch page fetches it.")
        return None
    asked: set[str] = st.session_state.setdefault(_ASKED, set())
    if not calls.is_light(ref) and ref not in asked:
        if st.button("Load the model to see its attention", icon=":material/memory:", key=f"load for {side.name}"):
            asked.add(ref)
            st.rerun()
        return None
    loaded = models.load(ref)
    if loaded.fingerprint != run.model["fingerprint"]:
        st.caption("The model’s files have changed since this was traced, so its attention is not shown.")
        return None
    return _patterns(loaded, loaded.fingerprint, loaded.device, loaded.dtype, run.samples[sample].ids)


def attention_chart(
    tokens: Sequence[str], pattern: NDArray[np.floating], edges: NDArray[np.bool_], heading: str
) -> alt.LayerChart:
    """A token by token map: each row is a token that looks, each column one that it looks at.

    Args:
        tokens: of the prompt.
        pattern: attention of the head, (n_tokens, n_tokens), rows sum to 1.
        edges: which of these are edges that paths follow, of the same shape.
        heading: of the chart.
    """
    names = [f"{i} {_cut(token)}" for i, token in enumerate(tokens)]
    frame = pd.DataFrame(
        [
            {
                "looks": names[i],
                "at": names[j],
                "weight": float(pattern[i, j]),
                "words": percent(float(pattern[i, j])),
                "edge": bool(edges[i, j]),
            }
            for i in range(len(names))
            for j in range(i + 1)
        ]
    )
    axis = alt.Axis(labelOverlap=True, grid=False, domain=False, ticks=False, titleFontWeight="normal", labelLimit=90)
    x = alt.X("at:N", sort=names, title="attended token", axis=axis, scale=alt.Scale(domain=names))
    y = alt.Y("looks:N", sort=names, title="attending token", axis=axis, scale=alt.Scale(domain=names))
    base = alt.Chart(frame).encode(x=x, y=y)
    color = alt.Color(
        "weight:Q",
        scale=alt.Scale(domain=[0, 1], range=SEQUENTIAL, interpolate="rgb"),
        legend=alt.Legend(
            orient="bottom",
            direction="horizontal",
            title="attention weight",
            values=[0, 0.5, 1],
            gradientLength=150,
            gradientThickness=9,
        ),
    )
    tooltip = [
        alt.Tooltip("looks:N", title="attending token"),
        alt.Tooltip("at:N", title="attended token"),
        alt.Tooltip("words:N", title="attention"),
    ]
    rects = base.mark_rect(cornerRadius=1).encode(color=color, tooltip=tooltip)
    dots = base.transform_filter("datum.edge").mark_circle(size=10, color=INK, opacity=0.7, tooltip=None)
    n = len(names)
    return alt.LayerChart(layer=[rects, dots]).properties(
        title=title(heading, ["Each row sums to 100%.", "Dots: edges that paths can take."]),
        height=190 + n * max(8, min(20, 420 // n)),
    )


def _cut(token: str) -> str:
    shown = visible(token)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


@st.cache_resource(max_entries=16, show_spinner=False)
def _patterns(
    _loaded: LoadedModel, fingerprint: str, device: str, dtype: str, ids: tuple[int, ...]
) -> NDArray[np.float32]:
    from ivcore.activations import attention_patterns

    found: NDArray[np.float32] = attention_patterns(_loaded, ids).float().cpu().numpy()
    return found
