"""What path tracing must equal: every sequence of positions, one after the other, through dense matrices.

Written from REFERENCE section 3 alone and with transformers' own modules; slow and simple.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from ivcore.models import LoadedModel


@dataclass(frozen=True)
class PlainBlock:
    """One block of OLMo-2 or Llama as dense matrices that act on columns."""

    pattern: Tensor
    """(n_heads, n_tokens, n_tokens)"""
    ov: Tensor
    """W_O[h] W_V[h], (n_heads, d_model, d_model)"""
    attn_scale: Tensor
    """Diagonals on attention's output at i and input at j: (2, n_tokens, d_model)"""
    mlp: Tensor
    """The MLP at each position, norms included: (n_tokens, d_model, d_model)"""

    def edge(self, j: int, i: int, heads: list[int]) -> Tensor:
        """The map of one edge as a matrix."""
        eye = torch.eye(self.mlp.shape[-1], dtype=self.mlp.dtype)
        out, into = self.attn_scale[0, i][:, None], self.attn_scale[1, j]
        attention = sum((self.pattern[h, i, j] * out * self.ov[h] * into for h in heads), torch.zeros_like(eye))
        return (eye + self.mlp[i]) @ (attention + (eye if i == j else 0))

    def released_edge(self, i: int) -> Tensor:
        """The same as the released code has it, with scales of another epsilon already in place."""
        eye = torch.eye(self.mlp.shape[-1], dtype=self.mlp.dtype)
        return (eye + self.mlp[i]) @ (eye + self.attn_scale[0, i][:, None] * self.ov.sum(0))


@dataclass(frozen=True)
class PlainPath:
    """One path: where it goes, by which heads, and what it says."""

    positions: tuple[int, ...]
    heads: tuple[tuple[int, ...], ...]
    logits: Tensor


def plain_blocks(model: LoadedModel, ids: list[int], eps: float | None = None) -> tuple[Tensor, list[PlainBlock]]:
    """The final norm's diagonal at the last position, and the blocks; ``eps`` replaces every norm's own."""
    hf: Any = model.hf
    post_norm = hasattr(hf.model.layers[0], "post_feedforward_layernorm")
    seen: dict[str, Tensor] = {}
    hooks = []
    for name, module in hf.named_modules():
        if "norm" in name:
            hooks.append(module.register_forward_hook(lambda _m, args, _o, name=name: seen.update({name: args[0][0]})))
    hooks += [
        layer.mlp.down_proj.register_forward_hook(lambda _m, args, _o, n=n: seen.update({f"hidden{n}": args[0][0]}))
        for n, layer in enumerate(hf.model.layers)
    ]
    hooks += [
        layer.mlp.up_proj.register_forward_hook(lambda _m, _a, out, n=n: seen.update({f"up{n}": out[0]}))
        for n, layer in enumerate(hf.model.layers)
    ]
    with torch.no_grad():
        patterns = hf(input_ids=torch.tensor([ids]), output_attentions=True, use_cache=False).attentions
    for hook in hooks:
        hook.remove()

    def diagonal(name: str) -> Tensor:
        norm, x = hf.get_submodule(name), seen[name]
        used = norm.variance_epsilon if eps is None else eps
        return norm.weight.detach() / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + used)

    blocks = []
    for n, layer in enumerate(hf.model.layers):
        attention, mlp, d_head = layer.self_attn, layer.mlp, layer.self_attn.head_dim
        v = (
            attention.v_proj.weight.detach()
            .unflatten(0, (-1, d_head))
            .repeat_interleave(attention.num_key_value_groups, dim=0)
        )
        o = attention.o_proj.weight.detach().unflatten(1, (-1, d_head)).permute(1, 0, 2)
        ones = torch.ones_like(seen["model.norm"])
        before, after = f"model.layers.{n}.post_attention_layernorm", f"model.layers.{n}.post_feedforward_layernorm"
        scales = torch.stack(
            [diagonal(before), ones] if post_norm else [ones, diagonal(f"model.layers.{n}.input_layernorm")]
        )
        gate = seen[f"hidden{n}"] / seen[f"up{n}"]
        up, down = mlp.up_proj.weight.detach(), mlp.down_proj.weight.detach()
        dense = torch.stack(
            [
                (diagonal(after)[i][:, None] if post_norm else 1)
                * (down * gate[i])
                @ (up * (1 if post_norm else diagonal(before)[i]))
                for i in range(len(ids))
            ]
        )
        blocks.append(PlainBlock(patterns[n][0], o @ v, scales, dense))
    return diagonal("model.norm")[-1], blocks


def plain_paths(
    model: LoadedModel, ids: list[int], source: int, k: int, *, released: bool = False
) -> Iterator[PlainPath]:
    """Every path from ``source`` to the last position, one by one."""
    final, blocks = plain_blocks(model, ids, 1e-6 if released else None)
    patterns = plain_blocks(model, ids)[1] if released else blocks
    n_tokens, hf = len(ids), model.hf
    unembedding = hf.get_output_embeddings().weight.detach()
    embedded = hf.get_input_embeddings().weight.detach()[ids[source]]
    for middle in product(range(source, n_tokens), repeat=len(blocks) - 1):
        positions = (source, *middle, n_tokens - 1)
        heads = []
        for block, j, i in zip(patterns, positions, positions[1:], strict=False):
            carried = () if i < j else tuple(h for h, p in enumerate(block.pattern) if j in most_attended(p[i], i, k))
            if i < j or (i > j and not carried):
                break
            heads.append(carried)
        else:
            vector = embedded
            for block, j, i, carried in zip(blocks, positions, positions[1:], heads, strict=False):
                vector = (block.released_edge(i) if released else block.edge(j, i, list(carried))) @ vector
            yield PlainPath(positions, tuple(heads), unembedding @ (final * vector))


def most_attended(row: Tensor, i: int, k: int) -> list[int]:
    """The ``k`` positions up to i with the largest weights, the earlier first among equals."""
    attended = [j for j in range(i + 1) if row[j] > 0]
    return sorted(attended, key=lambda j: (-float(row[j]), j))[:k]


def plain_rank(logits: Tensor, token: int) -> int:
    """The rank by sorting the whole vocabulary."""
    order = torch.sort(logits, descending=True).values
    return int((order == logits[token]).nonzero()[0, 0]) + 1
