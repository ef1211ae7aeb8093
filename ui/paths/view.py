"""What every picture of one prompt shares: the drawing itself with its chooser, and what it hands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..frame import Download
from .component import show_picture
from .pick import Pick, pick_chooser, pick_now
from .picture import Grid
from .runs import Traced
from .state import PathsInputs

__all__ = ["View", "grid_of", "show_with_picks"]


@dataclass(frozen=True)
class View:
    """One picture as it was drawn."""

    inputs: PathsInputs
    downloads: Sequence[Download]
    options: dict[str, Sequence[object]] = field(default_factory=dict)
    """What its choosers offered, by URL parameter."""


def grid_of(traced: Traced, sources: tuple[int, ...]) -> Grid:
    """Columns are the prompt's positions."""
    info = traced.info
    return Grid(dict(enumerate(info.tokens)), traced.n_layers, info.t_inst, info.t_last, info.answer, sources)


def show_with_picks(picture: dict[str, Any], picks: Mapping[str, Pick], key: str) -> Pick | None:
    """The picture, and below it the chooser; what is looked at, if anything."""
    now = pick_now(picks)
    clicked = show_picture(picture | ({"chosen": now.drawn} if now else {}), key)
    return pick_chooser(picks, clicked)
