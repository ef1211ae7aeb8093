"""What the Published page offers to download: the shown rows, the whole table, the chart, and the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..charts import as_svg
from ..frame import Download
from . import charts as charts
from .form import PublishedInputs
from .rows import (
    Records,
    chosen_sets,
    chosen_tests,
    records_csv,
    records_json,
    records_of_plain,
    records_of_sets,
    records_of_tests,
    whole_plain,
)

if TYPE_CHECKING:
    from ivcore.published import Table

__all__ = ["plan_text", "published_downloads", "queries_of"]


def published_downloads(entry: Table, inputs: PublishedInputs) -> tuple[Download, ...]:
    """The files of what is shown; each is made only when it is asked for."""
    from ivcore.published import file_name

    whole = f"published-table-{entry.number}"
    parts = [whole, inputs.stage_key, inputs.task or "", "" if inputs.offset is None else f"t_inst{inputs.offset:+d}"]
    shown = "-".join(part for part in parts if part)
    title = f"Table {entry.number}: {entry.title}"
    offers = [
        Download("Shown rows, CSV", f"{shown}.csv", "text/csv", lambda: records_csv(_shown(entry, inputs))),
        Download(
            "Shown rows, JSON", f"{shown}.json", "application/json", lambda: records_json(_shown(entry, inputs), title)
        ),
        Download("Whole table, CSV", f"{whole}-whole.csv", "text/csv", lambda: records_csv(whole_plain(entry.number))),
    ]
    if entry.kind == "sets" and chosen_sets(inputs):
        offers.append(Download("Chart as SVG", f"{shown}.svg", "image/svg+xml", lambda: _picture(entry, inputs)))
    if plan := plan_text(entry):
        offers.append(Download("Plan, TOML", file_name(entry), "application/toml", lambda: plan))
    return tuple(offers)


def plan_text(entry: Table) -> str | None:
    """The plan that computes the table with as many samples as there are; None where sweeps do not make the table."""
    from ivcore.published import table_plan

    return table_plan(entry, available=queries_of(entry.tasks))


def queries_of(tasks: tuple[str, ...]) -> dict[str, int]:
    """How many queries are bundled of each task that is bundled."""
    from ivcore.errors import DataError
    from ivcore.prompts.tasks import load_task

    found = {}
    for name in tasks:
        try:
            found[name] = len(load_task(name).queries)
        except DataError:
            continue
    return found


def _shown(entry: Table, inputs: PublishedInputs) -> Records:
    if entry.kind == "sets":
        return records_of_sets(chosen_sets(inputs))
    if entry.kind == "tests":
        return records_of_tests(chosen_tests(inputs))
    return records_of_plain(inputs)


def _picture(entry: Table, inputs: PublishedInputs) -> str:
    from ivcore.published import N_LAYERS

    rows, n_layers = chosen_sets(inputs), N_LAYERS[entry.size or ""]
    span = charts.effect_span(rows)
    if entry.depth == 3:
        return as_svg(charts.triples_chart(rows, n_layers, span=span))
    return as_svg(charts.published_map(rows, n_layers, span=span))
