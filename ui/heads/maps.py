"""The maps of the Heads page, layers by heads: pure functions from activities to Altair charts.

1. ``head_map``: one side; both sides share one color scale, which ``scale_end`` finds.
2. ``difference_map``: the second side less the first.
3. ``picked_head``: the head that a click on a map chose.

Magnitudes are drawn from nothing to blue; the excess over chance and the difference on the diverging scale of the other
pages.  A dot marks an active head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..text import decimal, p_value, signed
from ..triangle import INK, NEGATIVE, RAMP, title
from .state import ACTIVITY, EXCESS, P_ADJUSTED, WIDTH

if TYPE_CHECKING:
    from ivcore.heads import HeadActivity

__all__ = [
    "SEQUENTIAL",
    "UNITS",
    "active",
    "compared",
    "difference_frame",
    "difference_map",
    "head_frame",
    "head_map",
    "head_name",
    "head_names",
    "interval_words",
    "picked_head",
    "scale_end",
    "values_of",
]

SEQUENTIAL = ["rgba(0,114,178,0.06)", NEGATIVE]
UNITS = {
    ACTIVITY: "share of high-ranking paths",
    EXCESS: "share of paths above chance",
    WIDTH: "width of the 95% interval",
    P_ADJUSTED: "p (Holm, over all heads)",
}
_PICK = "picked"
_LEAST = {ACTIVITY: 0.1, EXCESS: 0.1, WIDTH: 0.1}
"""The color scale reaches at least so far, so that next to nothing is not drawn in full color."""
_SMALLEST_P = 1e-4
_GRAY = "rgba(128,128,128,0.18)"
FloatArray = NDArray[np.float64]


def head_name(layer: int, head: int) -> str:
    """A head in an address or a list: ``layer.head``."""
    return f"{layer}.{head}"


def head_names(found: HeadActivity) -> tuple[str, ...]:
    """All heads, layer after layer."""
    n_layers, n_heads = found.mean.shape
    return tuple(head_name(layer, head) for layer in range(n_layers) for head in range(n_heads))


def active(found: HeadActivity, threshold: float) -> NDArray[np.bool_]:
    """Which heads lie on more than ``threshold`` of the high-ranking paths: shape (n_layers, n_heads)."""
    above: NDArray[np.bool_] = found.mean > threshold
    return above


def values_of(found: HeadActivity, value: str) -> FloatArray:
    """What a map shows of every head, (n_layers, n_heads); not-a-number where it is not defined."""
    chosen = {
        ACTIVITY: found.mean,
        EXCESS: found.excess,
        WIDTH: found.high - found.low,
        P_ADJUSTED: found.p_adjusted,
    }
    return chosen[value]


def compared(value: str) -> str:
    """Of which value the difference is drawn: widths and p-values less one another say nothing."""
    return value if value in (ACTIVITY, EXCESS) else ACTIVITY


def scale_end(sides: Sequence[HeadActivity], value: str) -> float:
    """Where the color scale of all sides ends."""
    if value == P_ADJUSTED:
        return float(-np.log10(_SMALLEST_P))
    both = np.abs(np.concatenate([values_of(found, value).ravel() for found in sides]))
    return max(float(np.nanmax(both)) if np.isfinite(both).any() else 0.0, _LEAST[value])


def head_frame(found: HeadActivity, value: str, threshold: float) -> pd.DataFrame:
    """One row for each head of one side."""
    values, above = values_of(found, value), active(found, threshold)
    rows = []
    for layer, head in np.ndindex(*found.mean.shape):
        at = layer, head
        defined = bool(np.isfinite(values[at]))
        rows.append(
            _place(layer, head)
            | {
                "shade": _shade(float(values[at]), value) if defined else 0.0,
                "defined": defined,
                "active": bool(above[at]),
                "activity": decimal(float(found.mean[at]), 3),
                "interval": interval_words(float(found.low[at]), float(found.high[at])),
                "chance": decimal(float(found.chance[at]), 3),
                "excess": signed(float(found.excess[at]), 3),
                "p": p_value(float(found.p_adjusted[at]) if np.isfinite(found.p_adjusted[at]) else None),
            }
        )
    return pd.DataFrame(rows)


def head_map(
    name: str, found: HeadActivity, *, value: str, end: float, threshold: float, chosen: str = ""
) -> alt.LayerChart:
    """One side, layers upwards and heads to the right; a click chooses a head.

    Args:
        name: of the side.
        found: its heads.
        value: one of ``VALUES``.
        end: where the color scale ends, see ``scale_end``.
        threshold: an active head lies above it.
        chosen: the head to outline, as ``layer.head``.
    """
    frame = head_frame(found, value, threshold)
    scale = _diverging(end) if value == EXCESS else alt.Scale(domain=[0, end], range=SEQUENTIAL, interpolate="rgb")
    tooltips = [
        alt.Tooltip("name:N", title="layer.head"),
        alt.Tooltip("activity:N"),
        alt.Tooltip("interval:N", title="95% interval"),
        alt.Tooltip("chance:N", title="by chance"),
        alt.Tooltip("excess:N", title="more than chance"),
        alt.Tooltip("p:N", title="p, adjusted"),
    ]
    n = int(active(found, threshold).sum())
    notes = [f"{n} of {found.mean.size} heads active (dots: above {threshold:g})", _strongest(found)]
    return _drawn(
        frame, found.mean.shape, scale, UNITS[value], tooltips, chosen, _legend(value, end), dots=True
    ).properties(title=title(name, notes))


def difference_frame(a: HeadActivity, b: HeadActivity, value: str) -> pd.DataFrame:
    """One row for each head: the second side less the first."""
    first, second = values_of(a, value), values_of(b, value)
    return pd.DataFrame(
        [
            _place(layer, head)
            | {
                "shade": float(second[layer, head] - first[layer, head]),
                "defined": True,
                "difference": signed(float(second[layer, head] - first[layer, head]), 3),
                "first": decimal(float(first[layer, head]), 3),
                "second": decimal(float(second[layer, head]), 3),
            }
            for layer, head in np.ndindex(*first.shape)
        ]
    )


def difference_map(
    names: tuple[str, str], a: HeadActivity, b: HeadActivity, *, value: str, chosen: str = ""
) -> alt.LayerChart:
    """The second side less the first; of activity where the maps show widths or p-values.

    Args:
        names: of the sides.
        a: the first side.
        b: the second, of the same shape.
        value: what the maps show.
        chosen: the head to outline.
    """
    of = compared(value)
    frame = difference_frame(a, b, of)
    largest = frame.loc[frame["shade"].abs().idxmax()]
    end = max(abs(float(largest["shade"])), _LEAST[of])
    tooltips = [
        alt.Tooltip("name:N", title="layer.head"),
        alt.Tooltip("difference:N"),
        alt.Tooltip("first:N", title=names[0]),
        alt.Tooltip("second:N", title=names[1]),
    ]
    what = "activity" if of == ACTIVITY else "excess over chance"
    notes = [f"difference in {what}", f"largest: head {largest['name']}, {largest['difference']}"]
    drawn = _drawn(
        frame, a.mean.shape, _diverging(end), f"difference in {what}", tooltips, chosen, _legend(EXCESS, end)
    )
    return drawn.properties(title=title(f"{names[1]} − {names[0]}", notes))


def picked_head(event: Any) -> str | None:
    """The head that a click on a map chose, or None for a click beside the cells."""
    points = (event or {}).get("selection", {}).get(_PICK) or []
    return str(points[0]["name"]) if points and "name" in points[0] else None


def interval_words(low: float, high: float) -> str:
    """``0.12 to 0.34``."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "not defined"
    return f"{decimal(float(low), 3)} to {decimal(float(high), 3)}"


def _drawn(
    frame: pd.DataFrame,
    shape: tuple[int, ...],
    scale: alt.Scale,
    unit: str,
    tooltips: Sequence[alt.Tooltip],
    chosen: str,
    legend: dict[str, Any],
    *,
    dots: bool = False,
) -> alt.LayerChart:
    layers, heads = ([str(i) for i in range(n)] for n in shape)
    axis = alt.Axis(labelAngle=0, labelOverlap=True, grid=False, domain=False, ticks=False, titleFontWeight="normal")
    base = alt.Chart(frame).encode(
        x=alt.X("head:O", title="head", scale=alt.Scale(domain=heads, paddingInner=0.06), axis=axis),
        y=alt.Y("layer:O", title="layer", scale=alt.Scale(domain=layers[::-1], paddingInner=0.06), axis=axis),
    )
    shade = alt.Color(
        "shade:Q",
        scale=scale,
        legend=alt.Legend(
            orient="bottom",
            direction="horizontal",
            title=unit,
            titleLimit=260,
            gradientLength=150,
            gradientThickness=9,
            **legend,
        ),
    )
    color = alt.when("datum.defined").then(shade).otherwise(alt.value(_GRAY))
    pick = alt.selection_point(name=_PICK, fields=["name"], on="click", clear=False, toggle=False)
    rects = base.mark_rect(cursor="pointer", cornerRadius=2).encode(color=color, tooltip=list(tooltips))
    drawn: list[alt.Chart] = [rects.add_params(pick)]
    if dots:
        above = base.transform_filter("datum.active")
        drawn.append(above.mark_circle(size=11, color=INK, opacity=0.75, tooltip=None))
    outline = base.transform_filter(f"datum.name == '{chosen}'" if _is_name(chosen) else "false")
    drawn.append(outline.mark_rect(fill=None, stroke=INK, strokeWidth=2.5, cornerRadius=2))
    return alt.LayerChart(layer=drawn).properties(height=_height(shape[0]))


def _place(layer: int, head: int) -> dict[str, object]:
    return {"name": head_name(layer, head), "layer": str(layer), "head": str(head)}


def _shade(value: float, what: str) -> float:
    return float(-np.log10(max(value, _SMALLEST_P))) if what == P_ADJUSTED else value


def _diverging(end: float) -> alt.Scale:
    return alt.Scale(domain=[-end, -0.001 * end, 0, 0.001 * end, end], range=RAMP, interpolate="rgb")


def _legend(value: str, end: float) -> dict[str, Any]:
    """Where the legend has numbers, and how it writes them."""
    if value == P_ADJUSTED:
        words = f"datum.value >= {end:g} ? '≤0.0001' : format(pow(10, -datum.value), '~g')"
        return {"values": [0, 1, 2, 3, 4], "labelExpr": words}
    if value == EXCESS:
        words = "datum.value == 0 ? '0' : format(datum.value, '+.2~g')"
        return {"values": [-end, 0, end], "labelExpr": words}
    return {"values": [0, end / 2, end], "labelExpr": "format(datum.value, '.2~g')"}


def _strongest(found: HeadActivity) -> str:
    """The head that exceeds chance most."""
    layer, head = (int(i) for i in np.unravel_index(np.argmax(found.excess), found.excess.shape))
    return f"furthest above chance: {head_name(layer, head)} ({signed(float(found.excess[layer, head]), 2)})"


def _is_name(chosen: str) -> bool:
    return chosen.replace(".", "", 1).isdigit()


def _height(n_layers: int) -> int:
    """Cells that can be hit with a finger, as long as the map fits a screen."""
    return 150 + n_layers * max(15, min(34, 420 // n_layers))
