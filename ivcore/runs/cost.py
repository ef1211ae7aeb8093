"""What a sweep will cost on this device, told before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import torch

from ..models import LoadedModel
from ..patching import Shape, build_samples, layer_sets, minimal_operations, plan_blocks
from .sweep import SweepRequest

__all__ = ["SweepCost", "shape_of", "sweep_cost"]

_EFFICIENCY = 0.6
"""Share of the matrix-product rate that sweeps reach; a guess on the slow side."""
_SECONDS_PER_BLOCK = 1.5e-3
"""What a block of the network costs beside its products, for one block of samples: small operations, each launched."""


@dataclass(frozen=True)
class SweepCost:
    """The work of one sweep."""

    n_sets: int
    n_samples: int
    operations: int
    """Additions and multiplications that cannot be avoided."""
    seconds: float
    """Estimated from this device's matrix-product rate, measured now."""


def sweep_cost(model: LoadedModel, request: SweepRequest) -> SweepCost:
    """Estimate a sweep; nothing of it is computed. Raises InputError where it could not be computed at all."""
    samples = build_samples(
        model, request.instruction, request.items, convention=request.convention, filler=request.filler
    )
    sets = ((), *layer_sets(model.n_layers, request.depth))
    blocks = plan_blocks(samples)
    shape = shape_of(model)
    operations = sum(minimal_operations(shape, sets, len(samples[b[0]].ids_target), len(b)) for b in blocks)
    rate = _matrix_rate(model.device, model.dtype)
    seconds = operations / (rate * _EFFICIENCY) + len(blocks) * model.n_layers * _SECONDS_PER_BLOCK
    return SweepCost(len(sets) - 1, len(samples), operations, seconds)


def shape_of(model: LoadedModel) -> Shape:
    """The sizes that decide the cost."""
    net = model.network
    return Shape(
        net.n_layers,
        net.n_heads,
        net.n_kv_heads,
        net.d_model,
        net.d_head,
        net.d_mlp,
        vocab_size=net.vocab_size,
        gated=net.family.gate_proj is not None,
    )


@cache
def _matrix_rate(device: str, dtype: str, size: int = 1024) -> float:
    """Operations a second of a square matrix product on this device, the best of a few."""
    a = torch.randn(size, size, device=device, dtype=getattr(torch, dtype))
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
