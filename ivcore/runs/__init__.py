"""The only meeting of analyses and store: a request is computed once, block by block, and found again by its content.

``sweep``: a task swept over sets of layers.  ``behaviour``: a task's queries answered and judged.  ``geometry``:
paraphrases compared.  ``paths``: prompts traced.  ``plan``: many of them, from a TOML file.  ``verdicts``: self-checks.
"""

from __future__ import annotations

from .behaviour import (
    BehaviourRequest,
    BehaviourRun,
    BehaviourSummary,
    Judged,
    behaviour_request,
    find_behaviour,
    judge_answers,
    list_behaviours,
    open_behaviour,
    run_behaviour,
)
from .cost import SweepCost, sweep_cost
from .geometry import (
    GeometryRequest,
    GeometryRun,
    GeometrySummary,
    find_geometry,
    geometry_request,
    list_geometries,
    open_geometry,
    run_geometry,
)
from .heads import head_use, heads_document, heads_lines, sources_with
from .meta import model_document
from .paths import PathsRun, PathsSummary, SampleInfo, find_covering, find_paths, list_paths, open_paths, run_paths
from .paths_request import SOURCES, PathsRequest, paths_request, source_positions, sources_cover
from .plan import (
    Planned,
    PlannedBehaviour,
    PlannedGeometry,
    PlannedPaths,
    PlannedSweep,
    read_plan,
    sweep_request,
    task_paths_request,
)
from .progress import Progress, Stopped
from .report import (
    behaviour_document,
    behaviour_lines,
    geometry_document,
    geometry_lines,
    sweep_document,
    sweep_lines,
    trace_document,
    trace_lines,
)
from .sweep import SweepRequest, SweepRun, SweepSummary, find_sweep, list_sweeps, open_sweep, run_sweep
from .verdicts import Verdict, checked, facts_of, find_verdict, kept_verdicts

__all__ = [
    "SOURCES",
    "BehaviourRequest",
    "BehaviourRun",
    "BehaviourSummary",
    "GeometryRequest",
    "GeometryRun",
    "GeometrySummary",
    "Judged",
    "PathsRequest",
    "PathsRun",
    "PathsSummary",
    "Planned",
    "PlannedBehaviour",
    "PlannedGeometry",
    "PlannedPaths",
    "PlannedSweep",
    "Progress",
    "SampleInfo",
    "Stopped",
    "SweepCost",
    "SweepRequest",
    "SweepRun",
    "SweepSummary",
    "Verdict",
    "behaviour_document",
    "behaviour_lines",
    "behaviour_request",
    "checked",
    "facts_of",
    "find_behaviour",
    "find_covering",
    "find_geometry",
    "find_paths",
    "find_sweep",
    "find_verdict",
    "geometry_document",
    "geometry_lines",
    "geometry_request",
    "head_use",
    "heads_document",
    "heads_lines",
    "judge_answers",
    "kept_verdicts",
    "list_behaviours",
    "list_geometries",
    "list_paths",
    "list_sweeps",
    "model_document",
    "open_behaviour",
    "open_geometry",
    "open_paths",
    "open_sweep",
    "paths_request",
    "read_plan",
    "run_behaviour",
    "run_geometry",
    "run_paths",
    "run_sweep",
    "source_positions",
    "sources_cover",
    "sources_with",
    "sweep_cost",
    "sweep_document",
    "sweep_lines",
    "sweep_request",
    "task_paths_request",
    "trace_document",
    "trace_lines",
]
