"""What the Task sweep and Stages pages ask for, written down as URL parameters, permalink and command line.

The values of bound widgets stand in the address as the page shows them, so the options here are what people read;
``CONVENTIONS`` and ``state.METRICS`` lead to the engine's names.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ..state import METRIC_NAMES, OTHER, flag

if TYPE_CHECKING:
    from ivcore.runs import SweepRun

__all__ = [
    "CONVENTIONS",
    "DEPTHS",
    "OWN_FILE",
    "SweepInputs",
    "convention_name",
    "set_name",
    "set_names",
    "set_of",
    "sweep_command",
    "sweep_link",
    "sweep_parameters",
]

OWN_FILE = "your own file"
"""The task chooser's entry that opens the upload."""

DEPTHS = ("1", "2", "3")
CONVENTIONS = {"as defined": "exact", "as released": "released"}


@dataclass(frozen=True)
class SweepInputs:
    """Everything that defines a result of the Task sweep page."""

    family: str
    stage: str
    ref: str
    task: str
    """Name of a bundled task, or ``OWN_FILE``."""
    samples: int = 100
    depth: int = 2
    convention: str = "exact"
    metric: str = "rr"
    layers: tuple[int, ...] = ()
    """The set that is looked at; empty for the strongest."""
    device: str = "auto"
    dtype: str = "float32"

    @property
    def is_shareable(self) -> bool:
        """Whether an address can bring the inputs back: a file cannot be part of one."""
        return self.task != OWN_FILE


def sweep_parameters(inputs: SweepInputs) -> dict[str, str]:
    """The URL parameters that stand for these inputs."""
    named = {"model": inputs.family, "stage": inputs.stage}
    if inputs.family == OTHER:
        named = {"model": inputs.family, "ref": inputs.ref}
    named |= {"task": inputs.task, "samples": str(inputs.samples), "depth": str(inputs.depth)}
    named |= {"convention": convention_name(inputs.convention), "metric": METRIC_NAMES[inputs.metric]}
    named |= {"set": set_name(inputs.layers)} if inputs.layers else {}
    return named | {"device": inputs.device, "dtype": inputs.dtype}


def sweep_link(base_url: str, inputs: SweepInputs) -> str:
    """The address that opens the Task sweep page on these inputs."""
    return f"{base_url}?{urlencode(sweep_parameters(inputs))}"


def sweep_command(inputs: SweepInputs, own: Mapping[str, str] | None = None) -> str:
    """The shell command that prints the sweep's numbers.

    Args:
        inputs: the page's inputs.
        own: for a task from a file the flags that describe it, such as ``{"task-csv": "my.csv", ...}``.
    """
    line = ["python", "-m", "ivcore", "sweep", *flag("model", inputs.ref)]
    for name, value in (own or {"task": inputs.task}).items():
        line += flag(name, value)
    line += ["--depth", str(inputs.depth), "--samples", str(inputs.samples)]
    line += [] if inputs.convention == "exact" else ["--convention", inputs.convention]
    line += [] if inputs.device == "auto" else flag("device", inputs.device)
    line += [] if inputs.dtype == "float32" else flag("dtype", inputs.dtype)
    return shlex.join([*line, "--json"])


def convention_name(convention: str) -> str:
    """The convention as the page writes it."""
    return next(name for name, engine in CONVENTIONS.items() if engine == convention)


def set_name(layers: tuple[int, ...]) -> str:
    """A set of layers as the address writes it: ``3,7``."""
    return ",".join(map(str, layers))


def set_names(run: SweepRun) -> tuple[str, ...]:
    """All sets of a sweep as the address writes them."""
    return tuple(set_name(layers) for layers in run.sets)


def set_of(name: str) -> tuple[int, ...]:
    """The set that ``set_name`` wrote."""
    return tuple(int(layer) for layer in name.split(","))
