"""The paper's published figures as data, and how a run of one's own compares with them.

1. ``tables``: the catalogue of Tables 2 to 24, and readers that check every row.
2. ``boolean_test``: what the t values of Tables 5 to 8 say, and what they cannot say.
3. ``last_layer``: printed effects that no patch can have.
4. ``agreement``: a published top ten against the ranking of a sweep.
5. ``plan``: the sweeps that reproduce a table, as a file for ``python -m ivcore precompute``.

Source: "Patches of Nonlinearity: Instruction Vectors in Large Language Models", arXiv 2602.07930 v2, CC BY 4.0;
``data/SOURCE.md`` says which file holds which table.
"""

from __future__ import annotations

from .agreement import Agreement, compare
from .boolean_test import holding_counts, t_against_fifty
from .last_layer import Conflict, last_layer_conflicts
from .plan import MODELS, N_SAMPLES, file_name, plan, table_plan
from .tables import (
    N_LAYERS,
    STAGES,
    TABLES,
    LayerSet,
    PlainTable,
    Table,
    TestRow,
    TupleRow,
    gap,
    layer_tuples,
    plain_table,
    superadditivity_tests,
    table,
)

__all__ = [
    "MODELS",
    "N_LAYERS",
    "N_SAMPLES",
    "STAGES",
    "TABLES",
    "Agreement",
    "Conflict",
    "LayerSet",
    "PlainTable",
    "Table",
    "TestRow",
    "TupleRow",
    "compare",
    "file_name",
    "gap",
    "holding_counts",
    "last_layer_conflicts",
    "layer_tuples",
    "plain_table",
    "plan",
    "superadditivity_tests",
    "t_against_fifty",
    "table",
    "table_plan",
]
