"""Charts of the Paths page: pure functions from numbers to Altair charts.

1. ``emitters_chart``: for each source token the number, or the share, of high-ranking paths, stage beside stage.
2. ``parting_chart``: in which layer the paths of two instructions part.
3. ``flow_chart``: layer by layer, how much of the flow changes its token.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..charts import empty_chart
from ..text import count, decimal, percent
from ..triangle import INK, NEGATIVE, POSITIVE, title
from .emitters import Emitter
from .parting import Parting

__all__ = ["COUNTS", "SHARES", "emitters_chart", "flow_chart", "parting_chart"]

COUNTS, SHARES = "counts", "shares"
STAGE_COLORS = ("#8a9097", "#d55e00", "#0072b2", "#009e73", "#cc79a7")


def emitters_chart(
    found: Sequence[tuple[str, Sequence[Emitter]]], what: str, *, max_rank: int, chance: float | None = None
) -> alt.LayerChart:
    """High-ranking paths by source token.

    Args:
        found: (stage, its places) in the order of training.
        what: ``COUNTS`` (of a sample) or ``SHARES`` (of all paths).
        max_rank: at which a path ranks high.
        chance: the share that ranks dealt at random would give; drawn as a line beside shares.
    """
    frame = pd.DataFrame([_row(stage, one, what) for stage, places in found for one in places])
    frame = frame.dropna(subset=["value"]) if len(frame) else frame
    if frame.empty:
        return empty_chart("No path leads from these tokens to the answer.")
    order = frame.sort_values("offset")["place"].drop_duplicates().tolist()
    stages = [stage for stage, _ in found]
    y_title = f"paths of rank ≤ {count(max_rank)} in a sample"
    y_axis = alt.Axis(titleFontWeight="normal", tickCount=5, format="~s")
    if what == SHARES:
        y_title, y_axis = f"share of rank ≤ {count(max_rank)}", alt.Axis(titleFontWeight="normal", format=".0%")
    x = alt.X(
        "place:N",
        sort=order,
        title="source token, counted from the instruction’s last (T_inst = 0)",
        axis=alt.Axis(labelAngle=-60, labelLimit=110, titleFontWeight="normal", labelOverlap=True),
    )
    many = len(stages) > 1
    scale = alt.Scale(domain=stages, range=list(STAGE_COLORS[: len(stages)]))
    legend = alt.Legend(title=None, orient="top", symbolType="square") if many else None
    color = alt.Color("stage:N", scale=scale, legend=legend, sort=stages)
    base = alt.Chart(frame).encode(x=x)
    base = base.encode(xOffset=alt.XOffset("stage:N", sort=stages)) if many else base
    bars = base.mark_bar(opacity=0.8).encode(
        y=alt.Y("value:Q", title=y_title, axis=y_axis), color=color, tooltip=_tooltips(what)
    )
    layers: list[alt.Chart] = [bars, base.mark_rule(color=INK, strokeWidth=1.2).encode(y="low:Q", y2="high:Q")]
    notes = ["Bars: all samples together. Lines: 95% intervals, bootstrap over samples."]
    if int(frame["n"].max()) == 1:
        layers, notes = [bars], ["One sample, so no interval."]
    if what == SHARES and chance is not None:
        line = pd.DataFrame({"chance": [chance]})
        layers.append(alt.Chart(line).mark_rule(color=INK, strokeDash=[5, 4], opacity=0.8).encode(y="chance:Q"))
        notes.append(f"Dashed: what chance alone would give, {percent(chance)}.")
    head = {COUNTS: "Which token sends out the high-ranking paths", SHARES: "Which token’s paths rank the answer high"}
    return alt.LayerChart(layer=layers).properties(title=title(head[what], notes), height=440)


def parting_chart(found: Parting, names: tuple[str, str]) -> alt.LayerChart:
    """How many paths of each instruction only leave those of the other in each layer."""
    rows = [
        {"layer": str(layer), "paths": int(n), "whose": f"only {name}"}
        for name, leaves in zip(names, (found.first_leaves, found.second_leaves), strict=True)
        for layer, n in enumerate(leaves.tolist())
    ]
    frame = pd.DataFrame(rows)
    if not int(frame["paths"].sum()):
        return empty_chart("Both instructions have the same high-ranking paths from T_inst: none leave.")
    whose = [f"only {name}" for name in names]
    bars = (
        alt.Chart(frame)
        .mark_bar(opacity=0.85)
        .encode(
            x=alt.X(
                "layer:O",
                sort=None,
                title="layer where a path leaves all those of the other instruction",
                axis=alt.Axis(labelAngle=0, titleFontWeight="normal"),
            ),
            xOffset=alt.XOffset("whose:N", sort=whose),
            y=alt.Y("paths:Q", title="high-ranking paths", axis=alt.Axis(titleFontWeight="normal", tickMinStep=1)),
            color=alt.Color(
                "whose:N",
                sort=whose,
                scale=alt.Scale(domain=whose, range=[POSITIVE, NEGATIVE]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=[alt.Tooltip("whose:N", title="paths under"), "layer:O", alt.Tooltip("paths:Q", format=",")],
        )
    )
    shared = "1 path is" if found.shared == 1 else f"{count(found.shared)} paths are"
    notes = [f"{shared} shared and in no bar."]
    return alt.LayerChart(layer=[bars]).properties(title=title("Where two instructions part", notes), height=320)


def flow_chart(flow: NDArray[np.floating]) -> alt.LayerChart:
    """How much of the flow stays at its token and how much goes to another, in each layer; logits."""
    rows = []
    for layer, edges in enumerate(np.asarray(flow, dtype=np.float64)):
        stays = float(np.trace(edges))
        for what, value in (("stays at its token", stays), ("goes to another token", float(edges.sum()) - stays)):
            rows.append({"layer": str(layer), "flow": value, "what": what, "words": decimal(value, 3)})
    order = ["stays at its token", "goes to another token"]
    bars = (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar(opacity=0.85)
        .encode(
            x=alt.X("layer:O", sort=None, title="layer", axis=alt.Axis(labelAngle=0, titleFontWeight="normal")),
            xOffset=alt.XOffset("what:N", sort=order),
            y=alt.Y("flow:Q", title="flow (logits)", axis=alt.Axis(titleFontWeight="normal", tickCount=5)),
            color=alt.Color(
                "what:N",
                sort=order,
                scale=alt.Scale(domain=order, range=["#8a9097", POSITIVE]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=["layer:O", alt.Tooltip("what:N", title="flow that"), alt.Tooltip("words:N", title="logits")],
        )
    )
    total = float(np.asarray(flow[0], dtype=np.float64).sum())
    notes = [f"The two add up to {decimal(total, 3)} logits in every layer."]
    return alt.LayerChart(layer=[bars]).properties(title=title("Where the flow changes its token", notes), height=320)


def _row(stage: str, one: Emitter, what: str) -> dict[str, object]:
    value, low, high = one.high.mean, one.high.low, one.high.high
    if what == SHARES:
        value, low, high = one.share.value, one.share.low, one.share.high  # type: ignore[assignment]
    return {
        "stage": stage,
        "offset": one.offset,
        "place": one.label,
        "value": value,
        "low": value if low is None else low,
        "high": value if high is None else high,
        "interval": _interval(low, high, what),
        "mean": one.high.mean,
        "paths": one.paths,
        "share": "not defined" if one.share.value is None else percent(one.share.value),
        "n": one.high.n,
    }


def _interval(low: float | None, high: float | None, what: str) -> str:
    if low is None or high is None:
        return "none"
    return f"{percent(low)} to {percent(high)}" if what == SHARES else f"{decimal(low, 1)} to {decimal(high, 1)}"


def _tooltips(what: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("stage:N"),
        alt.Tooltip("place:N", title="source token"),
        alt.Tooltip("mean:Q", title="high-ranking paths", format=",.1f"),
        alt.Tooltip("paths:Q", title="all paths", format=",.1f"),
        alt.Tooltip("share:N"),
        alt.Tooltip("interval:N", title=f"95% interval of the {'share' if what == SHARES else 'number'}"),
        alt.Tooltip("n:Q", title="samples"),
    ]
