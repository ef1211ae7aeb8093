"""One stage looked at closely: what a probe reads against what patching does, and separation in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from .. import runs
from ..behaviour.charts import share_words, whole
from ..charts import FAINT
from ..follows import follows_badge
from ..sweep.state import SweepInputs, sweep_parameters
from ..text import count, layer_names, markdown
from .help import OWN_POINTS, SEPARATION_HELP
from .layer_charts import FIGURES, confusion_chart, figure_chart, patch_chart, task_chart
from .points import layer_row
from .runs import Panel
from .state import BUNDLED, GeometryInputs, layer_name, layer_words

if TYPE_CHECKING:
    from ivcore.patching import SetEffect
    from ivcore.probes import LayerGeometry
    from ivcore.runs import GeometryRun

__all__ = [
    "contrast_heading",
    "separable_from",
    "show_contrast",
    "show_separation",
    "single_effects",
    "task_chooser",
    "working",
]

SWEEP_PAGE = "pages/sweep.py"
READ = 0.95
"""A task counts as read where at least this share of its paraphrases is told right."""


def task_chooser(inputs: GeometryInputs, panel: Panel) -> str:
    """Which of the compared tasks is set against patching; by default the first that was swept."""
    if inputs.source != BUNDLED:
        return ""
    names = inputs.tasks
    swept = [name for name in names if any((s.ref, s.request.task) == (panel.ref, name) for s in runs.summaries())]
    if st.session_state.get("task", names[0]) not in names:
        del st.session_state["task"]
    task = st.selectbox(
        "Task",
        names,
        index=names.index(swept[0]) if swept else 0,
        key="task",
        bind="query-params",
        width=220,
    )
    return task if task in names else names[0]


def show_contrast(inputs: GeometryInputs, panel: Panel) -> None:
    """The probe by layer above the effect of patching each single layer."""
    st.subheader("Linear against causal", anchor=False)
    if inputs.source != BUNDLED:
        st.caption("Your own paraphrases have no queries, so nothing was patched with them.")
        return
    from ivcore.prompts.tasks import load_task

    run = panel.run
    assert run is not None
    instruction = load_task(inputs.task).instruction
    follows_badge(st.container(), inputs.family, panel.stage, panel.ref, instruction)
    task = run.result.names.index(inputs.task)
    singles, trouble = single_effects(panel.ref, inputs.task)
    st.markdown(f"##### {markdown(contrast_heading(inputs, run, singles))}")
    st.altair_chart(task_chart(run, task), width="stretch", alt="The probe's accuracy on this task by layer")
    if singles:
        chart = patch_chart(singles, with_embedding=run.result.embedding is not None)
        st.altair_chart(chart, width="stretch", alt="The mean effect of patching each single layer")
        st.caption(
            f"Above: n = {count(run.result.n_per_class[task])} paraphrases. Below: n = {count(singles[0].n)} samples "
            "of the finished sweep, 95% bootstrap intervals."
        )
    else:
        said = (
            "was not swept yet, so what patching does is not known"
            if trouble is None
            else f"cannot be shown: {trouble}"
        )
        st.info(f"{markdown(inputs.task)} on {markdown(panel.stage)} {markdown(said)}.", icon=":material/layers:")
    wanted = SweepInputs(inputs.family, panel.stage, panel.ref, inputs.task, dtype=inputs.dtype)
    label = "Open the sweep" if singles else "Sweep it on the Task sweep page"
    st.page_link(SWEEP_PAGE, label=label, icon=":material/arrow_forward:", query_params=sweep_parameters(wanted))


def single_effects(ref: str, task: str) -> tuple[tuple[SetEffect, ...], str | None]:
    """Mean effect on RR of every single layer from the finished sweep, and what is wrong where it is damaged."""
    from ivcore.errors import DamagedRunError

    try:
        sweep = runs.newest(ref, task, "exact", depth=1)
    except DamagedRunError as err:
        return (), str(err)
    if sweep is None:
        return (), None
    found = [row for row in runs.ranking(sweep, "rr") if len(row.layers) == 1]
    return tuple(sorted(found, key=lambda row: row.layers)), None


def separable_from(run: GeometryRun, task: int) -> LayerGeometry | None:
    """The first row from which on the probe tells at least ``READ`` of the task's paraphrases right."""
    found = None
    for row in reversed(run.rows):
        if (row.probe.per_class[task].share or 0.0) < READ:
            break
        found = row
    return found


def working(singles: Sequence[SetEffect]) -> tuple[int, ...]:
    """Layers whose effect is clearly above zero and at least half of the largest."""
    largest = max((row.mean for row in singles), default=0.0)
    if largest < FAINT["rr"]:
        return ()
    return tuple(row.layers[0] for row in singles if (row.low or 0.0) > 0 and row.mean >= largest / 2)


def contrast_heading(inputs: GeometryInputs, run: GeometryRun, singles: Sequence[SetEffect]) -> str:
    """What to see, from the numbers."""
    task = run.result.names.index(inputs.task)
    row = separable_from(run, task)
    if row is None:
        best = max(run.rows, key=lambda other: other.probe.per_class[task].share or 0.0)
        share = whole(best.probe.per_class[task].share or 0.0)
        read = f"read in {share} of its paraphrases at best, at {layer_words(layer_name(best.layer))}"
    else:
        read = f"read in at least {whole(READ)} of its paraphrases from {layer_words(layer_name(row.layer))} on"
    head = f"{inputs.task} on {inputs.stage}: {read}"
    if not singles:
        return head
    layers = working(singles)
    done = f"works best at {layer_names(layers)}" if layers else "works clearly at no layer"
    return f"{head}; patching a single layer {done}"


def show_separation(inputs: GeometryInputs, panels: Sequence[Panel], panel: Panel) -> None:
    """All figures by layer, and which class is taken for which at the chosen layer."""
    run = panel.run
    assert run is not None
    st.subheader("How far apart, in numbers", anchor=False)
    for place, figure in zip(st.columns(len(FIGURES), gap="medium"), FIGURES, strict=True):
        place.altair_chart(figure_chart(panels, figure), width="stretch", alt=f"{figure.name} by layer")
    st.markdown(f"**{markdown(panel.stage)}, layer by layer**")
    st.dataframe(
        separation_table(run), hide_index=True, column_config=_columns(), height=38 + 35 * min(len(run.rows), 12)
    )
    row = layer_row(run, inputs.layer)
    st.markdown(f"##### {markdown(_confused(inputs, run, row))}")
    left, right = st.columns([6, 5], gap="large")
    with left:
        st.altair_chart(confusion_chart(run, row), width="stretch", alt="Which class is taken for which")
        st.caption("Rows: what a paraphrase asks for. Numbers: held-out paraphrases. Color: their share of the row.")
    with right:
        st.dataframe(_classes(run, row), hide_index=True, column_config=_class_columns())
        sizes = run.result.n_per_class
        if max(sizes) > 1.5 * min(sizes):
            st.caption(
                f"The classes are of unequal size ({count(min(sizes))} to {count(max(sizes))}), so accuracy leans on "
                f"the large ones and chance is {whole(run.result.chance)}."
            )


def separation_table(run: GeometryRun) -> pd.DataFrame:
    """One line for each layer; shares in percent."""
    return pd.DataFrame([_line(row) for row in run.rows])


def _line(row: LayerGeometry) -> dict[str, object]:
    found, held_out = row.probe.accuracy, 100 * (row.lda_heldout.share or 0.0)
    own, shuffled = 100 * row.lda_training_accuracy, row.shuffled_accuracy
    return {
        "layer": layer_name(row.layer),
        "probe": 100 * (found.share or 0.0),
        "interval": f"{100 * (found.low or 0.0):.1f} to {100 * (found.high or 0.0):.1f}",
        "shuffled": None if shuffled is None else 100 * shuffled,
        "lda": held_out,
        OWN_POINTS: own,
        "flatters": own - held_out,
        "ratio": row.separation.lda_ratio,
        "silhouette": row.separation.silhouette,
        "dimension": row.separation.effective_dimension,
    }


def _columns() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    text = st.column_config.TextColumn

    def of(name: str, label: str, form: str) -> Any:
        return number(label, format=form, help=SEPARATION_HELP[name])

    return {
        "layer": text("layer", width="small"),
        "probe": of("probe", "probe", "%.1f%%"),
        "interval": text("95% interval", help=SEPARATION_HELP["interval"]),
        "shuffled": of("shuffled", "shuffled", "%.1f%%"),
        "lda": of("lda", "LDA", "%.1f%%"),
        OWN_POINTS: of(OWN_POINTS, "LDA, own points", "%.1f%%"),
        "flatters": of("flatters", "flatters by", "%.1f"),
        "ratio": of("ratio", "LDA ratio", "%.2f"),
        "silhouette": of("silhouette", "silhouette", "%.3f"),
        "dimension": of("dimension", "effective dim.", "%.1f"),
    }


def _classes(run: GeometryRun, row: LayerGeometry) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": run.result.names,
            "n": run.result.n_per_class,
            "right": [share_words(share) for share in row.probe.per_class],
            "words": [whole(share.share or 0.0) for share in run.result.lexical.per_class],
        }
    )


def _class_columns() -> dict[str, Any]:
    text = st.column_config.TextColumn
    return {
        "right": text("told right", help="Of the held-out paraphrases of this class, with a 95% interval."),
        "words": text("words alone", help="The same from the words, without a model."),
    }


def _confused(inputs: GeometryInputs, run: GeometryRun, row: LayerGeometry) -> str:
    """The most frequent mistake at the chosen layer."""
    place = f"{layer_words(inputs.layer)} of {inputs.stage}"
    names, best, pair = run.result.names, 0, ("", "")
    for i, line in enumerate(row.probe.confusion.tolist()):
        for j, hits in enumerate(line):
            if i != j and hits > best:
                best, pair = hits, (names[i], names[j])
    wrong = row.probe.accuracy.n - row.probe.accuracy.hits
    if not wrong:
        return f"At {place} every held-out paraphrase is told right"
    times = "once" if best == 1 else f"{count(best)} times"
    told = f"{count(wrong)} of {count(row.probe.accuracy.n)} told wrong"
    return f"At {place}, {told}; most often {pair[0]} as {pair[1]}, {times}"
