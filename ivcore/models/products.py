"""Products with a weight matrix, by the fastest routine that the machine has for them.

On a CPU in single precision torch hands a linear layer to its default BLAS; oneDNN's own product of the same numbers
is up to twice as fast for the short, wide batches of patching (and on some processors for all).  Everything else goes
through the module as usual.  The benchmarks measure both in one run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["linear"]

_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def linear(module: Any, x: Tensor) -> Tensor:
    """What ``module(x)`` gives, a linear layer on x of shape (..., n_in): tensor of shape (..., n_out)."""
    if _ONEDNN is None or not _fits(module, x):
        out: Tensor = module(x)
        return out
    product: Tensor = _ONEDNN(x.reshape(-1, x.shape[-1]), module.weight, module.bias, "none", [], "")
    return product.unflatten(0, x.shape[:-1])


def _fits(module: Any, x: Tensor) -> bool:
    """Whether oneDNN may compute this product; a gradient, where one is asked for, needs the module itself."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and type(module) is torch.nn.Linear
        and not (torch.is_grad_enabled() and (x.requires_grad or module.weight.requires_grad))
    )
