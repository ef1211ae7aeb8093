"""Models: which there are, how they are loaded, and their steps.  The only place that knows a family's module names."""

from __future__ import annotations

from .families import FAMILIES, Family
from .loading import DEVICES, DTYPES, LoadedModel, ModelFacts, from_pretrained_parts, load_model
from .network import Network, Rotary, causal_mask
from .progress import LoadProgress
from .registry import ModelEntry, list_models, others_allowed
from .weights import Affine, BlockWeights, Norm

__all__ = [
    "DEVICES",
    "DTYPES",
    "FAMILIES",
    "Affine",
    "BlockWeights",
    "Family",
    "LoadProgress",
    "LoadedModel",
    "ModelEntry",
    "ModelFacts",
    "Network",
    "Norm",
    "Rotary",
    "causal_mask",
    "from_pretrained_parts",
    "list_models",
    "load_model",
    "others_allowed",
]
