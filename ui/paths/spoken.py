"""What a path, a place or an edge would say: its vector through the last norm, as frozen, and the unembedding.

These need the model; the numbers of a run do not.  Places and edges speak for everything that comes from the sources
there, over all paths; a path for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from .pick import Pick
from .runs import Traced, tracer_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ivcore.models import LoadedModel
    from ivcore.paths import Tracer

__all__ = ["Spoken", "head_flows", "source_flow", "spoken"]

_TOP = 6
Words = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Spoken:
    """The tokens promoted and suppressed most, with their logits, strongest first."""

    promoted: Words
    suppressed: Words


def spoken(loaded: LoadedModel, traced: Traced, pick: Pick, sources: tuple[int, ...]) -> tuple[Spoken, ...]:
    """Of a path at every node; of a place or an edge one.

    Args:
        loaded: the model that the run is of.
        traced: the prompt.
        pick: what is looked at.
        sources: where what passes a place or an edge comes from.
    """
    return _spoken(loaded, traced, pick, traced.run.key, traced.sample, pick.name, sources)


def source_flow(loaded: LoadedModel, traced: Traced, source: int) -> NDArray[np.floating]:
    """The exact flow from one source through every edge: shape (n_layers, n_tokens, n_tokens) as [l, i, j]."""
    flow: NDArray[np.floating] = _flow(loaded, traced, traced.run.key, traced.sample, source).edges
    return flow


def head_flows(loaded: LoadedModel, traced: Traced, pick: Pick, source: int) -> tuple[tuple[str, float], ...]:
    """What each head, and the residual stream, passes on along an edge, from one source; strongest first."""
    (layer, j), (_, i) = pick.nodes
    flow = _flow(loaded, traced, traced.run.key, traced.sample, source)
    found = [(f"head {head}", float(value)) for head, value in enumerate(flow.heads[layer, :, i, j])]
    found += [("residual stream", float(flow.residual[layer, i]))] if i == j else []
    return tuple(sorted(found, key=lambda pair: -abs(pair[1])))


def _tracer(loaded: LoadedModel, traced: Traced) -> Tracer:
    request = traced.run.request
    return tracer_of(loaded, traced.info.ids, request.top_k, request.surrogate)


@st.cache_resource(max_entries=256, show_spinner=False)
def _spoken(
    _loaded: LoadedModel, _traced: Traced, _pick: Pick, key: str, sample: int, name: str, sources: tuple[int, ...]
) -> tuple[Spoken, ...]:
    from ivcore.paths import said
    from ivcore.prompts.display import token_texts

    tracer = _tracer(_loaded, _traced)
    told = [said(tracer.frozen, vector, _TOP) for vector in _vectors(tracer, _pick, sources)]

    def words(pairs: Sequence[tuple[int, float]]) -> Words:
        texts = token_texts(_loaded.tokenizer, [token for token, _ in pairs])
        return tuple(zip(texts, (logit for _, logit in pairs), strict=True))

    with _loaded.lock:
        return tuple(Spoken(words(one.promoted), words(one.suppressed)) for one in told)


def _vectors(tracer: Tracer, pick: Pick, sources: tuple[int, ...]) -> Sequence[Any]:
    from ivcore.paths import source_states

    if pick.kind == "path":
        return list(tracer.path_states([at for _, at in pick.nodes]))
    frozen = tracer.frozen
    row, at = pick.nodes[0]
    here = sum(source_states(frozen, source)[row] for source in sources)[at]  # type: ignore[index]
    if pick.kind == "place":
        return [here]
    # What the block makes of this position alone; all others are zero.
    alone = frozen.embeddings.new_zeros(frozen.embeddings.shape)
    alone[at] = here
    return [frozen.blocks[row].step(alone)[pick.nodes[1][1]]]


@st.cache_resource(max_entries=64, show_spinner=False)
def _flow(_loaded: LoadedModel, _traced: Traced, key: str, sample: int, source: int) -> Any:
    return _tracer(_loaded, _traced).flow(source, _traced.info.answer_id)
