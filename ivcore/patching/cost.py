"""What a sweep costs before it starts: operations that cannot be avoided, and a guess at the time.

Operations count the products with weights and of attention, two for each multiply-add: in each block queries, keys and
values once a parent branch, output projection and MLP once a child branch (in the last block for the last token alone),
the filler's variants once for all samples, and the unembedding of one token for each set that can differ.  See
``shared_prefix`` for these words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .sets import LayerSet

__all__ = ["Shape", "minimal_operations"]


@dataclass(frozen=True)
class Shape:
    """Sizes of a model that decide what a sweep costs."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    vocab_size: int
    gated: bool = True
    """The MLP has three matrices, not two."""


def minimal_operations(shape: Shape, sets: Sequence[LayerSet], n_tokens: int, n_samples: int = 1) -> int:
    """Operations of a sweep over ``n_samples`` targets of ``n_tokens``, patched at their first token."""
    d, n_query, last = shape.d_model, n_tokens - 1, shape.n_layers - 1
    width = shape.n_heads * shape.d_head
    query, key_value = 2 * d * width, 4 * d * shape.n_kv_heads * shape.d_head
    write = 2 * d * width + 2 * (3 if shape.gated else 2) * d * shape.d_mlp
    attention = 4 * width * n_tokens

    def branches(limit: int) -> int:
        return len({tuple(layer for layer in layers if layer < limit) for layers in sets})

    def variants(limit: int) -> int:
        return len({max((layer for layer in layers if layer < limit), default=-1) for layers in sets})

    shared = sum(variants(layer) * (query + key_value + write) for layer in range(last)) + variants(last) * key_value
    each = 0
    for layer in range(last):
        each += n_query * (branches(layer - 1) * (query + key_value) + branches(layer) * (write + attention))
    each += branches(last - 1) * (n_query * key_value + query) + branches(last) * (write + attention)
    return shared + n_samples * (each + branches(last) * 2 * d * shape.vocab_size)
