"""What the Patch page offers to download: the numbers as a table and as JSON, and its two charts as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import charts
from ..frame import Download
from ..numbers import as_csv, as_json, pair_rows
from ..state import PatchInputs
from .result import PatchResult

if TYPE_CHECKING:
    from ivcore.models import LoadedModel

__all__ = ["patch_downloads"]


def patch_downloads(result: PatchResult, loaded: LoadedModel, inputs: PatchInputs) -> tuple[Download, ...]:
    """The files of one result; each is made only when it is asked for."""
    model = {"ref": loaded.ref, "family": loaded.family, "n_layers": loaded.n_layers, "fingerprint": loaded.fingerprint}
    model |= {"revision": loaded.revision, "device": loaded.device, "dtype": loaded.dtype}
    n_layers, metric, layers = loaded.n_layers, inputs.metric, inputs.layers
    numbers = (
        Download("CSV", "patch.csv", "text/csv", lambda: as_csv(result.report)),
        Download("JSON", "patch.json", "application/json", lambda: as_json(result.report, model)),
    )
    if not result.has_map:
        return numbers
    pairs = pair_rows(result.rows, metric)
    return (
        *numbers,
        Download(
            "Map as SVG",
            "patch-map.svg",
            "image/svg+xml",
            lambda: charts.as_svg(charts.effect_map(result.rows, n_layers, metric=metric, selected=layers)),
        ),
        Download(
            "Pairs as SVG",
            "patch-pairs.svg",
            "image/svg+xml",
            lambda: charts.as_svg(charts.pair_chart(pairs, metric=metric, selected=layers)),
        ),
    )
