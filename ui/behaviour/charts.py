"""Charts of the Behaviour page: pure functions from shares to Altair charts.

1. ``shares_chart``: for every task and stage, how often the answer is right (solid) and of the right kind (pale).
2. ``confusion_chart``: how often an answer is what another task asks for.
3. ``tops_chart``: the most likely tokens at one step of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from ..charts import empty_chart
from ..text import percent, visible
from ..triangle import CELL, INK, NEGATIVE, POSITIVE, pick, title

if TYPE_CHECKING:
    from ivcore.behaviour import Confusion
    from ivcore.metrics import TokenScore
    from ivcore.stats import Proportion

    from .runs import Panel

__all__ = [
    "SHARES_NOTE",
    "confusion_chart",
    "picked",
    "share_words",
    "shares_chart",
    "shares_frame",
    "tops_chart",
    "whole",
]

STAGE_COLORS = ("#7f8c99", "#0091c2", "#d98200", "#b0609a", "#2a9d76")
"""Apart for color-blind readers, on white and on black; the first stands for what was not trained on instructions."""

SHARES_NOTE = "Solid: right (EMA). Pale: of the right kind (IA). Lines: 95% intervals."

_BAR = 16
_PERCENT = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], titleFontWeight="normal", gridOpacity=0.6)
_WHOLE = alt.Scale(domain=[0, 1], nice=False)
_NO_AXIS = alt.Axis(domain=False, ticks=False, labelLimit=150, labelPadding=8, labelOverlap=False)


def shares_frame(panels: Sequence[Panel]) -> pd.DataFrame:
    """One row for each task and stage; without numbers where nothing was computed."""
    return pd.DataFrame([_row(panel) for panel in panels])


def shares_chart(
    panels: Sequence[Panel], *, heading: str | None = None, task: str = "", stage: str = ""
) -> alt.LayerChart:
    """Bars by task and stage; a click chooses a task and a stage.

    Args:
        panels: every task on every stage.
        heading: a title of its own; on the page it stands above the chart.
        task: the task that is looked at.
        stage: its stage.
    """
    frame = shares_frame(panels)
    if frame.empty:
        return empty_chart("Bars appear here once a task is chosen.")
    frame["chosen"] = (frame["task"] == task) & (frame["stage"] == stage)
    tasks, stages = list(dict.fromkeys(frame["task"])), list(dict.fromkeys(frame["stage"]))
    color = alt.Scale(domain=stages, range=[STAGE_COLORS[i % len(STAGE_COLORS)] for i in range(len(stages))])
    legend = alt.Legend(orient="top", title=None, symbolOpacity=1, symbolType="square") if len(stages) > 1 else None
    base = alt.Chart(frame).encode(
        y=alt.Y("task:N", sort=tasks, title=None, axis=_NO_AXIS, scale=alt.Scale(paddingInner=0.28, paddingOuter=0.14)),
        yOffset=_offset(stages, 0.5),
    )
    there, absent = base.transform_filter("datum.computed"), base.transform_filter("!datum.computed")
    chosen = base.transform_filter("datum.chosen")
    hued = alt.Color("stage:N", scale=color, legend=legend)
    x = alt.X("ia:Q", title="share of prompts", scale=_WHOLE, axis=_PERCENT)
    full = {"x": alt.XDatum(0), "x2": alt.X2Datum(1)}
    layers = [
        there.mark_bar(opacity=0.38).encode(x=x, color=hued),
        there.mark_bar(opacity=1).encode(x="ema:Q", color=hued),
        there.mark_rule(strokeWidth=1, color=INK, opacity=0.6).encode(
            x="ia_low:Q", x2="ia_high:Q", yOffset=_offset(stages, 0.72)
        ),
        there.mark_rule(strokeWidth=2, color=INK).encode(x="ema_low:Q", x2="ema_high:Q", yOffset=_offset(stages, 0.36)),
        absent.mark_text(align="left", dx=4, color="gray", fontSize=10).encode(
            x=alt.XDatum(0), text=alt.value("not computed")
        ),
        chosen.mark_bar(fillOpacity=0, stroke=INK, strokeWidth=2, cornerRadius=2).encode(**full),
        base.mark_bar(opacity=0.001, cursor="pointer")
        .encode(**full, tooltip=_tooltips())
        .add_params(pick(["task", "stage"])),
    ]
    lines = [heading] if heading else []
    height = len(tasks) * (len(stages) * _BAR + 12) + _around(lines) + (30 if legend else 0)
    drawn = alt.LayerChart(layer=layers).properties(height=height)
    return drawn.properties(title=title(heading, [SHARES_NOTE])) if heading else drawn


def confusion_chart(rows: Sequence[Confusion], heading: Sequence[str], *, pair: str | None = None) -> alt.LayerChart:
    """How often the answer is that of each other task, with its interval."""
    shown = [row for row in rows if row.share.n]
    if not shown:
        return empty_chart("No other task asks something different of the same queries.")
    frame = pd.DataFrame([_confused(row) for row in shown])
    order = frame["task"].tolist()
    y = alt.Y("task:N", sort=order, title=None, axis=_NO_AXIS)
    x = alt.X("share:Q", title="share of the prompts on which the two differ", scale=_WHOLE, axis=_PERCENT)
    base = alt.Chart(frame).encode(y=y, tooltip=_confusion_tooltips())
    bars = base.mark_bar(color=NEGATIVE, opacity=0.75, height={"band": 0.6}).encode(x=x)
    rules = base.mark_rule(strokeWidth=2, color=INK).encode(x="low:Q", x2="high:Q")
    counts = base.mark_text(align="left", dx=6, fontSize=11, color=INK).encode(x="high:Q", text="words:N")
    notes = [] if pair is None else [f"{pair} is the task that the paper sets against this one."]
    return alt.LayerChart(layer=[bars, rules, counts]).properties(
        title=title(list(heading), notes), height=30 * len(shown) + _around([*heading, *notes])
    )


def tops_chart(top: Sequence[TokenScore], heading: str) -> alt.LayerChart:
    """The most likely tokens, the one that was taken first."""
    frame = pd.DataFrame(
        {
            "name": [f"{place}. {visible(score.token)[:40]}" for place, score in enumerate(top, start=1)],
            "probability": [score.prob for score in top],
            "words": [percent(score.prob) for score in top],
            "taken": [place == 0 for place in range(len(top))],
        }
    )
    y = alt.Y("name:N", sort=frame["name"].tolist(), title=None, axis=_NO_AXIS)
    x = alt.X("probability:Q", title="probability", scale=_WHOLE, axis=_PERCENT)
    color = alt.Color("taken:N", scale=alt.Scale(domain=[True, False], range=[POSITIVE, "gray"]), legend=None)
    tooltip = [alt.Tooltip("name:N", title="token"), alt.Tooltip("words:N", title="probability")]
    base = alt.Chart(frame).encode(y=y)
    bars = base.mark_bar(opacity=0.8).encode(x=x, color=color, tooltip=tooltip)
    words = base.mark_text(align="left", dx=5, fontSize=11, color=INK).encode(x="probability:Q", text="words:N")
    return alt.LayerChart(layer=[bars, words]).properties(
        title=title(heading), height=22 * len(top) + _around([heading])
    )


def picked(event: Any) -> tuple[str, str] | None:
    """Task and stage of the bar that was clicked, or None for a click beside the bars."""
    points = (event or {}).get("selection", {}).get(CELL) or []
    return (str(points[0]["task"]), str(points[0]["stage"])) if points else None


def share_words(share: Proportion) -> str:
    """A share with its interval: ``97% (92% to 99%)``."""
    if share.share is None or share.low is None or share.high is None:
        return "not defined"
    return f"{whole(share.share)} ({whole(share.low)} to {whole(share.high)})"


def whole(value: float) -> str:
    """A share in whole percent that does not round up to all, nor down to nothing."""
    points = 100 * value
    if 99.5 <= points < 100:
        return ">99%"
    return "<1%" if 0 < points < 0.5 else f"{points:.0f}%"


def _offset(stages: Sequence[str], position: float) -> alt.YOffset:
    """The stage's place in its task; lines and words stand at ``position`` of its height, 0 to 1."""
    return alt.YOffset("stage:N", sort=stages, scale=alt.Scale(paddingInner=0.12), bandPosition=position)


def _around(lines: Sequence[str]) -> int:
    """What the lines of a title, the axis and their margins take of a chart's height."""
    return 96 + 20 * len(lines)


def _row(panel: Panel) -> dict[str, object]:
    named: dict[str, object] = {"task": panel.task, "stage": panel.stage, "computed": panel.run is not None}
    if panel.run is None:
        return named | {"right": "not computed", "kind": "not computed", "n": 0}
    ema, ia = panel.run.adherence.ema, panel.run.adherence.ia
    ends = {"ema": ema.share, "ema_low": ema.low, "ema_high": ema.high, "ia": ia.share, "ia_low": ia.low}
    return named | ends | {"ia_high": ia.high, "right": share_words(ema), "kind": share_words(ia), "n": ema.n}


def _confused(row: Confusion) -> dict[str, object]:
    share = row.share
    words = f"{whole(share.share or 0.0)}, n = {share.n}"
    return {
        "task": row.task,
        "share": share.share,
        "low": share.low,
        "high": share.high,
        "hits": share.hits,
        "n": share.n,
        "words": words,
        "interval": share_words(share),
    }


def _tooltips() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("task:N"),
        alt.Tooltip("stage:N", title="model"),
        alt.Tooltip("right:N", title="right (EMA)"),
        alt.Tooltip("kind:N", title="right kind (IA)"),
        alt.Tooltip("n:Q", title="prompts"),
    ]


def _confusion_tooltips() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("task:N", title="does instead"),
        alt.Tooltip("interval:N", title="share"),
        alt.Tooltip("hits:Q", title="answers"),
        alt.Tooltip("n:Q", title="prompts that differ"),
    ]
