"""One block of a transformer: its parts, whatever a family calls them and however it stores them, and what they do.

Rotation and the mixing of heads are left to ``Network``.  Shapes: x is (..., n_tokens, d_model); heads are
(..., n_heads, n_tokens, d_head), with n_kv_heads of them for keys and values.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from .families import Family, Fused
from .products import product
from .weights import Affine, BlockWeights, Norm

__all__ = ["Block", "Projection", "as_norm", "optional_part_of", "part_of"]


class Projection:
    """A linear layer: a module of its own, a transposed one, or some rows of a fused one.

    It is read from the module anew each time, so that it follows a module whose weights are replaced.
    """

    def __init__(self, module: Any, rows: slice | None = None, n_groups: int = 1) -> None:
        """``rows`` of each of ``n_groups`` equal groups of the module's rows; None is all of them."""
        self._module, self._rows, self._n_groups = module, rows, n_groups

    @property
    def affine(self) -> Affine:
        """Weight (n_out, n_in) and bias (n_out,); views, except of the weight of rows from several groups."""
        # Conv1D is transformers' own linear layer for GPT-2 and stores (n_in, n_out).
        weight = self._module.weight.T if isinstance(self._module, Conv1D) else self._module.weight
        bias = self._module.bias
        return Affine(self._chosen(weight), None if bias is None else self._chosen(bias))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._module.weight.device
        return device

    def __call__(self, x: Tensor) -> Tensor:
        """x (..., n_in) -> (..., n_out)."""
        affine = self.affine
        return product(x, affine.weight, affine.bias)

    def _chosen(self, tensor: Tensor) -> Tensor:
        if self._rows is None:
            return tensor
        return tensor.unflatten(0, (self._n_groups, -1))[:, self._rows].flatten(0, 1)


class Block:
    """The parts of one block, with the identity where the family has no such norm; no weights of its own."""

    def __init__(self, block: nn.Module, family: Family, n_heads: int, n_kv_heads: int) -> None:
        self._family = family
        self._attn_in_norm = _norm(block, family.attn_in_norm)
        self._attn_out_norm = _norm(block, family.attn_out_norm)
        self._mlp_in_norm = _norm(block, family.mlp_in_norm)
        self._mlp_out_norm = _norm(block, family.mlp_out_norm)
        self._q_norm = _norm(block, family.q_norm)
        self._k_norm = _norm(block, family.k_norm)

        self._o_proj = Projection(part_of(block, family.o_proj))
        self.d_head = self._o_proj.affine.weight.shape[1] // n_heads
        sizes = [n * self.d_head for n in (n_heads, n_kv_heads, n_kv_heads)]
        self._q_proj = _projection(block, family.q_proj, sizes, n_heads)
        self._k_proj = _projection(block, family.k_proj, sizes, n_heads)
        self._v_proj = _projection(block, family.v_proj, sizes, n_heads)
        self._clip: float | None = optional_part_of(block, family.clip)

        self._down_proj = Projection(part_of(block, family.down_proj))
        self.d_mlp = self._down_proj.affine.weight.shape[1]
        sizes = [self.d_mlp, self.d_mlp]
        self._up_proj = _projection(block, family.up_proj, sizes)
        self._gate_proj = None if family.gate_proj is None else _projection(block, family.gate_proj, sizes)
        self._activation = part_of(block, family.activation)

        self.scale = float(part_of(block, family.attention).scaling)
        """The factor on query-key products."""
        self.score_cap: float | None = optional_part_of(block, family.score_cap)
        self.window: int | None = optional_part_of(block, family.window)
        self.rotary_kind: str | None = optional_part_of(block, family.rotary_kind)
        self.parallel = bool(optional_part_of(block, family.parallel))
        """The MLP reads x, not what attention made of it."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self._o_proj.device

    def queries(self, x: Tensor) -> Tensor:
        """Residual entering the block -> queries, normed where the family does so, not yet rotated."""
        return self._heads(self._q_proj(self._attn_in_norm(x)), self._q_norm)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Residual entering the block -> keys, not yet rotated, and values."""
        normed = self._attn_in_norm(x)
        return self._heads(self._k_proj(normed), self._k_norm), self._heads(self._v_proj(normed), nn.Identity())

    def attention_output(self, mixed_heads: Tensor) -> Tensor:
        """Mixed heads -> output projection, before the norm behind it."""
        return self._o_proj(mixed_heads.transpose(-3, -2).flatten(-2))

    def write_attention(self, mixed_heads: Tensor) -> Tensor:
        """Mixed heads -> what attention adds to the residual."""
        added: Tensor = self._attn_out_norm(self.attention_output(mixed_heads))
        return added

    def mlp_output(self, x: Tensor) -> Tensor:
        """Residual entering the MLP part -> down projection, before the norm behind it."""
        normed = self._mlp_in_norm(x)
        if self._gate_proj is None:
            return self._down_proj(self._activation(self._up_proj(normed)))
        return self._down_proj(self._activation(self._gate_proj(normed)) * self._up_proj(normed))

    def write_mlp(self, x: Tensor) -> Tensor:
        """Residual entering the MLP part -> what the MLP adds to the residual."""
        added: Tensor = self._mlp_out_norm(self.mlp_output(x))
        return added

    def gates(self, x: Tensor) -> Tensor:
        """Residual entering the MLP part -> what the up-projection is multiplied with, (..., n_tokens, d_mlp)."""
        normed = self._mlp_in_norm(x)
        if self._gate_proj is None:
            return _secant(self._activation, self._up_proj(normed))
        gates: Tensor = self._activation(self._gate_proj(normed))
        return gates

    @property
    def not_linear(self) -> str | None:
        """A sentence on what is not linear even with patterns, norm scales and gates held, or None."""
        if self._clip is None:
            return None
        return f"it clips its values to between -{self._clip:g} and {self._clip:g}, which no linear map does."

    @property
    def weights(self) -> BlockWeights:
        """The linear parts."""
        return BlockWeights(
            attn_in=as_norm(self._attn_in_norm, self._family),
            attn_out=as_norm(self._attn_out_norm, self._family),
            mlp_in=as_norm(self._mlp_in_norm, self._family),
            mlp_out=as_norm(self._mlp_out_norm, self._family),
            v=self._v_proj.affine,
            o=self._o_proj.affine,
            up=self._up_proj.affine,
            down=self._down_proj.affine,
            parallel=self.parallel,
        )

    def _heads(self, projected: Tensor, norm: Any) -> Tensor:
        """(..., n_tokens, n_heads * d_head) -> heads, clipped and normed."""
        if self._clip is not None:
            projected = projected.clamp(-self._clip, self._clip)
        if not self._family.norms_each_head:
            projected = norm(projected)
        heads = projected.unflatten(-1, (-1, self.d_head)).transpose(-3, -2)
        return norm(heads) if self._family.norms_each_head else heads


def as_norm(module: Any, family: Family) -> Norm | None:
    """A norm's module as numbers; None for the identity."""
    if isinstance(module, nn.Identity):
        return None
    weight, eps = getattr(module, "weight", None), family.norm_eps
    if weight is not None and family.norm_weight_offset:
        # In single precision at least, as the module itself does: near 1, bfloat16 would lose most of the weight.
        weight = weight.to(torch.promote_types(weight.dtype, torch.float32)) + family.norm_weight_offset
    eps = eps if isinstance(eps, float) else float(getattr(module, eps))
    return Norm(weight, getattr(module, "bias", None), eps, family.norms_centred)


def part_of(root: nn.Module, path: str) -> Any:
    """What is at an attribute path below ``root``."""
    return attrgetter(path)(root)


def optional_part_of(root: nn.Module, path: str | None) -> Any:
    """The same, and None where the path is."""
    return None if path is None else part_of(root, path)


def _norm(block: nn.Module, path: str | None) -> Any:
    return nn.Identity() if path is None else part_of(block, path)


def _projection(block: nn.Module, place: str | Fused, sizes: list[int], n_heads: int = 1) -> Projection:
    """The projection at ``place``; of a fused one, ``sizes`` are the rows of all its parts."""
    if isinstance(place, str):
        return Projection(part_of(block, place))
    n_groups = n_heads if place.by_head else 1
    start, size = sum(sizes[: place.part]) // n_groups, sizes[place.part] // n_groups
    return Projection(part_of(block, place.module), slice(start, start + size), n_groups)


def _secant(activation: Any, z: Tensor) -> Tensor:
    """activation(z) / z, and its limit, the slope at zero, where z is zero."""
    precise = z.to(torch.promote_types(z.dtype, torch.float32))
    # So near zero the secant is the slope, to all digits; the sign is kept for activations with a kink.
    least = torch.finfo(precise.dtype).eps ** 2
    apart = torch.where(precise.abs() < least, torch.copysign(torch.full_like(precise, least), precise), precise)
    return (activation(apart) / apart).to(z.dtype)
