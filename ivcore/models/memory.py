"""Whether a model fits, told before its weights are read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open

from ..errors import ModelError, quote
from .folder import ModelFolder

__all__ = ["MakeRoom", "check_room", "fits", "free_bytes", "free_on_gpus", "size_text", "stored_dtypes", "weight_bytes"]

MakeRoom = Callable[[Callable[[], bool]], None]
"""Frees memory as long as its argument says that there is not enough."""

_MARGIN = 1.05
"""What loading and a short prompt take beside the weights."""
_STORED = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
_CGROUP = Path("/sys/fs/cgroup")


def weight_bytes(folder: ModelFolder, dtype: torch.dtype) -> int:
    """What the weights take in memory in this dtype, from the files' headers."""
    numbers = 0
    for file in folder.weights:
        with safe_open(file, framework="pt") as tensors:
            numbers += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return numbers * dtype.itemsize


def stored_dtypes(folder: ModelFolder) -> set[torch.dtype]:
    """The dtypes of the weights on the disk, of those that models are loaded in."""
    names = set[str]()
    for file in folder.weights:
        with safe_open(file, framework="pt") as tensors:
            names |= {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return {_STORED[name] for name in names if name in _STORED}


def free_bytes(device: torch.device) -> int | None:
    """Memory that is free on a device, the container's limit considered; None where the system does not say.

    ``cuda`` stands for all GPUs together.
    """
    if device.type == "cuda":
        return sum(free_on_gpus())
    found = [free for free in (_free_here(), _free_in_container()) if free is not None]
    return min(found, default=None)


def free_on_gpus() -> list[int]:
    """Memory that is free on each GPU."""
    return [int(torch.cuda.mem_get_info(gpu)[0]) for gpu in range(torch.cuda.device_count())]


def fits(n_bytes: int, free: int) -> bool:
    """Whether so many bytes of weights can be held where so many are free."""
    return int(n_bytes * _MARGIN) <= free


def check_room(
    name: str, n_bytes: int, dtype: torch.dtype, device: torch.device, make_room: MakeRoom | None = None
) -> None:
    """Whether so many bytes of weights fit on the device.

    Args:
        name: of the model, for the message.
        n_bytes: in ``dtype``.
        dtype: of the weights.
        device: where they are to be.
        make_room: called where they do not fit, before they are refused.

    Raises:
        ModelError: they do not, with both figures and what to choose instead.
    """

    def is_enough() -> bool:
        return (free := free_bytes(device)) is None or fits(n_bytes, free)

    if make_room is not None and not is_enough():
        make_room(is_enough)
    if is_enough():
        return
    needed, free = int(n_bytes * _MARGIN), free_bytes(device) or 0
    smaller = "" if dtype.itemsize <= 2 else f" --dtype bfloat16 ({size_text(needed * 2 // dtype.itemsize)}),"
    raise ModelError(
        f"{quote(name)} needs {size_text(needed)} in {str(dtype).removeprefix('torch.')} but {size_text(free)} are "
        f"free on the device {device.type}; choose{smaller} a smaller model, or free some memory."
    )


def size_text(n: int) -> str:
    """A number of bytes for people to read."""
    return f"{n / 2**30:.1f} GiB" if n >= 2**29 else f"{n / 2**20:.0f} MiB"


def _free_here() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError):
        return None


def _free_in_container() -> int | None:
    """What the control group (version 2) still allows; caches that it would give back count as free."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        given_back = sum(
            int(line.split()[1])
            for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
            if line.split()[0] in ("inactive_file", "active_file")
        )
        return None if limit == "max" else max(0, int(limit) - used + given_back)
    except (OSError, ValueError, IndexError):
        return None
