"""The Stages page's panels: one finished sweep for each task and stage, opened from the store and never computed.

1. ``find_panels``: the runs, or what would compute them.
2. ``effect_chart`` and ``difference_chart``: a panel's triangle, on the scale of all panels or on its own.
3. ``spread_rows``: how localised each panel is, as its effective number of layer sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from .. import runs
from ..charts import FAINT, UNITS
from ..sweep.charts import interval, set_cells
from ..sweep.state import set_name
from ..text import and_list, layer_names, signed
from ..triangle import short, title, triangle

if TYPE_CHECKING:
    from ivcore.patching import SetEffect, Spread
    from ivcore.runs import SweepRun

__all__ = ["Difference", "Panel", "SpreadRow", "difference_chart", "effect_chart", "find_panels", "spread_chart"]

_HEIGHT = 300
_NO_TITLES = ("", "")


@dataclass(frozen=True)
class Panel:
    """One task on one stage of the model."""

    task: str
    stage: str
    ref: str
    run: SweepRun | None
    """None where it was not computed, or is damaged."""
    damaged: str | None = None
    """What is wrong with the run on disk."""

    def ranked(self, metric: str) -> tuple[SetEffect, ...]:
        """Singles and pairs, highest mean effect first; nothing where there is no run."""
        return () if self.run is None else tuple(r for r in runs.ranking(self.run, metric) if len(r.layers) <= 2)

    def spread(self, metric: str) -> Spread | None:
        """How many sets share the effect."""
        return None if self.run is None else runs.spread_of(self.run, metric)

    def largest(self, metric: str) -> float:
        """The largest mean effect either way."""
        return max((abs(row.mean) for row in self.ranked(metric)), default=0.0)


@dataclass(frozen=True)
class Difference:
    """Two panels of one task: what the later stage has over the earlier."""

    before: Panel
    after: Panel

    @property
    def name(self) -> str:
        """Such as ``SFT − base``."""
        return f"{self.after.stage} − {self.before.stage}"

    @property
    def is_there(self) -> bool:
        """Whether both were computed."""
        return self.before.run is not None and self.after.run is not None

    def cells(self, metric: str) -> pd.DataFrame:
        """The cells of the triangle, with intervals where both stages answered the same samples."""
        first, second = self.before.run, self.after.run
        assert first is not None and second is not None
        found = runs.difference(first, second, metric)
        rows = zip(runs.common_sets(first, second), found, strict=True)
        return pd.DataFrame([_difference_cell(layers, row.mean, row.low, row.high) for layers, row in rows])


@dataclass(frozen=True)
class SpreadRow:
    """How localised one panel is."""

    task: str
    stage: str
    spread: Spread


def find_panels(
    stages: Sequence[tuple[str, str]], tasks: Sequence[str], convention: str
) -> tuple[tuple[Panel, ...], ...]:
    """For every task a panel for every (stage, ref)."""
    return tuple(tuple(_panel(task, stage, ref, convention) for stage, ref in stages) for task in tasks)


def effect_chart(panel: Panel, *, metric: str, span: float | None) -> alt.LayerChart:
    """The panel's triangle; ``span`` is where the color scale ends, None for its own."""
    assert panel.run is not None
    ranked, spread = panel.ranked(metric), panel.spread(metric)
    best, n_layers = ranked[0], int(panel.run.model["n_layers"])
    drawn = triangle(
        set_cells(ranked),
        n_layers,
        span=span or max(panel.largest(metric), FAINT[metric]),
        tooltips=_tooltips(f"mean {UNITS[metric]}"),
        selected=best.layers,
        labelled=False,
        clickable=False,
        axis_titles=_NO_TITLES,
        height=_HEIGHT,
    )
    notes = [f"strongest: {layer_names(best.layers)}, {signed(best.mean, 3)}"]
    if spread is not None and spread.effective_sets is not None:
        notes.append(f"spread over {spread.effective_sets:.1f} of {spread.n_sets} sets · n = {best.n}")
    return drawn.properties(title=title(panel.stage, notes))


def difference_chart(difference: Difference, *, metric: str, span: float | None) -> alt.LayerChart:
    """The later stage minus the earlier, set by set."""
    run = difference.after.run
    assert run is not None
    cells = difference.cells(metric)
    largest = cells.loc[cells["effect"].abs().idxmax()]
    drawn = triangle(
        cells,
        int(run.model["n_layers"]),
        span=span or max(abs(float(largest["effect"])), FAINT[metric]),
        tooltips=_tooltips(f"difference in {UNITS[metric]}"),
        labelled=False,
        clickable=False,
        axis_titles=_NO_TITLES,
        height=_HEIGHT,
    )
    clear = f"{int(cells['clear'].sum())} of {len(cells)} sets differ clearly"
    notes = [
        f"largest: {layer_names([int(x) for x in str(largest['set']).split(',')])}, {signed(largest['effect'], 3)}",
        clear if bool(cells["has_interval"].all()) else "other samples in the two stages: no intervals",
    ]
    return drawn.properties(title=title(difference.name, notes))


def spread_chart(rows: Sequence[SpreadRow], stages: Sequence[str]) -> alt.LayerChart:
    """The effective number of sets by stage, one line a task."""
    frame = pd.DataFrame(
        [{"task": row.task, "stage": row.stage, "sets": row.spread.effective_sets} for row in rows]
    ).dropna()
    x = alt.X("stage:N", sort=list(stages), title=None, axis=alt.Axis(labelAngle=0, labelFontSize=13))
    y = alt.Y("sets:Q", title="effective number of layer sets", scale=alt.Scale(zero=True))
    base = alt.Chart(frame).encode(x=x, y=y, color=alt.Color("task:N", legend=alt.Legend(title=None)))
    tooltip = [alt.Tooltip("task:N"), alt.Tooltip("stage:N"), alt.Tooltip("sets:Q", format=".1f")]
    dots = base.mark_circle(size=90, opacity=1).encode(tooltip=tooltip)
    return alt.LayerChart(layer=[base.mark_line(strokeWidth=2), dots]).properties(
        title=title("How many layer sets share the effect", ["1: a single set carries all. Higher: spread wider."]),
        height=300,
    )


def _panel(task: str, stage: str, ref: str, convention: str) -> Panel:
    from ivcore.errors import DamagedRunError

    try:
        return Panel(task, stage, ref, runs.newest(ref, task, convention))
    except DamagedRunError as err:
        return Panel(task, stage, ref, None, str(err))


def _difference_cell(layers: tuple[int, ...], mean: float, low: float | None, high: float | None) -> dict[str, object]:
    return {
        "low": str(layers[0]),
        "high": str(layers[-1]),
        "set": set_name(layers),
        "layers": and_list(layers),
        "effect": mean,
        "label": short(mean),
        "interval": interval(low, high),
        "has_interval": low is not None and high is not None,
        "clear": low is not None and high is not None and (low > 0 or high < 0),
    }


def _tooltips(unit: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("layers:N", title="patched layers"),
        alt.Tooltip("effect:Q", title=unit, format="+.4~f"),
        alt.Tooltip("interval:N", title="95% interval"),
    ]
