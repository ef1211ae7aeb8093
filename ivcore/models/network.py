"""A loaded transformer as the few steps that patching and path tracing need, built on the model's own modules.

``embed`` -> for each layer ``read`` (norm, q/k/v, rotary), the caller's own mixing of heads, ``write`` (output
projection, residual, MLP) -> ``logits``.  ``mix`` is plain attention between them, with ``hidden`` for its mask.  Only
this package knows where a family keeps its parts.  Shapes: x is (..., n_tokens, d_model); q (..., n_heads, n_tokens,
d_head); k and v (..., n_kv_heads, n_tokens, d_head).

Blocks may be on different devices.  A step takes x on its block's device, where ``enter`` brings it, and gives its
result there; ``embed`` and ``logits`` take theirs from anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from .block import Block, Projection, as_norm, optional_part_of, part_of
from .families import Family
from .weights import Affine, BlockWeights, Norm

__all__ = ["Network", "Rotary", "causal_mask"]


@dataclass(frozen=True)
class Rotary:
    """Rotation of each position, ready to be applied; slice it like the tokens it belongs to."""

    cos: Tensor
    """Tensor of shape (n_tables, n_tokens, n_turned): which table is the layer's matter, and only the first n_turned
    numbers of a head are turned (none of them where positions are learned)."""
    sin: Tensor

    def __getitem__(self, tokens: slice) -> Rotary:
        return Rotary(self.cos[:, tokens], self.sin[:, tokens])

    def to(self, device: torch.device) -> Rotary:
        """The same on a device."""
        return Rotary(self.cos.to(device), self.sin.to(device))


class Network:
    """The steps of one loaded model; holds references to its modules, no weights of its own."""

    def __init__(self, hf: nn.Module, family: Family) -> None:
        self.family = family
        self._embedding = part_of(hf, family.embedding)
        self._position_embedding = optional_part_of(hf, family.position_embedding)
        self._rotary = optional_part_of(hf, family.rotary)
        self._final_norm = part_of(hf, family.final_norm)
        self._unembedding = Projection(part_of(hf, family.unembedding))
        config: Any = hf.config
        self.n_heads = int(config.num_attention_heads)
        self.n_kv_heads = int(getattr(config, "num_key_value_heads", None) or self.n_heads)
        self._blocks = [Block(block, family, self.n_heads, self.n_kv_heads) for block in self.blocks_of(hf)]
        self._rotary_kinds = list(dict.fromkeys(block.rotary_kind for block in self._blocks))
        self.n_layers = len(self._blocks)
        self.vocab_size, self.d_model = self.unembedding.weight.shape
        self.d_head = self._blocks[0].d_head
        self.d_mlp = self._blocks[0].d_mlp
        self.logit_cap: float | None = optional_part_of(hf, family.logit_cap)
        """c where ``logits`` are c tanh(logit / c)."""

    def blocks_of(self, root: Any) -> Any:
        """The list of blocks below ``root``, which is the model or something shaped like it (a tracing wrapper)."""
        return attrgetter(self.family.blocks)(root)

    def attention_of(self, block: Any) -> Any:
        """The attention module of one of ``blocks_of``."""
        return attrgetter(self.family.attention)(block)

    def scale(self, layer: int) -> float:
        """The factor on query-key products in this layer."""
        return self._blocks[layer].scale

    def window(self, layer: int) -> int | None:
        """How many tokens a token of this layer sees, itself among them; None where it sees all before it."""
        return self._blocks[layer].window

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """Where its blocks are, each device once, from the first block to the last."""
        return tuple(dict.fromkeys(block.device for block in self._blocks))

    def hidden(self, layer: int, n_tokens: int) -> Tensor:
        """True where a token (row) of this layer does not see another (column): tensor (n_tokens, n_tokens)."""
        return causal_mask(n_tokens, self._blocks[layer].device, self.window(layer))

    def enter(self, layer: int, x: Tensor) -> Tensor:
        """x on the device of this block; itself where it is there already."""
        return x.to(self._blocks[layer].device)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (..., n_tokens), the first at position 0 -> residual before the first block."""
        ids = ids.to(self._embedding.weight.device)
        embedded: Tensor = self._embedding(ids)
        if self._position_embedding is not None:
            embedded = embedded + self._position_embedding(torch.arange(ids.shape[-1], device=ids.device))
        return embedded

    def rotary(self, n_tokens: int, like: Tensor) -> Rotary:
        """The rotation of positions 0 to n_tokens - 1, on the device and for the dtype of ``like``."""
        if self._rotary is None:
            none = like.new_empty(1, n_tokens, 0)
            return Rotary(none, none)
        positions = torch.arange(n_tokens, device=like.device)[None]
        named = [() if kind is None else (kind,) for kind in self._rotary_kinds]
        cos, sin = zip(*(self._rotary(like, positions, *kind) for kind in named), strict=True)
        return Rotary(torch.cat(cos), torch.cat(sin)).to(like.device)

    def read(self, layer: int, x: Tensor, positions: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """Residual entering the block -> queries, keys, values; norms and rotation applied."""
        return (self.read_queries(layer, x, positions), *self.read_keys_values(layer, x, positions))

    def read_queries(self, layer: int, x: Tensor, positions: Rotary) -> Tensor:
        """The queries alone."""
        return self._rotate(layer, self._blocks[layer].queries(x), positions)

    def read_keys_values(self, layer: int, x: Tensor, positions: Rotary) -> tuple[Tensor, Tensor]:
        """The keys and values alone."""
        k, v = self._blocks[layer].keys_values(x)
        return self._rotate(layer, k, positions), v

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
        scores = _capped(scores, self._blocks[layer].score_cap)
        if mask is not None:
            scores = scores.masked_fill(mask, -torch.inf)
        return torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))

    def write(self, layer: int, x: Tensor, mixed_heads: Tensor) -> Tensor:
        """Residual entering the block and its mixed heads (..., n_heads, n_tokens, d_head) -> residual after it."""
        attention = self.write_attention(layer, mixed_heads)
        if self._blocks[layer].parallel:
            return x + (attention + self.write_mlp(layer, x))  # summed in transformers' order: equal in bfloat16 too
        middle = x + attention
        return middle + self.write_mlp(layer, middle)

    def write_attention(self, layer: int, mixed_heads: Tensor) -> Tensor:
        """Mixed heads -> what attention adds to the residual (..., n_tokens, d_model)."""
        return self._blocks[layer].write_attention(mixed_heads)

    def attention_output(self, layer: int, mixed_heads: Tensor) -> Tensor:
        """The same before the norm behind attention, where the family has one."""
        return self._blocks[layer].attention_output(mixed_heads)

    def write_mlp(self, layer: int, x: Tensor) -> Tensor:
        """What the MLP adds to the residual; x is the one that it reads: after attention, or, in a parallel block,
        entering the block."""
        return self._blocks[layer].write_mlp(x)

    def mlp_output(self, layer: int, x: Tensor) -> Tensor:
        """The same before the norm behind the MLP, where the family has one."""
        return self._blocks[layer].mlp_output(x)

    def gates(self, layer: int, x: Tensor) -> Tensor:
        """What the up-projection's output is multiplied with, (..., n_tokens, d_mlp); x as in ``write_mlp``.

        act(gate projection) in a gated MLP; else the secant act(z) / z of the up-projection's output z, and the slope
        of the activation where z is 0.
        """
        return self._blocks[layer].gates(x)

    def uncapped_logits(self, x: Tensor) -> Tensor:
        """Residual after the last block -> logits (..., n_tokens, vocab_size) before soft-capping."""
        weight = getattr(self._final_norm, "weight", None)
        normed = self._final_norm(x if weight is None else x.to(weight.device))
        return self._unembedding(normed.to(self._unembedding.device))

    def logits(self, x: Tensor) -> Tensor:
        """Residual after the last block -> logits (..., n_tokens, vocab_size)."""
        return self.capped(self.uncapped_logits(x))

    def capped(self, logits: Tensor) -> Tensor:
        """Logits after soft-capping, where the family has it."""
        return _capped(logits, self.logit_cap)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (n_rows, n_tokens) -> logits, through the steps above; what ``check`` compares with the model."""
        x = self.embed(ids)
        positions = self.rotary(ids.shape[-1], x)
        for layer in range(self.n_layers):
            x = self.enter(layer, x)
            q, k, v = self.read(layer, x, positions)
            x = self.write(layer, x, self.mix(layer, q, k, v, self.hidden(layer, ids.shape[-1])))
        return self.logits(x)

    def weights(self, layer: int) -> BlockWeights:
        """The linear parts of one block: views of the model's own tensors wherever their order in memory allows."""
        return self._blocks[layer].weights

    @property
    def final_norm(self) -> Norm | None:
        """The norm before the unembedding, on the device of that."""
        norm = as_norm(self._final_norm, self.family)
        return None if norm is None else norm.to(self._unembedding.device)

    @property
    def unembedding(self) -> Affine:
        """What gives the logits, weight (vocab_size, d_model)."""
        return self._unembedding.affine

    @property
    def not_linear(self) -> str | None:
        """Why the model is not linear even with patterns, norm scales and gates held, as a clause; None if it is."""
        return self._blocks[0].not_linear

    def _rotate(self, layer: int, x: Tensor, positions: Rotary) -> Tensor:
        """Rotary embedding: each pair (i, i + n_turned / 2) of a head is turned by its position's angle."""
        table = self._rotary_kinds.index(self._blocks[layer].rotary_kind)
        cos, sin = positions.cos[table].to(x.device), positions.sin[table].to(x.device)
        turned, kept = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
        first, second = turned.chunk(2, dim=-1)
        turned = (turned * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)
        return torch.cat((turned, kept), dim=-1) if kept.shape[-1] else turned


def causal_mask(n_tokens: int, device: torch.device, window: int | None = None) -> Tensor:
    """True where the key (column) lies after the query (row), or ``window`` tokens or more before it."""
    every = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=device)
    return every.triu(1) if window is None else every.triu(1) | every.tril(-window)


def _capped(x: Tensor, cap: float | None) -> Tensor:
    return x if cap is None else cap * torch.tanh(x / cap)
