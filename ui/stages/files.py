"""What the Stages page says of its runs, and offers to download."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import streamlit as st

from ..frame import Download
from ..sweep.state import set_name
from ..text import and_list, count, markdown
from .grid import Panel
from .result import counted

__all__ = ["caption", "stages_csv", "stages_downloads"]


def caption(grid: Sequence[Sequence[Panel]]) -> None:
    """What the panels were measured on."""
    runs = [panel.run for row in grid for panel in row if panel.run is not None]
    facts = [counted(grid)]
    if runs:
        facts.append(f"n = {and_list(sorted({count(run.n_samples) for run in runs}))} samples")
        facts.append("95% intervals: bootstrap over samples, 10,000 resamples, seed 0")
        models = sorted({f"{run.model['ref']} ({str(run.model['fingerprint'])[:12]})" for run in runs})
        facts.append(and_list(models))
        facts += [and_list(sorted({str(run.model[name]) for run in runs})) for name in ("device", "dtype")]
        facts.append(f"computed {min(run.created for run in runs)[:10]} to {max(run.created for run in runs)[:10]}")
    st.caption(markdown(" · ".join(facts)))


def stages_downloads(grid: Sequence[Sequence[Panel]], metric: str) -> tuple[Download, ...]:
    """The numbers of all panels as one table."""
    return (Download("Panels as CSV", "stages.csv", "text/csv", lambda: stages_csv(grid, metric)),)


def stages_csv(grid: Sequence[Sequence[Panel]], metric: str) -> str:
    """One line for each task, stage and set."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = ["task", "stage", "model", "metric", "layers", "n", "mean", "ci_low", "ci_high", "effective_sets"]
    writer.writerow(names)
    for panel in (panel for row in grid for panel in row):
        spread = panel.spread(metric)
        effective = "" if spread is None else spread.effective_sets
        for row in panel.ranked(metric):
            layers = set_name(row.layers).replace(",", " ")
            numbers = [row.n, row.mean, row.low, row.high, effective]
            writer.writerow([panel.task, panel.stage, panel.ref, metric, layers, *numbers])
    return file.getvalue()
