"""The only meeting of analyses and store: a request is computed once, block by block, and found again by its content.

``sweep``: a task swept over sets of layers.  ``plan``: many of them, from a TOML file.
"""

from __future__ import annotations

from .cost import SweepCost, sweep_cost
from .meta import model_document
from .plan import PlannedSweep, read_plan, sweep_request
from .progress import Progress, Stopped
from .report import sweep_document, sweep_lines
from .sweep import SweepRequest, SweepRun, SweepSummary, find_sweep, list_sweeps, open_sweep, run_sweep

__all__ = [
    "PlannedSweep",
    "Progress",
    "Stopped",
    "SweepCost",
    "SweepRequest",
    "SweepRun",
    "SweepSummary",
    "find_sweep",
    "list_sweeps",
    "model_document",
    "open_sweep",
    "read_plan",
    "run_sweep",
    "sweep_cost",
    "sweep_document",
    "sweep_lines",
    "sweep_request",
]
