"""Products with a weight matrix, by the fastest routine that the machine has for them.

On a CPU in single precision torch hands a linear layer to its default BLAS; oneDNN's own product of the same numbers
is up to twice as fast for the short, wide batches of patching (and on some processors for all).  Everything else goes
through torch's own.  The benchmarks measure both in one run.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["product"]

_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., n_in) times the transpose of ``weight`` (n_out, n_in), plus ``bias``: tensor of shape (..., n_out)."""
    if _ONEDNN is None or not _fits(x, weight):
        return torch.nn.functional.linear(x, weight, bias)
    rows: Tensor = _ONEDNN(x.reshape(-1, x.shape[-1]), weight, bias, "none", [], "")
    return rows.reshape(*x.shape[:-1], -1)


def _fits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN may compute this product; a gradient, where one is asked for, needs torch's own."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and weight.is_contiguous()  # else oneDNN takes a thousand times as long
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
    )
