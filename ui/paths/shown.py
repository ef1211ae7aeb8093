"""What a view hands to the foot of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..frame import Download
from .state import PathsInputs

__all__ = ["Shown"]


@dataclass(frozen=True)
class Shown:
    """A drawn view: what it shows, and how it is kept."""

    inputs: PathsInputs
    """With everything that was chosen below the form."""
    downloads: Sequence[Download]
    commands: Sequence[str]
    note: str
    """What the commands do."""
    is_shareable: bool = True
    """Whether an address can bring it back."""
