"""Which attention heads the high-ranking paths use (REFERENCE section 4), more than chance would, and whether the
instruction chooses them: ``activity`` of each head, ``similarity`` of two sets of active heads.
"""

from __future__ import annotations

from .activity import THRESHOLD, HeadActivity, HeadUse, head_activity
from .similarity import (
    LAYER_GROUPS,
    Agreement,
    Similarity,
    SplitHalves,
    agreement_by_layer,
    jaccard,
    split_halves,
)

__all__ = [
    "LAYER_GROUPS",
    "THRESHOLD",
    "Agreement",
    "HeadActivity",
    "HeadUse",
    "Similarity",
    "SplitHalves",
    "agreement_by_layer",
    "head_activity",
    "jaccard",
    "split_halves",
]
