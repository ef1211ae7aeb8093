"""How far a run is, and how it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "Stopped", "Watch"]


class Stopped(Exception):
    """The run was stopped because its caller wished so; its finished blocks are kept."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    samples_done: int
    """Samples of finished blocks."""
    n_samples: int
    layer: int
    """Blocks of the network that the samples now in work have passed."""
    n_layers: int
    seconds: float
    """Since this call began."""
    remaining: float | None
    """Seconds still to go at the pace so far; None until there is one."""

    @property
    def share(self) -> float:
        """Share of the whole that is done, 0 to 1."""
        return self.samples_done / self.n_samples if self.n_samples else 1.0


class Watch:
    """Turns what a run reports into ``Progress``, and a wish to stop into ``Stopped``."""

    def __init__(
        self,
        n_samples: int,
        n_layers: int,
        on_progress: Callable[[Progress], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self._n_samples, self._n_layers = n_samples, n_layers
        self._on_progress, self._should_stop = on_progress, should_stop
        self._started = time.perf_counter()
        self._done = self._found = 0

    def found(self, n_samples: int) -> None:
        """Samples that an earlier run finished; they do not count for the pace."""
        self._found += n_samples
        self.finished(n_samples)

    def finished(self, n_samples: int) -> None:
        """A block is done."""
        self._done += n_samples
        self.at(0, 0.0)

    def reached(self, n_samples: int) -> None:
        """So many samples are done in all."""
        self.finished(n_samples - self._done)

    def at(self, n_block: int, share: float) -> None:
        """So much of a block of ``n_block`` samples is done. Raises Stopped."""
        if self._should_stop is not None and self._should_stop():
            raise Stopped
        if self._on_progress is None:
            return
        seconds = time.perf_counter() - self._started
        worked = self._done - self._found + n_block * share
        left = self._n_samples - self._done - n_block * share
        self._on_progress(
            Progress(
                samples_done=self._done,
                n_samples=self._n_samples,
                layer=round(share * self._n_layers),
                n_layers=self._n_layers,
                seconds=seconds,
                remaining=seconds * left / worked if worked > 0 else None,
            )
        )
