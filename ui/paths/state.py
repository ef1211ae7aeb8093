"""What the Paths page asks for, written down as URL parameters, permalink and command line.

The values of bound widgets stand in the address as the page shows them, so the options here are what people read;
``BEGIN`` and ``SURROGATES`` lead to the engine's names.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from urllib.parse import urlencode

from ..state import OTHER, flag

__all__ = [
    "AT",
    "BEGIN",
    "DRAWN",
    "EMIT",
    "FLOW",
    "MAX_DRAWN",
    "MAX_K",
    "MAX_LIMIT",
    "ONE",
    "PAIR",
    "PATHS",
    "PICTURES",
    "SURROGATES",
    "TASK",
    "VIEWS",
    "PathsInputs",
    "paths_link",
    "plan_command",
    "trace_command",
]

ONE, TASK = "one prompt", "a whole task"
VIEWS = (ONE, TASK)

BEGIN = {"T_inst": "t_inst", "T_inst and after": "from_t_inst", "every token": "all"}
"""Where paths begin: name on the page, which is also the one in addresses, to name in the engine."""

AT = "these positions"
"""The entry that opens the field for positions."""

EMIT = {
    "every token": "all",
    "the token before T_inst and after": "from_before",
    "T_inst and after": "from_t_inst",
    "T_inst": "t_inst",
}
"""The same for a whole task."""

SURROGATES = {"as defined": "exact", "as released": "released"}

PATHS, FLOW, PAIR = "high-ranking paths", "exact flow", "two instructions"
PICTURES = (PATHS, FLOW, PAIR)

DRAWN, MAX_DRAWN = 40, 300
"""Paths (or edges) that are drawn at first, and at most."""

MAX_K, MAX_LIMIT = 64, 10_000
"""The largest k and the largest rank that the form takes."""


@dataclass(frozen=True)
class PathsInputs:
    """Everything that defines what the Paths page shows."""

    family: str
    """Entry of the model chooser, or ``OTHER``."""
    stages: tuple[tuple[str, str], ...]
    """(stage, what the engine loads); of one prompt only the chosen one."""
    stage: str
    """The stage that is looked at; empty for a model that the registry does not list."""
    ref: str
    """What the engine loads for it; empty where nothing was typed yet."""
    view: str = ONE
    instruction: str = ""
    query: str = ""
    answer: str = ""
    task: str = ""
    """Name of a bundled task, or ``OWN_FILE``; for a whole task."""
    samples: int = 100
    top_k: int = 1
    sources: str = "t_inst"
    """As the engine names them."""
    max_rank: int = 100
    surrogate: str = "exact"
    picture: str = PATHS
    drawn: int = DRAWN
    pick: str = ""
    """What in the graph is looked at closely, by its name there."""
    filters: tuple[tuple[str, object], ...] = ()
    """What the choosers above the picture say, by URL parameter."""
    instruction2: str = ""
    """The other instruction, where two are compared."""
    answer2: str = ""
    device: str = "auto"
    dtype: str = "float32"


def paths_link(base_url: str, inputs: PathsInputs) -> str:
    """The address that opens the page on these inputs."""
    named: dict[str, object] = {"model": inputs.family}
    named |= {"ref": inputs.ref} if inputs.family == OTHER else {"stage": inputs.stage}
    named |= {"look": inputs.view, "k": inputs.top_k, "rank": inputs.max_rank}
    named |= {"surrogate": _name_of(SURROGATES, inputs.surrogate)}
    named |= _one(inputs) if inputs.view == ONE else _task(inputs)
    return f"{base_url}?{urlencode(named | {'device': inputs.device, 'dtype': inputs.dtype})}"


def _one(inputs: PathsInputs) -> dict[str, object]:
    named: dict[str, object] = {"instruction": inputs.instruction, "query": inputs.query, "answer": inputs.answer}
    if inputs.sources in BEGIN.values():
        named |= {"begin": _name_of(BEGIN, inputs.sources)}
    else:
        named |= {"begin": AT, "at": inputs.sources}
    named |= {"picture": inputs.picture, "drawn": inputs.drawn}
    if inputs.picture == PAIR:
        named |= {"instruction2": inputs.instruction2, "answer2": inputs.answer2}
    return named | dict(inputs.filters) | ({"pick": inputs.pick} if inputs.pick else {})


def _task(inputs: PathsInputs) -> dict[str, object]:
    named: dict[str, object] = {"task": inputs.task, "samples": inputs.samples}
    return named | {"emit": _name_of(EMIT, inputs.sources)} | dict(inputs.filters)


def trace_command(inputs: PathsInputs, instruction: str, answer: str, sources: str) -> str:
    """The shell command that prints the paths of one prompt."""
    line = ["python", "-m", "ivcore", "trace", *flag("model", inputs.ref), *flag("instruction", instruction)]
    line += [*flag("query", inputs.query), *flag("answer", answer)]
    line += ["--top-k", str(inputs.top_k), *flag("sources", sources), "--max-rank", str(inputs.max_rank)]
    line += [] if inputs.surrogate == "exact" else ["--surrogate", inputs.surrogate]
    line += [] if inputs.device == "auto" else flag("device", inputs.device)
    line += [] if inputs.dtype == "float32" else flag("dtype", inputs.dtype)
    return shlex.join([*line, "--json"])


def plan_command(inputs: PathsInputs) -> str:
    """The lines for a shell that write a plan with one table for each stage, and compute it."""
    tables = "\n".join(_table(inputs, ref) for _, ref in inputs.stages)
    return f"cat > plan.toml <<'END'\n{tables}END\npython -m ivcore precompute plan.toml --json"


def _table(inputs: PathsInputs, ref: str) -> str:
    named: dict[str, object] = {"model": ref, "task": inputs.task, "top_k": inputs.top_k, "samples": inputs.samples}
    named |= {"sources": inputs.sources, "max_rank": inputs.max_rank, "surrogate": inputs.surrogate}
    named |= {"device": inputs.device, "dtype": inputs.dtype}
    # A JSON text is a TOML text as well.
    rows = "".join(f"{name} = {json.dumps(value)}\n" for name, value in named.items())
    return f"[[paths]]\n{rows}"


def _name_of(names: dict[str, str], engine: str) -> str:
    return next(name for name, value in names.items() if value == engine)
