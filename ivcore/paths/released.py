"""Paths as the code released with arXiv 2602.07930 follows them (REFERENCE, departure 5).

Edges by argmax, so k = 1 only.  Every edge, also between different positions, applies ``(I + MLP_i) (I + attn_out_i
W_O W_V)`` with all heads at weight 1: neither the edge's heads nor the attention weights count.  The epsilon of every
norm is 1e-6, whatever the model's.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .linearise import FrozenBlock
from .search import Bundle, add_mlp, values_of

__all__ = ["RELEASED_EPS", "released_step"]

RELEASED_EPS = 1e-6


def released_step(block: FrozenBlock, carried: Tensor, x: Tensor, bundles: Sequence[Bundle], mlp_rows: int) -> Tensor:
    """A ``search.Step``: each edge's map as released; for blocks whose MLP follows attention."""
    values = block.repeat(values_of(block, x, bundles)).flatten(1)
    out = x.new_empty(bundles[-1].children.stop, x.shape[1])
    for bundle in bundles:
        heads = values[bundle.parents].unflatten(-1, (block.n_heads, -1))
        out[bundle.children] = x[bundle.parents] + block.write(heads, bundle.i)
    add_mlp(block, out, bundles, mlp_rows)
    return out
