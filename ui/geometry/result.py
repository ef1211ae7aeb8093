"""The Geometry page's findings in words and charts: the probe by layer, the released code's probe, the caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ..behaviour.charts import whole
from ..frame import run_facts
from ..text import and_list, count, duration, markdown
from .charts import accuracy_chart
from .help import POOLED
from .layer_charts import split_chart
from .missing import offer_released
from .runs import Panel
from .state import GeometryInputs, layer_name, layer_words

if TYPE_CHECKING:
    from ivcore.probes import LayerGeometry
    from ivcore.runs import GeometryRun

__all__ = ["accuracy_heading", "best_row", "caption", "first_above_words", "show_accuracy", "show_released"]


def show_accuracy(panels: Sequence[Panel]) -> None:
    """The held-out probe by layer with its controls."""
    st.markdown(f"##### {markdown(accuracy_heading(panels))}")
    st.caption(_above(panels))
    st.altair_chart(
        accuracy_chart(panels), width="stretch", alt="Accuracy of the held-out probe by layer, and controls"
    )


def accuracy_heading(panels: Sequence[Panel]) -> str:
    """The best accuracy of each stage against words alone and chance."""
    runs = [(panel.stage, panel.run) for panel in panels if panel.run is not None]
    if not runs:
        return "Nothing computed yet"
    parts = []
    for stage, run in runs:
        best = best_row(run)
        parts.append(f"{stage} {whole(best.probe.accuracy.share or 0.0)} ({layer_words(layer_name(best.layer))})")
    result = runs[0][1].result
    words = f"words alone {whole(result.lexical.accuracy.share or 0.0)}, chance {whole(result.chance)}"
    return f"Best accuracy of a linear probe on held-out paraphrases: {and_list(parts)}; {words}"


def best_row(run: GeometryRun) -> LayerGeometry:
    """The row where the probe is most accurate; of equals the first."""
    return max(run.rows, key=lambda row: row.probe.accuracy.share or 0.0)


def first_above_words(run: GeometryRun) -> LayerGeometry | None:
    """The first row from which on every interval lies above that of words alone."""
    bound, found = run.result.lexical.accuracy.high or 0.0, None
    for row in reversed(run.rows):
        if (row.probe.accuracy.low or 0.0) <= bound:
            break
        found = row
    return found


def show_released(badge: DeltaGenerator, inputs: GeometryInputs, panels: Sequence[Panel]) -> None:
    """The pooled probe split at random beside the same with whole paraphrases held out."""
    st.subheader("As released", anchor=False)
    there = [panel for panel in panels if panel.run is not None and panel.run.released is not None]
    if there:
        left, right = st.columns([6, 5], gap="large")
        with left:
            st.markdown(f"##### {markdown(_inflation(there))}")
            st.altair_chart(split_chart(there), width="stretch", alt="Accuracy of the pooled probe by way of splitting")
        with right:
            st.markdown(POOLED)
            st.caption(
                "Both intervals take the points as independent. They are not, since a paraphrase comes once for every "
                "layer, so both are too narrow."
            )
    else:
        st.markdown(POOLED)
    offer_released(badge, inputs, panels)


def caption(panel: Panel) -> None:
    """What the numbers of one stage were computed from, and when."""
    run = panel.run
    assert run is not None
    found = run.result
    sizes = ", ".join(f"{name} {count(n)}" for name, n in zip(found.names, found.n_per_class, strict=True))
    facts = [
        f"n = {count(run.n_samples)} paraphrases ({sizes})",
        f"{found.n_folds} folds, {found.n_permutations} permutations, seed {found.seed}",
        "95% intervals: Wilson",
        *run_facts(run.model),
        f"computed {run.created[:16].replace('T', ' ')} UTC in {duration(run.seconds)}",
        "bundled with the app" if run.bundled else f"run {run.key[:12]}",
    ]
    st.caption(markdown(" · ".join(facts)))


def _above(panels: Sequence[Panel]) -> str:
    """From which layer on each stage says more than the words do."""
    there = [(panel.stage, first_above_words(panel.run)) for panel in panels if panel.run is not None]
    above = [f"{stage} from {layer_words(layer_name(row.layer))} on" for stage, row in there if row is not None]
    not_above = [stage for stage, row in there if row is None]
    said = f"Clearly more than the words alone, with intervals apart: {and_list(above)}. " if above else ""
    said += f"Not clearly more than the words alone: {and_list(not_above)}. " if not_above else ""
    return markdown(f"{said}Bands: 95% intervals.")


def _inflation(there: Sequence[Panel]) -> str:
    parts = []
    for panel in there:
        assert panel.run is not None and panel.run.released is not None
        found = panel.run.released
        gain = 100 * ((found.random_split.share or 0.0) - (found.by_paraphrase.share or 0.0))
        parts.append(f"{panel.stage} {gain:+.1f}".replace("-", "−"))
    return f"Splitting at random adds, in percentage points: {and_list(parts)}"
