"""What the Behaviour page offers to download, and the commands behind it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..charts import as_svg
from ..frame import Download
from ..sweep.state import OWN_FILE
from .charts import shares_chart
from .result import shares_heading
from .runs import Panel
from .state import BehaviourInputs, behaviour_command

if TYPE_CHECKING:
    from ivcore.runs import BehaviourRun, Judged

__all__ = ["answers_csv", "behaviour_commands", "behaviour_downloads", "command_of", "shares_csv"]


def behaviour_downloads(
    inputs: BehaviourInputs, panels: Sequence[Panel], run: BehaviourRun | None, judged: Judged | None = None
) -> tuple[Download, ...]:
    """The files of one result; each is made only when it is asked for."""

    def document() -> str:
        from ivcore.runs import behaviour_document

        assert run is not None
        return json.dumps(behaviour_document(run, judged), allow_nan=False, indent=1)

    def picture() -> str:
        return as_svg(shares_chart(panels, heading=shares_heading(inputs, panels)))

    shares = Download("Shares as CSV", "behaviour-shares.csv", "text/csv", lambda: shares_csv(panels))
    bars = Download("Bars as SVG", "behaviour-shares.svg", "image/svg+xml", picture)
    if run is None:
        return (shares, bars)
    answers = Download("Answers as CSV", "behaviour-answers.csv", "text/csv", lambda: answers_csv(run))
    return (answers, Download("Answers as JSON", "behaviour.json", "application/json", document), shares, bars)


def answers_csv(run: BehaviourRun) -> str:
    """One line for each prompt; the answer as the model wrote it."""
    names = ["task", "model", "query", "expected", "answer", "normalised", "exact", "valid", "answers"]
    rows = zip(run.request.items, run.answers, run.adherence.verdicts, strict=True)
    shared = [run.request.task, run.model["ref"]]
    return _table(
        names,
        (
            [*shared, *item, answer, verdict.answer, int(verdict.exact), int(verdict.valid), " ".join(verdict.answers)]
            for item, answer, verdict in rows
        ),
    )


def shares_csv(panels: Sequence[Panel]) -> str:
    """One line for each task and stage that was computed."""
    names = ["task", "stage", "model", "n"]
    names += [f"{name}{end}" for name in ("ema", "ia") for end in ("", "_low", "_high")]
    rows = []
    for panel in panels:
        if panel.run is not None:
            found = panel.run.adherence
            ends = [end for share in (found.ema, found.ia) for end in (share.share, share.low, share.high)]
            rows.append([panel.request.task, panel.stage, panel.ref, found.ema.n, *ends])
    return _table(names, rows)


def behaviour_commands(
    inputs: BehaviourInputs, panels: Sequence[Panel], own: Mapping[str, str] | None
) -> tuple[str, ...]:
    """One command for each stage, for the task that is looked at."""
    chosen = (panel for panel in panels if panel.task == inputs.task)
    return tuple(line for panel in chosen if (line := command_of(inputs, panel, own)) is not None)


def command_of(inputs: BehaviourInputs, panel: Panel, own: Mapping[str, str] | None) -> str | None:
    """What computes the panel and prints its numbers; None for a file that the command line cannot read."""
    is_own = panel.task == OWN_FILE
    if is_own and own is None:
        return None
    flags = own if is_own else None
    return behaviour_command(inputs, panel.ref, panel.task, len(panel.request.items), flags)


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return file.getvalue()
