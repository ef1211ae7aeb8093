"""Which token sends out the paths: over the samples of a task, for each place relative to T_inst.

Counts are means over the samples that have such a place; shares are ratios of sums, high-ranking over all paths.  Both
with a bootstrap over samples, since the paths of one sample are not independent of one another.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from ..text import visible

if TYPE_CHECKING:
    from ivcore.runs import PathsRun
    from ivcore.stats import MeanInterval, RatioInterval

__all__ = ["Emitter", "emitters", "emitters_csv", "rows_csv"]


@dataclass(frozen=True)
class Emitter:
    """One place where paths begin."""

    offset: int
    """Position minus T_inst."""
    token: str
    """The token there; empty where samples differ."""
    high: MeanInterval
    """High-ranking paths of a sample."""
    paths: float
    """All paths of a sample, mean."""
    share: RatioInterval
    """High-ranking over all paths."""

    @property
    def label(self) -> str:
        """For an axis: ``0 .`` or ``+3 …``."""
        number = "0" if self.offset == 0 else f"{self.offset:+d}".replace("-", "−")
        return f"{number} {visible(self.token) if self.token else '…'}"


def emitters(run: PathsRun, sample: int | None = None) -> tuple[Emitter, ...]:
    """All places, from the left; of one sample, or over all of them."""
    return _emitters(run, run.key, sample)


def emitters_csv(found: Sequence[tuple[str, str, Sequence[Emitter]]]) -> str:
    """One line for each (stage, model) and place."""
    names = ["stage", "model", "offset", "token", "n", "high_ranking", "high_ranking_low", "high_ranking_high"]
    names += ["paths", "share", "share_low", "share_high"]
    rows: list[Sequence[object]] = []
    for stage, ref, places in found:
        for one in places:
            high, share = one.high, one.share
            line = [stage, ref, one.offset, one.token, high.n, high.mean, high.low, high.high]
            rows.append([*line, one.paths, share.value, share.low, share.high])
    return _table(names, rows)


def rows_csv(runs: Sequence[tuple[str, PathsRun]]) -> str:
    """One line for each stage, sample and source."""
    names = ["stage", "model", "sample", "query", "answer", "position", "offset", "token", "paths", "high_ranking"]
    names += ["coverage", "coverage_of_all"]
    rows: list[Sequence[object]] = []
    for stage, run in runs:
        for row in range(len(run.sample)):
            sample, position = int(run.sample[row]), int(run.position[row])
            info = run.samples[sample]
            line = [stage, run.model["ref"], sample, *run.request.items[sample], position, position - info.t_inst]
            counts = [info.tokens[position], int(run.n_paths[row]), int(run.n_high_ranking[row])]
            rows.append([*line, *counts, run.coverage(row), run.coverage(row, of_all=True)])
    return _table(names, rows)


@st.cache_resource(max_entries=64, show_spinner=False)
def _emitters(_run: PathsRun, key: str, sample: int | None) -> tuple[Emitter, ...]:
    from ivcore.stats import bootstrap_means, ratio_interval

    t_inst = np.array([info.t_inst for info in _run.samples])
    offsets = _run.position.astype(int) - t_inst[_run.sample]
    wanted = np.ones(len(offsets), dtype=bool) if sample is None else _run.sample == sample
    found = []
    for offset in np.unique(offsets[wanted]).tolist():
        rows = np.flatnonzero(wanted & (offsets == offset))
        high, paths = _run.n_high_ranking[rows].astype(float), _run.n_paths[rows].astype(float)
        tokens = {_run.samples[int(_run.sample[row])].tokens[int(_run.position[row])] for row in rows}
        token = tokens.pop() if len(tokens) == 1 else ""
        (mean,) = bootstrap_means(high[None])
        found.append(Emitter(offset, token, mean, float(paths.mean()), ratio_interval(high, paths)))
    return tuple(found)


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return file.getvalue()
