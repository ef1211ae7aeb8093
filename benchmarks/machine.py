"""What every benchmark states of the machine: its matrix-product rate and the memory in use."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from ivcore.models.products import product

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def matrix_rate(device: str, dtype: str, size: int = 2048, repeats: int = 6) -> float:
    """Operations a second of a square matrix product, the best of some by the faster routine."""
    a = torch.randn(size, size, device=device, dtype=DTYPES[dtype])
    best = float("inf")
    with torch.no_grad():
        for multiply in (torch.matmul, product):
            multiply(a, a)
            for _ in range(repeats):
                wait(device)
                started = time.perf_counter()
                multiply(a, a)
                wait(device)
                best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def wait(device: str) -> None:
    """Until the device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def reset_peak(device: str) -> None:
    """Forget the most bytes that were in use."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: str) -> int:
    """Most bytes in use since the last reset (Linux's VmHWM on a CPU)."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
