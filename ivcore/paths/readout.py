"""What a path, or everything that comes from a source, would say at any place on the way: its vector through the final
norm, as frozen at the last position, and the unembedding (a frozen logit lens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .edges import Edges
from .linearise import FrozenNetwork
from .search import Bundle, Step, carried_attention, exact_step

__all__ = ["Said", "path_states", "said", "source_states"]


@dataclass(frozen=True)
class Said:
    """The tokens that a vector promotes and suppresses most, with their logits, strongest first."""

    promoted: tuple[tuple[int, float], ...]
    suppressed: tuple[tuple[int, float], ...]


@torch.no_grad()
def path_states(frozen: FrozenNetwork, edges: Edges, positions: Sequence[int], step: Step = exact_step) -> Tensor:
    """A path's vector at its source and after each block: tensor of shape (n_layers + 1, d_model)."""
    x = frozen.embeddings[positions[0]][None]
    states, one = [x], slice(0, 1)
    carried = carried_attention(frozen, edges)
    for block, attention, (j, i) in zip(frozen.blocks, carried, pairwise(positions), strict=True):
        x = step(block, attention, block.enter(x), [Bundle(j, i, one, one)], 1)
        states.append(x.to(frozen.embeddings.device))
    return torch.cat(states)


@torch.no_grad()
def source_states(frozen: FrozenNetwork, source: int) -> Tensor:
    """What comes from one source over all paths, before each block and after the last: tensor of shape (n_layers + 1,
    n_tokens, d_model).
    """
    x = torch.zeros_like(frozen.embeddings)
    x[source] = frozen.embeddings[source]
    states = [x]
    for block in frozen.blocks:
        x = block.step(block.enter(x))
        states.append(x.to(frozen.embeddings.device))
    return torch.stack(states)


@torch.no_grad()
def said(frozen: FrozenNetwork, vector: Tensor, n_top: int = 10) -> Said:
    """The tokens that a vector (d_model) promotes and suppresses."""
    logits = frozen.unembedding.weight @ frozen.final(vector)
    high, low = logits.topk(n_top), logits.topk(n_top, largest=False)
    return Said(*(tuple(zip(some.indices.tolist(), some.values.tolist(), strict=True)) for some in (high, low)))
