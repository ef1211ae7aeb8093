"""What the Geometry page asks for, written down as URL parameters, permalink and command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from ..state import OTHER, flag

__all__ = [
    "BUNDLED",
    "COMPONENTS",
    "EMBEDDING",
    "FILES",
    "PASTED",
    "SOURCES",
    "VIEWS",
    "GeometryInputs",
    "geometry_command",
    "geometry_link",
    "layer_name",
    "layer_words",
]

BUNDLED, PASTED, FILES = "bundled tasks", "pasted", "files"
SOURCES = (BUNDLED, PASTED, FILES)
"""Where the paraphrases come from."""

COMPONENTS = {"residual stream": "resid", "attention": "attn", "MLP": "mlp"}
"""Name on the page, which is also the one in addresses, to name in the engine."""

VIEWS = {"LDA": "lda", "PCA": "pca", "t-SNE": "tsne", "as released": "released"}

EMBEDDING = "embedding"
"""The first point of the axis of layers."""


@dataclass(frozen=True)
class GeometryInputs:
    """Everything that defines what the Geometry page shows."""

    family: str
    """Entry of the model chooser, or ``OTHER``."""
    stages: tuple[tuple[str, str], ...]
    """(stage, what the engine loads) in the order of training; a model without stages has its name instead."""
    source: str = BUNDLED
    tasks: tuple[str, ...] = ()
    """The bundled tasks that are compared; empty for one's own paraphrases."""
    component: str = "resid"
    layer: str = ""
    """The layer that is looked at: ``EMBEDDING`` or a number."""
    view: str = "lda"
    stage: str = ""
    task: str = ""
    """The class that is set against patching."""
    device: str = "auto"
    dtype: str = "float32"

    @property
    def is_shareable(self) -> bool:
        """Whether an address can bring the inputs back: one's own texts cannot be part of one."""
        return self.source == BUNDLED


def geometry_link(base_url: str, inputs: GeometryInputs) -> str:
    """The address that opens the page on these inputs."""
    named: dict[str, object] = {"model": inputs.family}
    named |= {"ref": inputs.stages[0][1]} if inputs.family == OTHER else {"stage": inputs.stage}
    named |= {"source": inputs.source, "compare": list(inputs.tasks) or "", "component": _name_of(COMPONENTS, inputs)}
    named |= {"view": next(name for name, view in VIEWS.items() if view == inputs.view)}
    named |= {"layer": inputs.layer} if inputs.layer else {}
    named |= {"task": inputs.task} if inputs.task else {}
    return f"{base_url}?{urlencode(named | {'device': inputs.device, 'dtype': inputs.dtype}, doseq=True)}"


def geometry_command(inputs: GeometryInputs, ref: str, files: Sequence[str] = (), *, released: bool = False) -> str:
    """The shell command that prints the numbers of one stage.

    Args:
        inputs: the page's inputs.
        ref: what the engine loads.
        files: names of CSV files of paraphrases; without, the tasks of ``inputs`` are compared.
        released: whether the released code's pooled probe is asked for too.
    """
    line = ["python", "-m", "ivcore", "geometry", *flag("model", ref)]
    line += ["--paraphrases", *(f"./{name}" if name.startswith("-") else name for name in files)] if files else []
    line += [] if files else flag("tasks", ",".join(inputs.tasks))
    line += [] if inputs.component == "resid" else flag("component", inputs.component)
    line += ["--released"] if released else []
    line += [] if inputs.device == "auto" else flag("device", inputs.device)
    line += [] if inputs.dtype == "float32" else flag("dtype", inputs.dtype)
    return shlex.join([*line, "--json"])


def layer_name(layer: int | None) -> str:
    """A layer on an axis."""
    return EMBEDDING if layer is None else str(layer)


def layer_words(name: str) -> str:
    """A layer in a sentence: ``the embedding`` or ``layer 3``."""
    return f"the {EMBEDDING}" if name == EMBEDDING else f"layer {name}"


def _name_of(names: Mapping[str, str], inputs: GeometryInputs) -> str:
    return next(name for name, component in names.items() if component == inputs.component)
