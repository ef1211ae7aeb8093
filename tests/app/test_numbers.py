"""Effects, recoveries and superadditivity from a report, and the files made of them."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.app.reports import make_report, measured
from ui.numbers import as_csv, as_json, best, no_patch_row, pair_rows, set_rows

REPORT = make_report({(0,): measured(5, 2.0), (1,): measured(2, 3.0), (0, 1): measured(1, 7.0)})


def test_effects_and_recoveries_follow_their_definitions() -> None:
    single, _, pair = set_rows(REPORT)
    assert single.effects == pytest.approx({"rr": 1 / 5 - 1 / 10, "logit": 1.0, "logprob": 0.0})
    assert single.recoveries["rr"] == pytest.approx((1 / 5 - 1 / 10) / (1 - 1 / 10))
    assert pair.recoveries["logit"] == pytest.approx((7.0 - 1.0) / (6.0 - 1.0))
    assert single.recoveries["logprob"] is None


def test_a_pairs_excess_is_observed_minus_the_sum_of_its_singles() -> None:
    (pair,) = pair_rows(set_rows(REPORT), "logit")
    assert (pair.observed, pair.sum_of_singles, pair.excess) == pytest.approx((6.0, 3.0, 3.0))


@pytest.mark.parametrize(("logit", "side"), [(4.0, 0), (4.1, 1), (3.9, -1)])
def test_superadditive_means_more_than_rounding(logit: float, side: int) -> None:
    report = make_report({(0,): measured(5, 2.0), (1,): measured(2, 3.0), (0, 1): measured(1, logit)})
    (pair,) = pair_rows(set_rows(report), "logit")
    assert pair.side == side


def test_pairs_without_both_singles_are_left_out() -> None:
    assert pair_rows(set_rows(make_report({(0,): measured(5, 2.0), (0, 1): measured(1, 7.0)})), "rr") == ()


def test_pairs_come_with_the_largest_excess_first() -> None:
    singles = {(layer,): measured(9, 1.0 + layer) for layer in range(3)}
    pairs = {(0, 1): measured(9, 0.0), (0, 2): measured(9, 9.0), (1, 2): measured(9, 5.0)}
    rows = pair_rows(set_rows(make_report(singles | pairs)), "logit")
    assert [pair.layers for pair in rows] == [(0, 2), (1, 2), (0, 1)]


def test_the_best_set_is_the_smaller_one_where_effects_tie() -> None:
    report = make_report({(0, 1): measured(1, 7.0), (2,): measured(1, 7.0), (0,): measured(3, 2.0)})
    found = best(set_rows(report), "rr")
    assert found is not None and found.layers == (2,)
    assert best((), "rr") is None


def test_no_patch_is_the_target_alone() -> None:
    row = no_patch_row(REPORT)
    assert (row.rank, row.logit, row.layers) == (10, 1.0, ())
    assert set(row.effects.values()) == {0.0}


def test_csv_holds_every_measurement_in_full_precision() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(REPORT))))
    assert [row["prompt"] for row in rows] == ["full", "target", "patched", "patched", "patched"]
    assert [row["layers"] for row in rows] == ["", "", "0", "1", "0 1"]
    assert float(rows[2]["rr"]) == 1 / 5 and float(rows[2]["effect_rr"]) == 1 / 5 - 1 / 10
    assert rows[2]["recovery_logprob"] == "", "an undefined recovery is empty, not a number"


def test_json_has_the_command_lines_keys() -> None:
    document = json.loads(as_json(REPORT, {"ref": "m", "family": "f", "n_layers": 2, "fingerprint": "0"}))
    assert {"model", "prompt", "answer", "baseline", "patched", "seconds"} <= document.keys()
    assert document["baseline"]["target"] == {"rank": 10, "rr": 0.1, "logit": 1.0, "logprob": -1.0}
    assert document["patched"][2] == {"layers": [0, 1], "rank": 1, "rr": 1.0, "logit": 7.0, "logprob": -1.0}
