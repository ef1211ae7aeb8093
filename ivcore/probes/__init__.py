"""Where paraphrases of an instruction lie: probes, discriminants and views of their states (REFERENCE section 2).

``geometry`` is the whole for all layers. Its parts: ``folds``, ``scaling``, ``logistic`` and ``nested`` (the linear
probe), ``discriminant`` (LDA), ``separation`` (numbers), ``views`` (pictures). ``released``: what the released code
does.
"""

from __future__ import annotations

from .geometry import (
    N_PERMUTATIONS,
    Geometry,
    LayerGeometry,
    Plan,
    Probe,
    geometry,
    layer_geometry,
    lexical_probe,
    plan_geometry,
)
from .released import ReleasedLda, ReleasedProbe, released_lda, released_probe
from .separation import Separation
from .views import View, tsne_view

__all__ = [
    "N_PERMUTATIONS",
    "Geometry",
    "LayerGeometry",
    "Plan",
    "Probe",
    "ReleasedLda",
    "ReleasedProbe",
    "Separation",
    "View",
    "geometry",
    "layer_geometry",
    "lexical_probe",
    "plan_geometry",
    "released_lda",
    "released_probe",
    "tsne_view",
]
