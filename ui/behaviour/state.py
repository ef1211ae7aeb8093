"""What the Behaviour page asks for, written down as URL parameters, permalink and command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from ..state import OTHER, flag

__all__ = ["BehaviourInputs", "behaviour_command", "behaviour_link"]


@dataclass(frozen=True)
class BehaviourInputs:
    """Everything that defines what the Behaviour page shows."""

    family: str
    """Entry of the model chooser, or ``OTHER``."""
    stages: tuple[tuple[str, str], ...]
    """(stage, what the engine loads) in the order of training; a model without stages has its name instead."""
    tasks: tuple[str, ...]
    """Names of bundled tasks, or ``OWN_FILE``."""
    samples: int = 100
    """At most; all queries of a task that has fewer."""
    task: str = ""
    """The task that is looked at; one of ``tasks``."""
    stage: str = ""
    device: str = "auto"
    dtype: str = "float32"
    prompt: str = ""
    """What was typed to be answered; empty for the task's own first prompt."""


def behaviour_link(base_url: str, inputs: BehaviourInputs) -> str:
    """The address that opens the page on these inputs."""
    named: dict[str, object] = {"model": inputs.family}
    named |= {"ref": inputs.stages[0][1]} if inputs.family == OTHER else {"stage": inputs.stage}
    named |= {"tasks": list(inputs.tasks) or "", "samples": inputs.samples, "task": inputs.task}
    named |= {"device": inputs.device, "dtype": inputs.dtype}
    named |= {"prompt": inputs.prompt} if inputs.prompt else {}
    return f"{base_url}?{urlencode(named, doseq=True)}"


def behaviour_command(
    inputs: BehaviourInputs, ref: str, task: str, samples: int, own: Mapping[str, str] | None = None
) -> str:
    """The shell command that prints the numbers of one task on one stage.

    Args:
        inputs: the page's inputs.
        ref: what the engine loads.
        task: name of a bundled task; unused where ``own`` says more.
        samples: how many queries.
        own: for a task from a file the flags that describe it, such as ``{"task-csv": "my.csv", ...}``.
    """
    line = ["python", "-m", "ivcore", "evaluate", *flag("model", ref)]
    for name, value in (own or {"task": task}).items():
        line += flag(name, value)
    line += ["--samples", str(samples)]
    line += [] if inputs.device == "auto" else flag("device", inputs.device)
    line += [] if inputs.dtype == "float32" else flag("dtype", inputs.dtype)
    return shlex.join([*line, "--json"])
