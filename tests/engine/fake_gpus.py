"""GPUs that are not there: tensors of the CPU that say they are on a GPU, and refuse what torch would refuse.

A mode sees every call that Python makes of torch.  Each tensor carries a label, the device that it claims; a result
carries that of what it was computed from.  Tensors with different labels cannot meet, as on real devices: torch lets
only single numbers of the CPU mix with anything, CPU indices into anything, and copies go everywhere.  The numbers are
computed by the CPU, so results can be compared with those of one device, bit by bit.

What this cannot show: that the GPUs' own kernels agree, and how fast it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["FakeGpus", "WrongDevice"]

CPU = torch.device("cpu")
_OF_THE_FIRST = (
    *("to", "new_empty", "new_zeros", "new_full", "new_ones", "copy_"),
    *("expand_as", "view_as", "_has_compatible_shallow_copy_type"),
)
"""Calls that read only the shape or the numbers of their other tensors."""


class WrongDevice(RuntimeError):
    """Tensors of different devices met."""


class FakeGpus(TorchFunctionMode):
    """While it is entered, ``cuda:0``, ``cuda:1``, ... exist; ``cuda`` is the first."""

    def __init__(self) -> None:
        super().__init__()
        self._labels: Any = WeakTensorKeyDictionary()
        self._moved: dict[int, torch.device] = {}
        """By the place of its numbers, where a tensor was moved to."""
        self.n_moved = 0
        """Tensors brought from one device to another."""

    def label(self, tensor: Tensor) -> torch.device:
        """The device that a tensor claims."""
        if tensor not in self._labels and isinstance(tensor, torch.nn.Parameter):
            # One made from a tensor, which torch does without telling; it has the tensor's numbers.
            self._labels[tensor] = self._moved.get(tensor.data_ptr(), CPU)
        device: torch.device = self._labels.get(tensor, CPU)
        return device

    def put(self, tensor: Tensor, device: str | int | torch.device) -> None:
        """Let a tensor claim a device."""
        self._labels[tensor] = _named(device)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One call that Python makes of torch."""
        kwargs = dict(kwargs or {})
        if func is torch.device:
            return _named(*args) if len(args) == 1 else torch.device(*args, **kwargs)
        name = getattr(func, "__name__", "")
        of = getattr(getattr(func, "__self__", None), "__name__", "")
        if name == "__get__" and of in ("device", "is_cuda", "is_cpu"):
            device = self.label(args[0])
            return device if of == "device" else (device.type == "cuda") == (of == "is_cuda")
        if name in ("numpy", "__array__") and self.label(args[0]) != CPU:
            raise WrongDevice(f"{name} of a tensor on {self.label(args[0])}")
        args, wanted = _without_device(name, args, kwargs)
        found = func(*args, **kwargs)
        if name == "__set__":  # tensor.data = other
            if of == "data":
                self._labels[args[0]] = self.label(args[1])
            return found
        device = self._device_of_result(name, args, kwargs, wanted)
        if name in ("to", "cpu", "cuda") and isinstance(found, Tensor):
            before = self.label(args[0])
            if device != before:
                self.n_moved += 1
                found = found.clone() if found is args[0] else found
                self._moved[found.data_ptr()] = device
        for tensor in _tensors(found):
            self._labels[tensor] = device
        return found

    def _device_of_result(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], wanted: torch.device | None
    ) -> torch.device:
        if name == "cpu":
            return CPU
        if wanted is not None:
            return wanted
        given = list(_tensors((args, kwargs)))
        if not given:
            return CPU
        first = self.label(given[0])
        if name in _OF_THE_FIRST:
            return first
        if name in ("__getitem__", "__setitem__", "index_put_"):
            self._check_indexing(first, args)
            return first
        numbered = {self.label(t) for t in given if not (t.ndim == 0 and self.label(t) == CPU)}
        if len(numbered) > 1:
            raise WrongDevice(f"{name} of tensors on {', '.join(sorted(map(str, numbered)))}")
        return numbered.pop() if numbered else CPU

    def _check_indexing(self, device: torch.device, args: tuple[Any, ...]) -> None:
        """``x[index]`` and ``x[index] = value``: indices of the CPU or of x's device; values go anywhere but to places
        that a tensor names."""
        index = list(_tensors(args[1]))
        if any(self.label(at) not in (CPU, device) for at in index):
            raise WrongDevice(f"an index on {self.label(index[0])} into a tensor on {device}")
        values = [value for value in _tensors(args[2:]) if value.ndim]
        if index and any(self.label(value) != device for value in values):
            raise WrongDevice(f"values on {self.label(values[0])} for a tensor on {device}")


def _without_device(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], torch.device | None]:
    """The same call for the CPU, and the device that it asked for."""
    device = kwargs.pop("device", None)
    if name == "to":
        tensor, *given = (*args, kwargs.pop("dtype", None))
        kwargs.pop("non_blocking", None)
        named = (each for each in given if isinstance(each, torch.device | str) or type(each) is int)
        device = next(named, device)
        args = tensor, next((each for each in given if isinstance(each, torch.dtype)), tensor.dtype)
    return args, None if device is None else _named(device)


def _named(device: str | int | torch.device) -> torch.device:
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return torch.device("cuda", 0) if device == torch.device("cuda") else device


def _tensors(found: Any) -> Iterator[Tensor]:
    """Every tensor in there."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, list | tuple):
        for each in found:
            yield from _tensors(each)
    elif isinstance(found, dict):
        for each in found.values():
            yield from _tensors(each)
