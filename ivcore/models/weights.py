"""The linear parts of a block as plain tensors, whatever the family calls them and however it stores them.

``Network`` hands them out; path tracing multiplies with them.  A family with fused projections (GPT-2, GPT-NeoX, Phi-3)
or transposed ones (GPT-2) gets views here, so that nobody else need know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Affine", "BlockWeights", "Norm"]


@dataclass(frozen=True)
class Affine:
    """x -> weight x + bias."""

    weight: Tensor
    """Tensor of shape (n_out, n_in)."""
    bias: Tensor | None
    """Tensor of shape (n_out,)."""


@dataclass(frozen=True)
class Norm:
    """RMSNorm or LayerNorm: ``weight * inverse_scale(x) * (x, less its mean if centred) + bias``."""

    weight: Tensor | None
    """What the normed vector is multiplied with, (d_model,), Gemma's 1 included; None where there is nothing."""
    bias: Tensor | None
    eps: float
    centred: bool
    """LayerNorm: the mean is taken off."""

    def to(self, device: torch.device) -> Norm:
        """The same on a device."""
        weight, bias = (None if part is None else part.to(device) for part in (self.weight, self.bias))
        return replace(self, weight=weight, bias=bias)

    def inverse_scale(self, x: Tensor) -> Tensor:
        """1 / root of the mean square (or variance) plus eps: tensor of shape (..., 1), in float32 at least."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.centred:
            x = x - x.mean(-1, keepdim=True)
        return torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)


@dataclass(frozen=True)
class BlockWeights:
    """One block: ``mid = x + attn_out(o mix(v attn_in(x)))``, ``out = mid + mlp_out(down(gate * up mlp_in(mid)))``."""

    attn_in: Norm | None
    attn_out: Norm | None
    mlp_in: Norm | None
    mlp_out: Norm | None
    v: Affine
    """Weight of shape (n_kv_heads * d_head, d_model), head by head."""
    o: Affine
    """Weight of shape (d_model, n_heads * d_head), head by head; query head h reads key-value head
    ``h // (n_heads // n_kv_heads)``."""
    up: Affine
    down: Affine
    parallel: bool
    """The MLP reads x, not mid (GPT-NeoX)."""
