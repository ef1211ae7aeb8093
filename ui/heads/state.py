"""What the Heads page asks for, and the three ways to write it down: URL parameters, permalink, command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from ..paths.state import SURROGATES
from ..state import OTHER, flag
from ..text import MINUS

__all__ = [
    "ACTIVITY",
    "BY",
    "EXCESS",
    "KS",
    "MOST_K",
    "MOST_THRESHOLD",
    "OFFSETS",
    "POSITIONS",
    "P_ADJUSTED",
    "STAGES",
    "TASKS",
    "VALUES",
    "WIDTH",
    "HeadsInputs",
    "Wanted",
    "heads_command",
    "heads_link",
    "k_words",
    "position_words",
    "threshold_complaints",
    "two_sides",
]

TASKS, STAGES, POSITIONS, KS = "tasks", "stages", "positions", "values of k"
BY = (TASKS, STAGES, POSITIONS, KS)
"""What the two sides of the page differ in."""

OFFSETS = ("-1", "0", "1")
"""Sources, counted from T_inst."""

ACTIVITY, EXCESS, WIDTH, P_ADJUSTED = "activity", "more than chance", "interval width", "p (adjusted)"
VALUES = (ACTIVITY, EXCESS, WIDTH, P_ADJUSTED)
"""What the maps can show."""

MOST_K, MOST_THRESHOLD = 64, 0.95


@dataclass(frozen=True)
class Wanted:
    """One side of the comparison: whose heads, and where the paths begin."""

    name: str
    """What tells it from the other side."""
    stage: str
    ref: str
    """What the engine loads."""
    task: str
    top_k: int
    offset: int
    """Of the source from T_inst."""


@dataclass(frozen=True)
class HeadsInputs:
    """Everything that defines what the Heads page shows."""

    family: str
    """Entry of the model chooser, or ``OTHER``."""
    stages: tuple[tuple[str, str], ...]
    """(stage, what the engine loads) in the order of training; a model without stages has an empty name."""
    stage: str
    by: str = TASKS
    task: str = ""
    other_task: str = ""
    """The contrastive one; empty where the task has none."""
    top_k: int = 1
    offset: int = 0
    other_stage: str = ""
    other_k: int = 2
    other_offset: int = 1
    surrogate: str = "exact"
    threshold: float = 0.1
    value: str = ACTIVITY
    head: str = ""
    """The head that is looked at closely, as ``layer.head``."""
    sample: int = 1
    """The prompt that is looked at closely, from 1."""
    device: str = "auto"
    dtype: str = "float32"

    @property
    def ref(self) -> str:
        """What the engine loads for the chosen stage; empty where nothing was typed yet."""
        return dict(self.stages).get(self.stage, "")


def two_sides(inputs: HeadsInputs) -> tuple[Wanted, Wanted]:
    """Both sides; of stages, positions and values of k the earlier or smaller first."""
    stage, ref, task, k, offset = inputs.stage, inputs.ref, inputs.task, inputs.top_k, inputs.offset
    if inputs.by == STAGES:
        both = [one for one in inputs.stages if one[0] in (stage, inputs.other_stage)]
        first, second = (Wanted(name, name, of, task, k, offset) for name, of in both)
    elif inputs.by == POSITIONS:
        places = sorted((offset, inputs.other_offset))
        first, second = (Wanted(position_words(place), stage, ref, task, k, place) for place in places)
    elif inputs.by == KS:
        first, second = (Wanted(k_words(size), stage, ref, task, size, offset) for size in sorted((k, inputs.other_k)))
    else:
        first, second = (Wanted(name, stage, ref, name, k, offset) for name in (task, inputs.other_task))
    return first, second


def position_words(offset: int) -> str:
    """``T_inst``, ``T_inst + 1`` or ``T_inst − 1``."""
    return "T_inst" if not offset else f"T_inst {MINUS if offset < 0 else '+'} {abs(offset)}"


def k_words(top_k: int) -> str:
    """``k = 2``."""
    return f"k = {top_k}"


def heads_link(base_url: str, inputs: HeadsInputs) -> str:
    """The address that opens the page on these inputs."""
    named: dict[str, object] = {"model": inputs.family}
    named |= {"ref": inputs.ref} if inputs.family == OTHER else {"stage": inputs.stage}
    named |= {"by": inputs.by, "task": inputs.task, "k": inputs.top_k, "offset": inputs.offset}
    named |= {"stage2": inputs.other_stage} if inputs.by == STAGES else {}
    named |= {"offset2": inputs.other_offset} if inputs.by == POSITIONS else {}
    named |= {"k2": inputs.other_k} if inputs.by == KS else {}
    named |= {"surrogate": next(name for name, engine in SURROGATES.items() if engine == inputs.surrogate)}
    named |= {"value": inputs.value, "threshold": f"{inputs.threshold:g}"}
    named |= {"head": inputs.head, "sample": inputs.sample} if inputs.head else {}
    return f"{base_url}?{urlencode(named | {'device': inputs.device, 'dtype': inputs.dtype})}"


def heads_command(inputs: HeadsInputs, side: Wanted, n_samples: int) -> str:
    """The shell command that prints the heads of one side, as its paths use them."""
    line = ["python", "-m", "ivcore", "heads", *flag("model", side.ref), *flag("task", side.task)]
    line += ["--top-k", str(side.top_k), "--samples", str(n_samples)]
    line += ["--offset", str(side.offset)] if side.offset else []
    line += [] if inputs.surrogate == "exact" else ["--surrogate", inputs.surrogate]
    line += [] if inputs.device == "auto" else flag("device", inputs.device)
    line += [] if inputs.dtype == "float32" else flag("dtype", inputs.dtype)
    return shlex.join([*line, "--json"])


def threshold_complaints(link: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What is wrong with a link's threshold, if anything is."""
    text = next(reversed(link.get("threshold", ())), "").strip()
    try:
        if not text or 0 <= float(text) <= MOST_THRESHOLD:
            return ()
    except ValueError:
        pass
    cut = text if len(text) <= 40 else f"{text[:39]}…"
    return (f"The link asks for threshold “{cut}”, but there is only 0 to {MOST_THRESHOLD}; that part is ignored.",)
