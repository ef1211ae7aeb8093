"""What the Models page offers to download."""

from __future__ import annotations

from collections.abc import Sequence

from ..frame import Download
from .details import report_json
from .listing import Row, list_csv

__all__ = ["models_downloads"]


def models_downloads(rows: Sequence[Row], chosen: Row | None) -> tuple[Download, ...]:
    """The list, and the chosen model's report where there is one."""
    offers = [Download("List as CSV", "models.csv", "text/csv", lambda: list_csv(rows))]
    if chosen is not None and (report := chosen.verdict) is not None:
        offers.append(Download("Report as JSON", "check.json", "application/json", lambda: report_json(report)))
    return tuple(offers)
