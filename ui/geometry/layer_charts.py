"""Charts of the Geometry page's closer looks: pure functions from numbers to Altair charts.

1. ``task_chart`` and ``patch_chart``: one task's probe accuracy and, below on the same axis of layers, the effect of
   patching each single layer.
2. ``figure_chart``: one figure of separation by layer, one line a stage.
3. ``confusion_chart``: which class is taken for which.
4. ``split_chart``: the released code's probe, and the same with whole paraphrases held out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from ..behaviour.charts import share_words, whole
from ..charts import UNITS, empty_chart
from ..sweep.charts import interval
from ..triangle import INK, NEGATIVE, POSITIVE, title
from .charts import layer_axis, stage_color
from .runs import Panel
from .state import EMBEDDING, layer_name

if TYPE_CHECKING:
    from ivcore.patching import SetEffect
    from ivcore.probes import LayerGeometry
    from ivcore.runs import GeometryRun

__all__ = ["FIGURES", "Figure", "confusion_chart", "figure_chart", "patch_chart", "split_chart", "task_chart"]

RANDOM, WHOLE = "split at random (as released)", "whole paraphrases held out"
_LEFT = 54
"""Pixels left of both panels, so that their layers stand below one another."""
_PERCENT = alt.Axis(
    format="%", values=[0, 0.25, 0.5, 0.75, 1], titleFontWeight="normal", minExtent=_LEFT, maxExtent=_LEFT
)


@dataclass(frozen=True)
class Figure:
    """One figure of separation."""

    name: str
    note: str
    of: Callable[[LayerGeometry], float | None]


FIGURES = (
    Figure("LDA ratio", "between over within, held out", lambda row: row.separation.lda_ratio),
    Figure("silhouette", "−1 to 1, all directions", lambda row: row.separation.silhouette),
    Figure("effective dimension", "of all paraphrases", lambda row: row.separation.effective_dimension),
)


def task_chart(run: GeometryRun, task: int, *, height: int = 190) -> alt.LayerChart:
    """The share of one class's paraphrases that the held-out probe tells right, by layer, with words alone."""
    rows = []
    for row in run.rows:
        found = row.probe.per_class[task]
        ends = {"share": found.share, "low": found.low, "high": found.high}
        rows.append({"layer": layer_name(row.layer), "words": share_words(found), "n": found.n} | ends)
    frame = pd.DataFrame(rows)
    words = run.result.lexical.per_class[task]
    x = layer_axis(frame["layer"].tolist(), labelled=False)
    y = alt.Y("share:Q", title="told right", scale=alt.Scale(domain=[0, 1], nice=False), axis=_PERCENT)
    base = alt.Chart(frame).encode(x=x)
    control = pd.DataFrame([{"share": words.share, "said": f"words alone {whole(words.share or 0.0)}"}])
    level = alt.Chart(control).encode(y=alt.Y("share:Q"))
    tooltip = [
        alt.Tooltip("layer:N"),
        alt.Tooltip("words:N", title="told right"),
        alt.Tooltip("n:Q", title="paraphrases"),
    ]
    layers = [
        level.mark_rule(strokeDash=[2, 2], strokeWidth=2, color=INK),
        level.mark_text(align="right", baseline="top", dy=5, fontSize=12, color=INK).encode(
            x=alt.value("width"), text="said:N"
        ),
        base.mark_area(opacity=0.2, color=NEGATIVE).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=2.5, color=NEGATIVE).encode(y=y),
        base.mark_circle(size=70, opacity=1, color=NEGATIVE).encode(y=y, tooltip=tooltip),
    ]
    return alt.LayerChart(layer=layers).properties(title=title("The probe reads the task here"), height=height)


def patch_chart(
    singles: Sequence[SetEffect], *, with_embedding: bool, metric: str = "rr", height: int = 230
) -> alt.LayerChart:
    """The mean effect of patching each single layer, with its interval."""
    if not singles:
        return empty_chart("No finished sweep of this task on this stage.")
    frame = pd.DataFrame(
        [
            {
                "layer": str(row.layers[0]),
                "effect": row.mean,
                "low": row.low,
                "high": row.high,
                "words": interval(row.low, row.high),
                "n": row.n,
            }
            for row in sorted(singles, key=lambda row: row.layers)
        ]
    )
    order = [*([EMBEDDING] if with_embedding else []), *frame["layer"]]
    x = layer_axis(order)
    axis = alt.Axis(tickCount=5, titleFontWeight="normal", format=".3~r", minExtent=_LEFT, maxExtent=_LEFT)
    y = alt.Y("effect:Q", title=UNITS[metric], axis=axis)
    base = alt.Chart(frame).encode(x=x)
    tooltip = [
        alt.Tooltip("layer:N", title="patched layer"),
        alt.Tooltip("effect:Q", title=f"mean {UNITS[metric]}", format="+.4~f"),
        alt.Tooltip("words:N", title="95% interval"),
        alt.Tooltip("n:Q", title="samples"),
    ]
    layers = [
        alt.Chart(pd.DataFrame({"effect": [0.0]})).mark_rule(color=INK, opacity=0.5).encode(y="effect:Q"),
        base.mark_bar(size=14, color=POSITIVE, opacity=0.75).encode(y=y, tooltip=tooltip),
        base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, color=INK).encode(y="low:Q", y2="high:Q"),
    ]
    return alt.LayerChart(layer=layers).properties(
        title=title("Patching it here brings the answers back"), height=height
    )


def figure_chart(panels: Sequence[Panel], figure: Figure, *, height: int = 210) -> alt.LayerChart:
    """One figure by layer, one line a stage."""
    rows = [
        {"stage": panel.stage, "layer": layer_name(row.layer), "value": figure.of(row)}
        for panel in panels
        if panel.run is not None
        for row in panel.run.rows
    ]
    frame = pd.DataFrame(rows, columns=["stage", "layer", "value"])
    if frame["value"].isna().all():
        return empty_chart(f"The {figure.name} is not defined here.")
    stages = [panel.stage for panel in panels]
    color = alt.Color("stage:N", scale=stage_color(stages), legend=None)
    y = alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4, format=".3~r", gridOpacity=0.6))
    base = alt.Chart(frame).encode(x=layer_axis(list(dict.fromkeys(frame["layer"]))), y=y, color=color)
    tooltip = [
        alt.Tooltip("stage:N", title="model"),
        alt.Tooltip("layer:N"),
        alt.Tooltip("value:Q", title=figure.name, format=".3~f"),
    ]
    layers = [base.mark_line(strokeWidth=2), base.mark_circle(size=45, opacity=1).encode(tooltip=tooltip)]
    name = f"{figure.name[0].upper()}{figure.name[1:]}"
    return alt.LayerChart(layer=layers).properties(title=title(name, [figure.note]), height=height)


def confusion_chart(run: GeometryRun, row: LayerGeometry) -> alt.LayerChart:
    """Of the paraphrases of each class (rows), the share that the held-out probe takes for each class (columns)."""
    names = run.result.names
    cells = [
        {
            "true": true,
            "said": said,
            "share": hits / n,
            "hits": hits,
            "n": n,
            "label": str(hits) if hits else "",
        }
        for true, n, line in zip(names, run.result.n_per_class, row.probe.confusion.tolist(), strict=True)
        for said, hits in zip(names, line, strict=True)
    ]
    frame = pd.DataFrame(cells)
    axis: dict[str, Any] = {
        "domain": False,
        "ticks": False,
        "titleFontWeight": "normal",
        "labelLimit": 110,
        "labelOverlap": False,
    }
    base = alt.Chart(frame).encode(
        x=alt.X("said:N", sort=list(names), title="the probe says", axis=alt.Axis(labelAngle=-40, **axis)),
        y=alt.Y("true:N", sort=list(names), title=None, axis=alt.Axis(**axis)),
    )
    scale = alt.Scale(domain=[0, 0.001, 1], range=["rgba(128,128,128,0.08)", "rgba(0,114,178,0.12)", NEGATIVE])
    tooltip = [
        alt.Tooltip("true:N", title="asks for"),
        alt.Tooltip("said:N", title="the probe says"),
        alt.Tooltip("hits:Q", title="paraphrases"),
        alt.Tooltip("share:Q", title="of its class", format=".1%"),
    ]
    white = alt.when(alt.datum.share > 0.5).then(alt.value("white")).otherwise(alt.value(INK))
    layers = [
        base.mark_rect(cornerRadius=3).encode(color=alt.Color("share:Q", scale=scale, legend=None), tooltip=tooltip),
        base.mark_text(fontSize=11).encode(text="label:N", color=white),
    ]
    return alt.LayerChart(layer=layers).properties(height=120 + 32 * len(names))


def split_chart(panels: Sequence[Panel]) -> alt.LayerChart:
    """The pooled probe's accuracy by split, one pair of dots a stage."""
    rows = []
    for panel in panels:
        if panel.run is not None and (found := panel.run.released) is not None:
            for split, share in ((RANDOM, found.random_split), (WHOLE, found.by_paraphrase)):
                ends = {"share": share.share, "low": share.low, "high": share.high}
                rows.append({"stage": panel.stage, "split": split, "words": share_words(share), "n": share.n} | ends)
    if not rows:
        return empty_chart("The released code’s probe was not computed.")
    frame = pd.DataFrame(rows)
    stages = list(dict.fromkeys(frame["stage"]))
    axis = alt.Axis(format="%", tickCount=5, titleFontWeight="normal")
    x = alt.X(
        "share:Q", title="paraphrases told right, all layers pooled", axis=axis, scale=alt.Scale(zero=False, padding=20)
    )
    base = alt.Chart(frame).encode(
        y=alt.Y("stage:N", sort=stages, title=None, axis=alt.Axis(domain=False, ticks=False, labelPadding=8)),
        yOffset=alt.YOffset("split:N", sort=[RANDOM, WHOLE]),
        color=alt.Color(
            "split:N",
            scale=alt.Scale(domain=[RANDOM, WHOLE], range=[POSITIVE, NEGATIVE]),
            legend=alt.Legend(orient="top", title=None, direction="vertical", labelLimit=0, symbolOpacity=1),
        ),
    )
    tooltip = [
        alt.Tooltip("stage:N", title="model"),
        alt.Tooltip("split:N"),
        alt.Tooltip("words:N", title="told right"),
        alt.Tooltip("n:Q", title="points"),
    ]
    layers = [
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=""), x2="high:Q"),
        base.mark_circle(size=90, opacity=1).encode(x=x, tooltip=tooltip),
    ]
    return alt.LayerChart(layer=layers).properties(height=110 + 46 * len(stages))
