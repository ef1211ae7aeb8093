"""A loaded transformer as the few steps that patching and path tracing need, built on the model's own modules.

``embed`` -> for each layer ``read`` (norm, q/k/v, rotary), the caller's own mixing of heads, ``write`` (output
projection, residual, MLP) -> ``logits``.  ``mix`` is plain attention between them.  Only this module and ``families``
know where a family keeps its parts.  Shapes: x is (..., n_tokens, d_model); q (..., n_heads, n_tokens, d_head); k and v
(..., n_kv_heads, n_tokens, d_head).
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from .families import Family
from .products import linear

__all__ = ["Network", "Rotary"]


@dataclass(frozen=True)
class Rotary:
    """Rotation of each position, ready to be applied; slice it like the tokens it belongs to."""

    cos: Tensor
    """Tensor of shape (n_tokens, d_head)."""
    sin: Tensor

    def __getitem__(self, tokens: slice) -> Rotary:
        return Rotary(self.cos[tokens], self.sin[tokens])


class Network:
    """The steps of one loaded model; holds references to its modules, no weights of its own."""

    def __init__(self, hf: nn.Module, family: Family) -> None:
        self.family = family
        self._embedding = _part(hf, family.embedding)
        self._rotary = _part(hf, family.rotary)
        self._final_norm = _part(hf, family.final_norm)
        self._unembedding = _part(hf, family.unembedding)
        self._blocks = [_Block(block, family) for block in self.blocks_of(hf)]
        config: Any = hf.config
        self.n_layers = len(self._blocks)
        self.n_heads = int(config.num_attention_heads)
        self.n_kv_heads = int(getattr(config, "num_key_value_heads", None) or self.n_heads)
        self.d_model = int(config.hidden_size)
        self.d_head = int(getattr(config, "head_dim", None) or self.d_model // self.n_heads)
        self.d_mlp = int(config.intermediate_size)
        self.vocab_size = int(self._unembedding.weight.shape[0])

    def blocks_of(self, root: Any) -> Any:
        """The list of blocks below ``root``, which is the model or something shaped like it (a tracing wrapper)."""
        return attrgetter(self.family.blocks)(root)

    def attention_of(self, block: Any) -> Any:
        """The attention module of one of ``blocks_of``."""
        return attrgetter(self.family.attention)(block)

    def scale(self, layer: int) -> float:
        """The factor on query-key products in this layer."""
        return self._blocks[layer].scale

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (..., n_tokens) -> residual before the first block."""
        embedded: Tensor = self._embedding(ids)
        return embedded

    def rotary(self, n_tokens: int, like: Tensor) -> Rotary:
        """The rotation of positions 0 to n_tokens - 1, on the device and for the dtype of ``like``."""
        positions = torch.arange(n_tokens, device=like.device)[None]
        cos, sin = self._rotary(like, position_ids=positions)
        return Rotary(cos[0], sin[0])

    def read(self, layer: int, x: Tensor, positions: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """Residual entering the block -> queries, keys, values; norms and rotation applied."""
        return (self.read_queries(layer, x, positions), *self.read_keys_values(layer, x, positions))

    def read_queries(self, layer: int, x: Tensor, positions: Rotary) -> Tensor:
        """The queries alone."""
        block = self._blocks[layer]
        q = self._split(block.q_norm(linear(block.q_proj, block.attn_in_norm(x))), self.n_heads)
        return _rotate(q, positions)

    def read_keys_values(self, layer: int, x: Tensor, positions: Rotary) -> tuple[Tensor, Tensor]:
        """The keys and values alone."""
        block = self._blocks[layer]
        normed = block.attn_in_norm(x)
        k = self._split(block.k_norm(linear(block.k_proj, normed)), self.n_kv_heads)
        return _rotate(k, positions), self._split(linear(block.v_proj, normed), self.n_kv_heads)

    def mix(self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention: queries over keys, values mixed by it; see ``pattern`` for the mask."""
        n_groups = self.n_heads // self.n_kv_heads
        weights = self.pattern(layer, q, k, mask).to(v.dtype)
        grouped = weights.unflatten(-3, (self.n_kv_heads, n_groups)).flatten(-3, -2)
        return (grouped @ v).unflatten(-2, (n_groups, -1)).flatten(-4, -3)

    def pattern(self, layer: int, q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention pattern (..., n_heads, n_queries, n_keys); ``mask`` (n_queries, n_keys) is True where hidden."""
        n_groups = self.n_heads // self.n_kv_heads
        grouped = q.unflatten(-3, (self.n_kv_heads, n_groups)).flatten(-3, -2)
        scores = (grouped @ k.transpose(-1, -2)).unflatten(-2, (n_groups, -1)).flatten(-4, -3) * self.scale(layer)
        if mask is not None:
            scores = scores.masked_fill(mask, -torch.inf)
        return torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))

    def write(self, layer: int, x: Tensor, mixed_heads: Tensor) -> Tensor:
        """Residual entering the block and its mixed heads (..., n_heads, n_tokens, d_head) -> residual after it."""
        block = self._blocks[layer]
        mixed = mixed_heads.transpose(-3, -2).flatten(-2)
        middle = x + block.attn_out_norm(linear(block.o_proj, mixed))
        out: Tensor = middle + block.mlp_out_norm(self._mlp(block, block.mlp_in_norm(middle)))
        return out

    def _mlp(self, block: _Block, x: Tensor) -> Tensor:
        gates: Tensor = block.activation(linear(block.gate_proj, x))
        return linear(block.down_proj, gates * linear(block.up_proj, x))

    def logits(self, x: Tensor) -> Tensor:
        """Residual after the last block -> logits (..., n_tokens, vocab_size)."""
        return linear(self._unembedding, self._final_norm(x))

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (n_rows, n_tokens) -> logits, through the steps above; what ``check`` compares with the model."""
        x = self.embed(ids)
        positions = self.rotary(ids.shape[-1], x)
        hidden = causal_mask(ids.shape[-1], ids.device)
        for layer in range(self.n_layers):
            q, k, v = self.read(layer, x, positions)
            x = self.write(layer, x, self.mix(layer, q, k, v, hidden))
        return self.logits(x)

    def _split(self, x: Tensor, n_heads: int) -> Tensor:
        """(..., n_tokens, n_heads * d_head) -> (..., n_heads, n_tokens, d_head)."""
        return x.unflatten(-1, (n_heads, self.d_head)).transpose(-3, -2)


def causal_mask(n_tokens: int, device: torch.device) -> Tensor:
    """True where the key (column) lies after the query (row)."""
    return torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=device).triu(1)


class _Block:
    """The parts of one block, with the identity where the family has no such norm."""

    def __init__(self, block: nn.Module, family: Family) -> None:
        self.attn_in_norm = _norm(block, family.attn_in_norm)
        self.attn_out_norm = _norm(block, family.attn_out_norm)
        self.mlp_in_norm = _norm(block, family.mlp_in_norm)
        self.mlp_out_norm = _norm(block, family.mlp_out_norm)
        self.q_norm = _norm(block, family.q_norm)
        self.k_norm = _norm(block, family.k_norm)
        self.q_proj = _part(block, family.q_proj)
        self.k_proj = _part(block, family.k_proj)
        self.v_proj = _part(block, family.v_proj)
        self.o_proj = _part(block, family.o_proj)
        self.gate_proj = _part(block, family.gate_proj)
        self.up_proj = _part(block, family.up_proj)
        self.down_proj = _part(block, family.down_proj)
        self.activation = _part(block, family.activation)
        self.scale = float(_part(block, family.attention).scaling)


def _part(root: nn.Module, path: str) -> Any:
    return attrgetter(path)(root)


def _norm(block: nn.Module, path: str | None) -> Any:
    return nn.Identity() if path is None else _part(block, path)


def _rotate(x: Tensor, positions: Rotary) -> Tensor:
    """Rotary embedding: each pair (i, i + d_head / 2) of a head is turned by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x * positions.cos + turned * positions.sin).to(x.dtype)
