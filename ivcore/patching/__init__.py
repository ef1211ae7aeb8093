"""Patching: write source vectors into target prompts at sets of layers and measure what the answers do."""

from __future__ import annotations

from .cost import Shape, minimal_operations
from .effects import (
    HeldOut,
    ReleasedTest,
    SetEffect,
    Spread,
    Superadditivity,
    ThirdOrder,
    chosen_on_halves,
    rank_sets,
    released_superadditivity,
    spread,
    superadditivity,
)
from .report import Outcome, Patched, PatchReport, patch
from .sets import MAX_DEPTH, MAX_SETS, LayerSet, check_sets, layer_sets
from .shared_prefix import final_residuals
from .sweep import (
    BLOCK_SAMPLES,
    MEMORY_BUDGET,
    SweepBlock,
    SweepSample,
    build_samples,
    plan_blocks,
    sweep_block,
    task_vectors,
)

__all__ = [
    "BLOCK_SAMPLES",
    "MAX_DEPTH",
    "MAX_SETS",
    "MEMORY_BUDGET",
    "HeldOut",
    "LayerSet",
    "Outcome",
    "PatchReport",
    "Patched",
    "ReleasedTest",
    "SetEffect",
    "Shape",
    "Spread",
    "Superadditivity",
    "SweepBlock",
    "SweepSample",
    "ThirdOrder",
    "build_samples",
    "check_sets",
    "chosen_on_halves",
    "final_residuals",
    "layer_sets",
    "minimal_operations",
    "patch",
    "plan_blocks",
    "rank_sets",
    "released_superadditivity",
    "spread",
    "superadditivity",
    "sweep_block",
    "task_vectors",
]
