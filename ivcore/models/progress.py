"""How far the loading of a model is.  Who is told may stop it by raising; what was fetched stays in the hub's cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["LoadProgress", "OnProgress", "Teller"]


@dataclass(frozen=True)
class LoadProgress:
    """What is being done, and how much of it is done."""

    stage: Literal["download", "read"]
    """From the hub into its cache; or from the disk into memory."""
    done: int
    """Bytes.  While weights are read, all tensors count alike, and the fingerprint is the second half."""
    total: int | None
    """Bytes; None where the hub does not say."""


OnProgress = Callable[[LoadProgress], None]


class Teller:
    """Tells a callback, and keeps what it raised, so that a wish to stop is not taken for a failure."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self.raised: BaseException | None = None

    def __call__(self, stage: Literal["download", "read"], done: int, total: int | None) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(LoadProgress(stage, done, total))
        except BaseException as err:
            self.raised = err
            raise
