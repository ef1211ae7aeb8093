"""What a page's form asks for, and the three ways to write it down: URL parameters, permalink, command line.

Widget keys are URL parameter names.  A permalink names every input, also those at their default, so that it means the
same after a default changes.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

__all__ = [
    "DEVICES",
    "DTYPES",
    "METRICS",
    "METRIC_NAMES",
    "OTHER",
    "PatchInputs",
    "commands",
    "flag",
    "link_complaints",
    "link_position",
    "permalink",
]

OTHER = "another model"
"""The model chooser's entry that opens the field for a folder or hub id."""

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("float32", "bfloat16", "float16", "float64")
_MOST_LISTED = 40
METRIC_NAMES = {"rr": "RR", "logit": "logit", "logprob": "log-probability"}
METRICS = {name: metric for metric, name in METRIC_NAMES.items()}
"""Name on the page, which is also the one in addresses, to name in the engine."""


@dataclass(frozen=True)
class PatchInputs:
    """Everything that defines a result of the Patch page."""

    family: str
    """Entry of the model chooser, or ``OTHER``."""
    stage: str
    ref: str
    """What the engine loads: a bundled name, a folder or a hub id."""
    instruction: str
    query: str
    answer: str
    """Empty for the model's own top answer to the full prompt."""
    filler: str = "bos"
    chat: bool = False
    """Whether the tokenizer's chat template wraps the prompt."""
    t_inst: int | None = None
    """None for the last token of the instruction."""
    layers: tuple[int, ...] = ()
    metric: str = "rr"
    device: str = "auto"
    dtype: str = "float32"

    @property
    def answer_or_none(self) -> str | None:
        """The expected answer, or None for the model's own."""
        return self.answer if self.answer.strip() else None


def permalink(base_url: str, inputs: PatchInputs) -> str:
    """The address that opens the page on these inputs."""
    named: dict[str, object] = {"model": inputs.family, "stage": inputs.stage}
    if inputs.family == OTHER:
        named = {"model": inputs.family, "ref": inputs.ref}
    named |= {"instruction": inputs.instruction, "query": inputs.query, "answer": inputs.answer}
    named |= {"filler": inputs.filler, "chat": str(inputs.chat).lower()}
    named |= {"t_inst": "" if inputs.t_inst is None else inputs.t_inst}
    named |= {"layers": list(inputs.layers) or "", "metric": METRIC_NAMES[inputs.metric]}
    named |= {"device": inputs.device, "dtype": inputs.dtype}
    return f"{base_url}?{urlencode(named, doseq=True)}"


def commands(inputs: PatchInputs, answer: str | None) -> tuple[str, ...]:
    """The shell commands that print the page's numbers: the chosen set (where there is one), then the map.

    Args:
        inputs: the page's inputs.
        answer: the answer to name, None to let the model's own top answer stand.
    """
    shared = ["python", "-m", "ivcore", "patch", *flag("model", inputs.ref)]
    shared += [*flag("instruction", inputs.instruction), *flag("query", inputs.query)]
    shared += [] if answer is None else flag("answer", answer)
    shared += [] if inputs.filler == "bos" else flag("filler", inputs.filler)
    shared += ["--chat"] if inputs.chat else []
    shared += [] if inputs.t_inst is None else flag("t-inst", str(inputs.t_inst))
    shared += [] if inputs.device == "auto" else flag("device", inputs.device)
    shared += [] if inputs.dtype == "float32" else flag("dtype", inputs.dtype)
    chosen = [[*shared, *flag("layers", ",".join(map(str, inputs.layers)))]] if inputs.layers else []
    return tuple(shlex.join([*line, "--json"]) for line in [*chosen, [*shared, *flag("depth", "2")]])


def flag(name: str, value: str) -> list[str]:
    """The words ``--name value``, joined by ``=`` where the value would read as a flag."""
    return [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]


def link_complaints(link: Mapping[str, Sequence[str]], options: Mapping[str, Sequence[object]]) -> tuple[str, ...]:
    """One sentence for each parameter of a link whose value is not among ``options``; the page ignores it."""
    found = []
    for name, allowed in options.items():
        known = [str(option) for option in allowed]
        unknown = [value for value in link.get(name, ()) if value and value not in known]
        if unknown:
            offered = f"{known[0]} to {known[-1]}" if isinstance(allowed, range) and known else _listed(known)
            asked = ", ".join(f"“{_cut(value)}”" for value in unknown[:4])
            found.append(f"The link asks for {name} {asked}, but there is only {offered}; that part is ignored.")
    return tuple(found)


def link_position(link: Mapping[str, Sequence[str]], name: str, n: int) -> tuple[int | None, str | None]:
    """A position below ``n`` from a link's parameter, and a complaint where it is none."""
    text = next(reversed(link.get(name, ())), "").strip()
    if not text:
        return None, None
    if text.isascii() and text.isdigit() and len(text) < 9 and int(text) < n:
        return int(text), None
    return None, f"The link asks for {name} “{_cut(text)}”, but there is only 0 to {n - 1}; that part is ignored."


def _listed(known: Sequence[str]) -> str:
    """What there is, in full as long as that can be read."""
    if len(known) > _MOST_LISTED:
        return f"{', '.join(known[:3])} and {len(known) - 3} more"
    return ", ".join(known) or "none"


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
