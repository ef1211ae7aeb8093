"""What the Geometry page offers to download, and the commands behind it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..charts import as_svg
from ..frame import Download
from .charts import accuracy_chart
from .points import Drawing
from .result import accuracy_heading
from .runs import Panel
from .state import BUNDLED, GeometryInputs, geometry_command, layer_name

__all__ = ["geometry_commands", "geometry_downloads", "layers_csv", "points_csv"]


def geometry_downloads(
    panels: Sequence[Panel], panel: Panel, drawn: Sequence[Drawing], layer: str
) -> tuple[Download, ...]:
    """The files of one result; each is made only when it is asked for.

    Args:
        panels: all stages.
        panel: the stage that is looked at.
        drawn: the points on the screen.
        layer: their layer.
    """

    def document() -> str:
        from ivcore.runs import geometry_document

        assert panel.run is not None
        return json.dumps(geometry_document(panel.run), allow_nan=False, indent=1)

    def picture() -> str:
        return as_svg(accuracy_chart(panels, heading=accuracy_heading(panels)), width=760)

    return (
        Download(f"{panel.stage} as JSON", "geometry.json", "application/json", document),
        Download("Layers as CSV", "geometry-layers.csv", "text/csv", lambda: layers_csv(panels)),
        Download("Points as CSV", "geometry-points.csv", "text/csv", lambda: points_csv(drawn, layer)),
        Download("Probe as SVG", "geometry-probe.svg", "image/svg+xml", picture),
    )


def layers_csv(panels: Sequence[Panel]) -> str:
    """One line for each stage and layer."""
    names = ["stage", "model", "component", "layer", "n", "probe", "probe_low", "probe_high", "shuffled", "words_alone"]
    names += ["chance", "lda_heldout", "lda_training", "lda_ratio", "silhouette", "effective_dimension"]
    rows: list[list[object]] = []
    for panel in panels:
        if panel.run is not None:
            found = panel.run.result
            shared: list[object] = [panel.stage, panel.ref, found.component]
            for row in panel.run.rows:
                probe, apart = row.probe.accuracy, row.separation
                line = [layer_name(row.layer), probe.n, probe.share, probe.low, probe.high, row.shuffled_accuracy]
                line += [found.lexical.accuracy.share, found.chance, row.lda_heldout.share, row.lda_training_accuracy]
                rows.append([*shared, *line, apart.lda_ratio, apart.silhouette, apart.effective_dimension])
    return _table(names, rows)


def points_csv(drawn: Sequence[Drawing], layer: str) -> str:
    """One line for each point on the screen."""
    names = ["stage", "model", "layer", "view", "x", "y", "held_out", "task", "paraphrase"]
    rows = []
    for one in drawn:
        labels = [one.run.result.names[label] for label in one.run.request.labels]
        points = zip(one.view.points.tolist(), one.view.held_out.tolist(), labels, one.run.request.texts, strict=True)
        shared = [one.stage, one.ref, layer, one.view.method]
        rows += [[*shared, *xy, int(held_out), label, text] for xy, held_out, label, text in points]
    return _table(names, rows)


def geometry_commands(inputs: GeometryInputs, panels: Sequence[Panel], files: Sequence[str]) -> tuple[str, ...]:
    """One command for each stage; none for pasted texts, which the command line cannot read."""
    if inputs.source != BUNDLED and not files:
        return ()
    return tuple(_command(inputs, panel, files) for panel in panels)


def _command(inputs: GeometryInputs, panel: Panel, files: Sequence[str]) -> str:
    """Tasks in the order of the run, which its folds depend on."""
    if panel.run is not None and not files:
        inputs = replace(inputs, tasks=panel.run.request.names)
    released = panel.run is not None and panel.run.released is not None
    return geometry_command(inputs, panel.ref, files, released=released)


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return file.getvalue()
