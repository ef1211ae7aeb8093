"""The network frozen at one input: its attention patterns, norm scales and MLP gates held fixed (REFERENCE section 3).

What is left is linear in the token embeddings, and exact: fed with the prompt's own embeddings and the biases it gives
the model's logits.  A block, at position i (norms that a family does not have are left out):

    mid_i = x_i + attn_out_i(W_O z_i),   z_i[h] = sum_j a[h, i, j] W_V[h] attn_in_j(x_j)
    out_i = mid_i + mlp_out_i(W_down (g_i * (W_up mlp_in_i(mid_i))))

A frozen norm is a diagonal matrix, behind the one that takes the mean off where it is a LayerNorm.  A gate that is not
the product of two projections is the secant act(z) / z.  Biases are constants, kept apart as sources of their own.

Vectors are rows.  ``at`` says which position each stands at: one for all rows, a tensor with one for each, or
``slice(None)`` where the second last dimension runs over all positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from ..errors import PromptError, UnknownFamilyError
from ..models import Affine, BlockWeights, LoadedModel, Norm
from ..models.products import product

__all__ = ["At", "FrozenBlock", "FrozenNetwork", "FrozenNorm", "linearise"]

At: TypeAlias = int | slice | Tensor

_HIDDEN = 2048
"""Hidden units of an MLP multiplied out at a time: more would need workspace that takes longer to get than to fill."""


@dataclass(frozen=True)
class FrozenNorm:
    """One norm with its scale fixed at each position."""

    scale: Tensor
    """What position i's vector is multiplied with, weight included: tensor of shape (n_tokens, d_model)."""
    centred: bool
    """The mean is taken off first."""
    bias: Tensor | None

    def forward(self, x: Tensor, at: At) -> Tensor:
        """The linear part."""
        return self.scale[at] * (x - x.mean(-1, keepdim=True) if self.centred else x)

    def adjoint(self, g: Tensor, at: At) -> Tensor:
        """Its transpose."""
        g = self.scale[at] * g
        return g - g.mean(-1, keepdim=True) if self.centred else g


@dataclass(frozen=True)
class FrozenBlock:
    """One block as linear maps."""

    weights: BlockWeights
    attention: Tensor
    """Tensor of shape (n_heads, n_tokens, n_tokens), rows are queries."""
    gates: Tensor
    """Tensor of shape (n_tokens, d_mlp)."""
    attn_in: FrozenNorm | None
    attn_out: FrozenNorm | None
    mlp_in: FrozenNorm | None
    mlp_out: FrozenNorm | None
    d_head: int

    @property
    def parallel(self) -> bool:
        """The MLP reads what enters the block, not what attention made of it."""
        return self.weights.parallel

    @property
    def n_heads(self) -> int:
        """Query heads."""
        return self.attention.shape[0]

    def enter(self, x: Tensor) -> Tensor:
        """x on the device of the block's weights, where all its maps take theirs; itself where it is there already."""
        return x.to(self.attention.device)

    @property
    def _o_by_head(self) -> Tensor:
        """W_O as (d_model, n_heads, d_head)."""
        return self.weights.o.weight.unflatten(1, (self.n_heads, self.d_head))

    def values(self, x: Tensor, at: At) -> Tensor:
        """x (..., d_model) at the positions attended to -> its values (..., n_kv_heads, d_head)."""
        return product(_forward(self.attn_in, x, at), self.weights.v.weight).unflatten(-1, (-1, self.d_head))

    def values_adjoint(self, g: Tensor, at: At) -> Tensor:
        """Transpose of ``values``: (..., n_kv_heads, d_head) -> (..., d_model)."""
        return _adjoint(self.attn_in, g.flatten(-2) @ self.weights.v.weight, at)

    def repeat(self, values: Tensor) -> Tensor:
        """Values of the key-value heads -> of the query heads that read them: (..., n_heads, d_head)."""
        return values.repeat_interleave(self.n_heads // values.shape[-2], dim=-2)

    def write(self, mixed: Tensor, at: At) -> Tensor:
        """Mixed values of all heads (..., n_heads, d_head) -> what attention adds (..., d_model)."""
        return _forward(self.attn_out, product(mixed.flatten(-2), self.weights.o.weight), at)

    def write_heads(self, mixed: Tensor, heads: Tensor, at: At) -> Tensor:
        """The part of ``write`` that comes from some heads: mixed values (n, len(heads), d_head) -> (n, d_model)."""
        weight = self._o_by_head.index_select(1, heads).flatten(1)
        return _forward(self.attn_out, product(mixed.flatten(1), weight), at)

    def write_adjoint(self, g: Tensor, at: At) -> Tensor:
        """Transpose of ``write``: (..., d_model) -> (..., n_heads, d_head)."""
        return (_adjoint(self.attn_out, g, at) @ self.weights.o.weight).unflatten(-1, (self.n_heads, self.d_head))

    def mlp(self, x: Tensor, at: At) -> Tensor:
        """What the MLP adds for x (..., d_model)."""
        hidden = product(_forward(self.mlp_in, x, at), self.weights.up.weight)
        return _forward(self.mlp_out, product(hidden.mul_(self.gates[at]), self.weights.down.weight), at)

    def mlp_adjoint(self, g: Tensor, at: At) -> Tensor:
        """Transpose of ``mlp``."""
        hidden = self.gates[at] * (_adjoint(self.mlp_out, g, at) @ self.weights.down.weight)
        return _adjoint(self.mlp_in, hidden @ self.weights.up.weight, at)

    def mlp_matrix(self, at: int) -> Tensor:
        """The MLP at one position as one matrix (d_model, d_model): ``mlp(x, at) = x @ mlp_matrix(at).T``."""
        up, down = self.weights.up.weight, self.weights.down.weight
        matrix = up.new_zeros(down.shape[0], up.shape[1])
        parts = (down.split(_HIDDEN, dim=1), self.gates[at].split(_HIDDEN), up.split(_HIDDEN))
        for down_part, gates, up_part in zip(*parts, strict=True):
            matrix += product(down_part * gates, up_part.T.contiguous())
        if self.mlp_out is not None:
            matrix = self.mlp_out.forward(matrix.T, at).T
        return (matrix if self.mlp_in is None else self.mlp_in.adjoint(matrix, at)).contiguous()

    def attend(self, x: Tensor) -> Tensor:
        """What attention adds at every position for x (..., n_tokens, d_model), all heads and positions together."""
        values = self.repeat(self.values(x, slice(None)))
        return self.write(torch.einsum("hij,...jhd->...ihd", self.attention, values), slice(None))

    def attend_adjoint(self, g: Tensor) -> Tensor:
        """Transpose of ``attend``."""
        mixed = torch.einsum("hij,...ihd->...jhd", self.attention, self.write_adjoint(g, slice(None)))
        grouped = mixed.unflatten(-2, (-1, self.n_heads // (self.weights.v.weight.shape[0] // self.d_head)))
        return self.values_adjoint(grouped.sum(-2), slice(None))

    def step(self, x: Tensor) -> Tensor:
        """x (..., n_tokens, d_model) entering the block -> leaving it, biases left out."""
        mid = x + self.attend(x)
        return mid + self.mlp(x if self.parallel else mid, slice(None))

    def attention_bias(self) -> Tensor:
        """The constant that attention adds at each position: tensor of shape (n_tokens, d_model)."""
        v, o, n_tokens = self.weights.v, self.weights.o, self.attention.shape[-1]
        constant = torch.zeros_like(v.weight[:, 0]) if v.bias is None else v.bias
        if self.attn_in is not None and self.attn_in.bias is not None:
            constant = constant + v.weight @ self.attn_in.bias
        rows = self.attention.sum(-1).T.to(constant.dtype)
        mixed = rows[..., None] * self.repeat(constant.unflatten(0, (-1, self.d_head)))
        return self._out(mixed.flatten(-2) @ o.weight.T, o, self.attn_out, n_tokens)

    def mlp_bias(self) -> Tensor:
        """The constant that the MLP adds at each position: tensor of shape (n_tokens, d_model)."""
        up, down, n_tokens = self.weights.up, self.weights.down, self.gates.shape[0]
        constant = torch.zeros_like(up.weight[:, 0]) if up.bias is None else up.bias
        if self.mlp_in is not None and self.mlp_in.bias is not None:
            constant = constant + up.weight @ self.mlp_in.bias
        return self._out((self.gates * constant) @ down.weight.T, down, self.mlp_out, n_tokens)

    @staticmethod
    def _out(x: Tensor, affine: Affine, norm: FrozenNorm | None, n_tokens: int) -> Tensor:
        x = (x if affine.bias is None else x + affine.bias).expand(n_tokens, -1)
        if norm is None:
            return x
        x = norm.forward(x, slice(None))
        return x if norm.bias is None else x + norm.bias


@dataclass(frozen=True)
class FrozenNetwork:
    """The whole network, frozen at one prompt."""

    embeddings: Tensor
    """What each token brings before the first block: tensor of shape (n_tokens, d_model)."""
    blocks: tuple[FrozenBlock, ...]
    final_norm: FrozenNorm | None
    """At the last position only: its one row."""
    unembedding: Affine
    logits: Tensor
    """The model's own at the last position, before soft-capping: tensor of shape (vocab_size,)."""

    @property
    def n_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.embeddings)

    @property
    def n_layers(self) -> int:
        """Blocks."""
        return len(self.blocks)

    @property
    def attention(self) -> Tensor:
        """All patterns: tensor of shape (n_layers, n_heads, n_tokens, n_tokens)."""
        return torch.stack([block.attention.to(self.embeddings.device) for block in self.blocks])

    def final(self, x: Tensor) -> Tensor:
        """Vectors at the last position after the last block -> what the unembedding reads."""
        return _forward(self.final_norm, x.to(self.logits.device), 0)

    def final_adjoint(self, token: int) -> Tensor:
        """The vector whose product with one at the last position is its logit of ``token``: shape (d_model,)."""
        return _adjoint(self.final_norm, self.unembedding.weight[token], 0)

    def final_bias(self) -> Tensor:
        """The constant part of the logits: tensor of shape (vocab_size,)."""
        constant = torch.zeros_like(self.logits) if self.unembedding.bias is None else self.unembedding.bias
        bias = None if self.final_norm is None else self.final_norm.bias
        return constant if bias is None else constant + self.unembedding.weight @ bias

    def whole(self) -> Tensor:
        """Logits at the last position of everything together: all embeddings, all biases, every path."""
        x = self.embeddings
        for block in self.blocks:
            x = block.enter(x)
            mid = x + block.attend(x) + block.attention_bias()
            x = mid + block.mlp(x if block.parallel else mid, slice(None)) + block.mlp_bias()
        return self.unembedding.weight @ self.final(x[-1]) + self.final_bias()

    def completeness_error(self) -> float:
        """Largest difference, in logits, between ``whole`` and the model itself: zero up to rounding."""
        return float((self.whole().double() - self.logits.double()).abs().max())


@torch.no_grad()
def linearise(model: LoadedModel, ids: Sequence[int], *, eps: float | None = None) -> FrozenNetwork:
    """Freeze the model at the prompt ``ids``: one forward pass, under the model's lock.

    ``eps``: of every norm, in place of the model's own (which makes the result inexact on purpose).

    Raises:
        PromptError: no tokens, or more than the model takes.
        UnknownFamilyError: the model has a part that is not linear when its patterns, scales and gates are held.
    """
    network = model.network
    if network.not_linear is not None:
        raise UnknownFamilyError(f"Paths cannot be traced in this model yet: {network.not_linear}")
    if not ids:
        raise PromptError("A prompt without tokens has no paths; give at least one word.")
    if model.n_positions is not None and len(ids) > model.n_positions:
        raise PromptError(f"The prompt has {len(ids)} tokens but the model takes {model.n_positions}; shorten it.")
    with model.lock:
        x = embeddings = network.embed(torch.tensor([list(ids)], device=model.device))[0]
        positions, blocks = network.rotary(len(ids), x), list[FrozenBlock]()
        for layer in range(network.n_layers):
            x = network.enter(layer, x)
            weights, mask = network.weights(layer), network.hidden(layer, len(ids))
            q, k, v = network.read(layer, x, positions)
            mixed = network.mix(layer, q, k, v, mask)
            mid = x + network.write_attention(layer, mixed)
            read = x if weights.parallel else mid
            blocks.append(
                FrozenBlock(
                    weights,
                    network.pattern(layer, q, k, mask).to(x.dtype),
                    network.gates(layer, read),
                    attn_in=_freeze(weights.attn_in, x, eps),
                    attn_out=_freeze(weights.attn_out, network.attention_output(layer, mixed), eps),
                    mlp_in=_freeze(weights.mlp_in, read, eps),
                    mlp_out=_freeze(weights.mlp_out, network.mlp_output(layer, read), eps),
                    d_head=network.d_head,
                )
            )
            x = mid + network.write_mlp(layer, read)
        logits = network.uncapped_logits(x[-1])
    final = _freeze(network.final_norm, x[-1:].to(logits.device), eps)
    return FrozenNetwork(embeddings, tuple(blocks), final, network.unembedding, logits)


def _freeze(norm: Norm | None, x: Tensor, eps: float | None) -> FrozenNorm | None:
    """The norm with the scale that it has at each of the vectors x (n_tokens, d_model)."""
    if norm is None:
        return None
    scale = (norm if eps is None else replace(norm, eps=eps)).inverse_scale(x).expand(x.shape)
    return FrozenNorm((scale if norm.weight is None else scale * norm.weight).to(x.dtype), norm.centred, norm.bias)


def _forward(norm: FrozenNorm | None, x: Tensor, at: At) -> Tensor:
    return x if norm is None else norm.forward(x, at)


def _adjoint(norm: FrozenNorm | None, g: Tensor, at: At) -> Tensor:
    return g if norm is None else norm.adjoint(g, at)
