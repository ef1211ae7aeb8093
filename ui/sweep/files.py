"""What the Task sweep page offers to download: sets and samples as tables, the command line's JSON, two pictures."""

from __future__ import annotations

from .. import runs
from ..charts import as_svg
from ..frame import Download
from ..numbers import METRICS
from . import charts as sweep_charts
from .numbers import as_json, samples_csv, sets_csv
from .result import SweepResult

__all__ = ["sweep_downloads"]


def sweep_downloads(result: SweepResult) -> tuple[Download, ...]:
    """The files of one result; each is made only when it is asked for."""
    run, metric = result.run, result.metric

    def sets() -> str:
        ranked = {name: runs.ranking(run, name) for name in METRICS}
        return sets_csv(run, ranked, {name: runs.excesses(run, name) for name in METRICS})

    def picture() -> str:
        return as_svg(sweep_charts.sweep_map(result.ranked, result.n_layers, metric=metric, selected=result.layers))

    def ranking() -> str:
        return as_svg(sweep_charts.ranking_chart(result.ranked, metric=metric, selected=result.layers))

    return (
        Download("Sets as CSV", "sweep-sets.csv", "text/csv", sets),
        Download("Samples as CSV", "sweep-samples.csv", "text/csv", lambda: samples_csv(run)),
        Download("JSON", "sweep.json", "application/json", lambda: as_json(run)),
        Download("Map as SVG", "sweep-map.svg", "image/svg+xml", picture),
        Download("Ranking as SVG", "sweep-ranking.svg", "image/svg+xml", ranking),
    )
