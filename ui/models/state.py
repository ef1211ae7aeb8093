"""What the Models page asks for, and the three ways to write it down: URL parameters, permalink, command line."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from urllib.parse import urlencode

from ..state import OTHER, flag

__all__ = ["ModelsInputs", "check_command", "models_link"]


@dataclass(frozen=True)
class ModelsInputs:
    """The chosen model, and how it is to be loaded."""

    family: str
    """Entry of the model chooser, or ``OTHER``."""
    stage: str
    ref: str
    """What the engine loads; empty where nothing was typed yet."""
    device: str = "auto"
    dtype: str = "float32"


def models_link(base_url: str, inputs: ModelsInputs) -> str:
    """The address that opens the page on these inputs."""
    chosen = {"ref": inputs.ref} if inputs.family == OTHER else {"stage": inputs.stage}
    return (
        f"{base_url}?{urlencode({'model': inputs.family} | chosen | {'device': inputs.device, 'dtype': inputs.dtype})}"
    )


def check_command(inputs: ModelsInputs) -> str:
    """The shell command that checks the model."""
    line = ["python", "-m", "ivcore", "check", *flag("model", inputs.ref)]
    line += [] if inputs.device == "auto" else flag("device", inputs.device)
    line += [] if inputs.dtype == "float32" else flag("dtype", inputs.dtype)
    return shlex.join([*line, "--json"])
