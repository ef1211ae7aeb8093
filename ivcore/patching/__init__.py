"""Patching: write source vectors into a target prompt at sets of layers and measure what the answer does."""

from __future__ import annotations

from .report import Outcome, Patched, PatchReport, patch
from .sets import MAX_DEPTH, MAX_SETS, check_sets, layer_sets
from .shared_prefix import final_residuals

__all__ = [
    "MAX_DEPTH",
    "MAX_SETS",
    "Outcome",
    "PatchReport",
    "Patched",
    "check_sets",
    "final_residuals",
    "layer_sets",
    "patch",
]
