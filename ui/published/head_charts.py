"""Charts of the published tables on heads, and of the run times.

1. ``head_chart``: a similarity over layers, one colored mark for each stage; which one depends on the table.
2. ``hours_chart``: run times as bars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from ..triangle import INK, NEGATIVE, title
from .rows import Records

if TYPE_CHECKING:
    from ivcore.published import Table

__all__ = ["head_chart", "hours_chart"]

STAGE_NAMES = {"base": "base", "sft": "SFT", "dpo": "DPO"}
STAGE_COLORS = ["#7a7a7a", "#0072b2", "#d55e00"]


def head_chart(entry: Table, rows: Records) -> alt.LayerChart:
    """The chart of a table on heads (Tables 2, 3, 20 to 24)."""
    if entry.kind == "spearman":
        heading = "Do the same heads carry paths at k = 1 and at k = 2?"
        return _stages_chart(rows, "layer", "r", "Spearman r of the heads' activity", heading)
    if entry.kind == "between_k":
        heading = f"How many active heads are the same at k = {rows[0]['k_a']} and k = {rows[0]['k_b']}?"
    else:
        heading = f"Do two tasks use the same heads? (k = {rows[0]['k']})"
    return _stages_chart(rows, "layers", "jaccard", "Jaccard similarity of the active heads", heading)


def hours_chart(rows: Records) -> alt.LayerChart:
    """Hours of each experiment as bars."""
    frame = pd.DataFrame([{"what": _experiment(row), "hours": row["hours"]} for row in rows])
    x = alt.X("hours:Q", title="hours (on one A100 or H100)", axis=alt.Axis(titleFontWeight="normal", gridOpacity=0.3))
    y = alt.Y("what:N", title=None, sort=list(frame["what"]), axis=alt.Axis(labelLimit=320, ticks=False, domain=False))
    base = alt.Chart(frame).encode(x=x, y=y)
    bars = base.mark_bar(color=NEGATIVE, height=18, cornerRadius=3).encode(tooltip=["what:N", "hours:Q"])
    words = base.mark_text(align="left", dx=5, color=INK).encode(text="hours:Q")
    notes = [
        "What the released code took. The plan of any table of layer sets does the same sweeps with this app's engine."
    ]
    return alt.LayerChart(layer=[bars, words]).properties(
        title=title("Published run times: hours to days", notes), height=36 * len(frame) + 30
    )


def _stages_chart(rows: Records, x: str, y: str, y_title: str, heading: str) -> alt.LayerChart:
    """A similarity over layers, one colored mark for each stage."""
    order = list(dict.fromkeys(str(row[x]) for row in rows))
    kept = [row for row in rows if row[y] is not None]
    frame = pd.DataFrame(
        [{"where": str(row[x]), "similarity": row[y], "stage": STAGE_NAMES[str(row["stage"])]} for row in kept]
    )
    low = min(0.0, *frame["similarity"]) if len(frame) else 0.0
    axis = alt.Axis(titleFontWeight="normal", gridOpacity=0.3, labelAngle=0)
    stages = [name for name in STAGE_NAMES.values() if name in set(frame["stage"])]
    colors = dict(zip(STAGE_NAMES.values(), STAGE_COLORS, strict=True))
    base = alt.Chart(frame).encode(
        x=alt.X("where:O", title=x, sort=order, axis=axis),
        y=alt.Y("similarity:Q", title=y_title, scale=alt.Scale(domain=[low, 1]), axis=axis),
        color=alt.Color(
            "stage:N",
            title=None,
            sort=stages,
            scale=alt.Scale(domain=stages, range=[colors[name] for name in stages]),
            legend=alt.Legend(orient="top", direction="horizontal"),
        ),
        tooltip=[
            alt.Tooltip("stage:N"),
            alt.Tooltip("where:N", title=x),
            alt.Tooltip("similarity:Q", title=y_title, format=".3~f"),
        ],
    )
    line = base.mark_line(opacity=0.6, strokeWidth=2)
    dots = base.mark_point(size=80, filled=True, opacity=1).encode(
        shape=alt.Shape("stage:N", scale=alt.Scale(domain=stages), legend=None)
    )
    missing = len(rows) - len(kept)
    notes = [f"{missing} values are not printed."] if missing else []
    return alt.LayerChart(layer=[line, dots]).properties(title=title(heading, notes), height=340)


def _experiment(row: Mapping[str, object]) -> str:
    """``path analysis, k = 2, OLMo-2 1B, 20 samples``."""
    k = "" if row["top_k"] is None else f", k = {row['top_k']}"
    return f"{str(row['experiment']).replace('_', ' ')}{k}, {row['model']}, {row['n_samples']} samples"
