"""The published tables against their files, and the comparison with a ranking of one's own."""

from __future__ import annotations

import csv
import math
import tomllib
from collections import defaultdict
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ivcore import published
from ivcore.errors import InputError
from ivcore.models import list_models
from ivcore.published import (
    MODELS,
    N_LAYERS,
    STAGES,
    TABLES,
    TestRow,
    TupleRow,
    compare,
    gap,
    holding_counts,
    last_layer_conflicts,
    layer_tuples,
    plain_table,
    plan,
    superadditivity_tests,
    t_against_fifty,
    table,
    table_plan,
)

DATA = Path(published.__file__).parent / "data"
ROWS = {
    "layer_tuple_contributions.csv": 1200,
    "superadditivity_tests_as_published.csv": 480,
    "head_activity_spearman_k1_k2.csv": 96,
    "head_activity_jaccard_between_k.csv": 42,
    "head_activity_jaccard_between_tasks.csv": 72,
    "runtimes_as_published.csv": 5,
}


def read(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def published_list(number: int, stage: str, task: str) -> list[TupleRow]:
    return [row for row in layer_tuples() if (row.table, row.stage, row.task) == (number, stage, task)]


def all_lists() -> dict[tuple[int, str, str], list[TupleRow]]:
    found = defaultdict(list)
    for row in layer_tuples():
        found[row.table, row.stage, row.task].append(row)
    return found


@pytest.mark.parametrize(("name", "n_rows"), ROWS.items())
def test_each_file_is_whole_and_named_in_its_source(name: str, n_rows: int) -> None:
    assert len(read(name)) == n_rows
    assert name in (DATA / "SOURCE.md").read_text(encoding="utf-8")


def test_every_row_of_every_file_belongs_to_a_table() -> None:
    in_files = {int(row["table"]) for name in ROWS for row in read(name)}
    assert in_files == {entry.number for entry in TABLES} == {*range(2, 25)} - {1, 19}
    assert sum(len(plain_table(entry.number).rows) for entry in TABLES) == sum(ROWS.values())


def test_lists_have_ten_places_in_falling_order_with_ties_by_layers() -> None:
    lists = all_lists()
    assert len(lists) == 118 and len(layer_tuples()) == 1180
    for (number, _, _), rows in lists.items():
        assert [row.place for row in rows] == [*range(1, 11)]
        assert [(-row.value, row.layers) for row in rows] == sorted((-row.value, row.layers) for row in rows)
        assert all(row.is_ranked(row.layers) and row.layers[-1] < N_LAYERS[row.size] for row in rows)
        entry = table(number)
        about = {(row.size, row.metric, row.n_layers) for row in rows}
        assert about == {(entry.size, entry.metric, entry.depth)} and {row.task for row in rows} <= set(entry.tasks)


def test_a_layer_with_itself_is_one_layer() -> None:
    doubled = [row for row in read("layer_tuple_contributions.csv") if len(set(row["layers"].split("-"))) == 1]
    singles = [row for row in layer_tuples() if len(row.layers) == 1]
    assert (len(doubled), len(singles)) == (112, 111), "one single stands in the missing part"
    assert all(len(row.layers) == 3 for row in layer_tuples() if row.n_layers == 3)


@pytest.mark.parametrize(
    ("number", "stage", "task", "place", "layers", "value"),
    [
        (9, "sft", "can_fly", 1, (3, 7), 0.05),
        (9, "sft", "adj_ant", 1, (3,), 0.14),
        (11, "dpo", "object_counting", 10, (12, 29), 1.19),
        (15, "base", "anim_color", 0, (6, 15), 1.08),
        (16, "base", "adj_ant", 10, (7,), -6.58),
        (17, "sft", "adj_ant", 1, (3, 14, 15), 1.97),
        (18, "sft", "can_fly", 1, (2, 3, 7), 0.06),
    ],
)
def test_figures_read_by_eye(
    number: int, stage: str, task: str, place: int, layers: tuple[int, ...], value: float
) -> None:
    (row,) = (row for row in published_list(number, stage, task) if row.layers == layers)
    assert row.value == value and place in (0, row.place)


def test_tests_read_by_eye() -> None:
    rows = {(row.table, row.stage, row.task, row.layers): (row.t, row.p) for row in superadditivity_tests()}
    assert len(rows) == 470
    assert rows[5, "sft", "adj_ant", (3,)] == (-1003.0, 3.487e-200)
    assert rows[6, "base", "implicatures", (0, 15)] == (-math.inf, 0.0)


def test_other_tables_read_by_eye() -> None:
    assert plain_table(4).columns[:2] == ("experiment", "top_k")
    assert plain_table(4).rows[0] == ("activation_patching", None, 100, "OLMo-2 1B", 4, "A100/H100")
    assert plain_table(22).rows[0] == ("1B", "base", 1, -1, "0-2", 0.375)
    assert plain_table(2).rows[0] == ("1B", "base", "adj_ant", 0, 0.65)


def test_the_missing_part_is_missing_for_the_stated_reason() -> None:
    def column(number: int, stage: str) -> list[tuple[str, str]]:
        return [
            (row["layers"], row["value"])
            for row in read("layer_tuple_contributions.csv")
            if (row["table"], row["stage"], row["task"]) == (str(number), stage, "object_counting")
        ]

    for number in (11, 12):
        assert column(number, "base") == column(number, "dpo") != column(number, "sft")
        assert published_list(number, "base", "object_counting") == []
        assert "DPO" in (gap(number, "base", "object_counting") or "")
    blank = [row for row in read("superadditivity_tests_as_published.csv") if row["t"] == "-"]
    assert {(row["table"], row["stage"], row["task"]) for row in blank} == {("8", "base", "object_counting")}
    assert gap(8, "base", "object_counting") and gap(8, "dpo", "object_counting") is None


def test_tables_of_tests_test_the_lists_that_they_say() -> None:
    for entry in TABLES:
        if entry.kind != "tests":
            continue
        tested = {(row.stage, row.task, row.layers) for row in superadditivity_tests() if row.table == entry.number}
        listed = {(row.stage, row.task, row.layers) for row in layer_tuples() if row.table == entry.tests_of}
        assert tested == listed and len(tested) >= 110


def test_an_unknown_table_is_refused() -> None:
    for number in (1, 19, 25):
        with pytest.raises(InputError, match=f"no published table {number}; choose one of 2, 3, 4"):
            table(number)


# What the t values say.


@pytest.mark.parametrize(("n_holding", "n_samples"), [(1, 100), (44, 100), (50, 100), (99, 100), (3, 7)])
def test_t_is_that_of_a_test_against_fifty(n_holding: int, n_samples: int) -> None:
    booleans = np.arange(n_samples) < n_holding
    assert t_against_fifty(n_holding, n_samples) == pytest.approx(stats.ttest_1samp(booleans, 50.0).statistic)


def test_no_outcome_brings_t_near_zero() -> None:
    assert max(t_against_fifty(k) for k in range(101)) == pytest.approx(-985.0, abs=0.05)
    assert t_against_fifty(0) == t_against_fifty(100) == -math.inf
    for wrong in ((-1, 100), (101, 100), (0, 1)):
        with pytest.raises(InputError, match="not possible"):
            t_against_fifty(*wrong)


def test_every_printed_t_is_a_count_of_a_hundred_samples() -> None:
    counts = [holding_counts(row) for row in superadditivity_tests() if math.isfinite(row.t)]
    assert len(counts) == 385 and all(1 <= len(found) <= 2 for found in counts)
    assert sum(len(found) == 1 for found in counts) > 350, "p tells most of the twins apart"


def test_counts_are_read_back(rng: np.random.Generator) -> None:
    row = superadditivity_tests()[0]
    for n_holding in rng.integers(1, 100, 20):
        found = stats.ttest_1samp(np.arange(100) < n_holding, 50.0)
        printed = replace(row, t=float(f"{found.statistic:.3e}"), p=float(f"{found.pvalue:.3e}"))
        assert n_holding in holding_counts(printed)
    assert holding_counts(replace(row, t=-math.inf, p=0.0)) == (0, 100)
    assert holding_counts(replace(row, t=-984.0)) == () == holding_counts(replace(row, p=0.01))
    assert holding_counts(TestRow(5, "1B", "sft", "x", (0, 1), t=2.1, p=0.04)) == ()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# The last layer.


def test_the_last_layer_conflicts_in_two_tables_only() -> None:
    conflicts = {key: last_layer_conflicts(rows) for key, rows in all_lists().items()}
    assert {number for (number, _, _), found in conflicts.items() if found} == {15, 16}
    assert sum(len(found) for found in conflicts.values()) == 14
    (odd,) = conflicts[15, "base", "anim_color"]
    assert (odd.layers, odd.value, odd.without, odd.expected) == ((6, 15), 1.08, (6,), 0.55)


def test_a_planted_conflict_is_found_and_rounding_is_none() -> None:
    rows = published_list(9, "sft", "adj_ant")
    assert last_layer_conflicts(rows) == ()
    single = next(row for row in rows if row.layers == (3,))
    pair = next(row for row in rows if row.layers == (3, 15))
    off_by_one = [single, replace(pair, value=round(single.value + 0.01, 2))]
    off_by_two = [single, replace(pair, value=round(single.value + 0.02, 2))]
    assert last_layer_conflicts(off_by_one) == ()
    assert [odd.layers for odd in last_layer_conflicts(off_by_two)] == [(3, 15)]
    assert last_layer_conflicts([replace(single, layers=(15,), value=0.3)])[0].expected == 0


# Beside one's own ranking.


def own_of(rows: list[TupleRow]) -> dict[tuple[int, ...], float]:
    """Every single and pair of 16 layers; those of the list with its values, all others below."""
    sets = [*combinations(range(16), 1), *combinations(range(16), 2)]
    listed = {row.layers: row.value for row in rows}
    return {layers: listed.get(layers, -1.0 - i / 1000) for i, layers in enumerate(sets)}


def test_the_same_ranking_agrees_wholly() -> None:
    rows = published_list(9, "sft", "anim_color")
    found = compare(rows, list(own_of(rows).items()))
    assert (found.k, found.overlap, found.n, found.n_sets) == (10, 10, 10, 136)
    assert found.spearman == pytest.approx(1.0) and found.reason is None
    assert found.shared == tuple(row.layers for row in rows)
    assert found.expected == pytest.approx(100 / 136)


def test_the_reverse_order_of_the_right_sets_is_told_apart_from_the_wrong_sets() -> None:
    rows = published_list(9, "sft", "anim_color")
    own = own_of(rows)
    turned = own | {row.layers: 5 - row.value for row in rows}
    found = compare(rows, list(turned.items()))
    assert found.overlap == 10 and found.spearman == pytest.approx(-1.0)
    below = own | {row.layers: row.value - 9 for row in rows}
    found = compare(rows, list(below.items()))
    assert found.overlap == 0 and found.shared == () and found.spearman == pytest.approx(1.0)


def test_overlap_and_correlation_against_an_oracle(rng: np.random.Generator) -> None:
    for key, rows in list(all_lists().items())[:40:4]:
        sets = [*combinations(range(32), 1), *combinations(range(32), 2)]
        own = {layers: float(mean) for layers, mean in zip(sets, rng.normal(size=len(sets)), strict=True)}
        for row in rows[:7]:
            own[row.layers] += 3.0
        found = compare(rows, list(own.items()))
        top = sorted(own, key=lambda layers: own[layers], reverse=True)[:10]
        assert found.overlap == len({row.layers for row in rows} & set(top)), key
        values = [row.value for row in rows]
        if len(set(values)) > 1:
            expected = stats.spearmanr(values, [own[row.layers] for row in rows]).statistic
            assert found.spearman == pytest.approx(expected), key


def test_chance_is_the_mean_over_random_orders(rng: np.random.Generator) -> None:
    rows = published_list(9, "dpo", "can_fly")
    sets = list(own_of(rows))
    overlaps = [compare(rows, list(zip(sets, rng.permutation(136), strict=True))).overlap for _ in range(400)]
    expected = compare(rows, [(layers, 0.0) for layers in sets]).expected
    assert np.mean(overlaps) == pytest.approx(expected, abs=4 * np.std(overlaps) / 20)


def test_equal_means_are_taken_in_the_order_of_their_layers() -> None:
    rows = published_list(9, "sft", "can_fly")
    sets = list(own_of(rows))
    found = compare(rows, [(layers, 0.0) for layers in reversed(sets)])
    assert set(found.shared) == {row.layers for row in rows} & set(sorted(sets)[:10])
    assert found.spearman is None and found.reason


def test_sizes_that_the_list_does_not_rank_are_left_aside() -> None:
    rows = published_list(18, "sft", "can_fly")
    triples = {layers: -float(i) for i, layers in enumerate(combinations(range(16), 3))}
    own = triples | {row.layers: row.value for row in rows} | {(0,): 99.0, (0, 1): 98.0}
    found = compare(rows, list(own.items()))
    assert found.n_sets == 560 and found.overlap >= 9
    pairs = published_list(9, "sft", "can_fly")
    assert compare(pairs, [*own_of(pairs).items(), ((1, 2, 3), 99.0)]).overlap == 10


def test_fewer_places_and_fewer_sets() -> None:
    rows = published_list(9, "sft", "anim_color")
    own = list(own_of(rows).items())
    assert compare(rows, own, k=3).expected == pytest.approx(9 / 136) and compare(rows, own, k=3).overlap == 3
    singles = [(layers, mean) for layers, mean in own if len(layers) == 1]
    few = compare(rows, singles[:4])
    assert few.k == 4 and few.n_sets == 4 and few.n == 0 and few.spearman is None and few.reason


def test_what_cannot_be_compared_is_refused() -> None:
    rows = published_list(9, "sft", "anim_color")
    own = list(own_of(rows).items())
    for published_rows, means, words in (
        ([], own, "0 lists"),
        (rows + published_list(9, "dpo", "anim_color"), own, "2 lists"),
        (rows, [((1, 2, 3), 0.5)], "no sets of 2 layers"),
        (rows, [*own, own[0]], "1 layer sets twice"),
        (rows, [*own[1:], (own[0][0], math.nan)], "not a finite number"),
    ):
        with pytest.raises(InputError, match=words):
            compare(published_rows, means)
    for k in (0, 11):
        with pytest.raises(InputError, match=f"top {k} "):
            compare(rows, own, k=k)


# Plans.


def test_the_models_are_those_of_the_registry() -> None:
    listed = {(entry.group, entry.stage.lower()): entry.name for entry in list_models()}
    assert {key: listed[f"OLMo-2 {key[0]}", key[1]] for key in MODELS} == MODELS


def test_a_plan_has_one_sweep_for_each_stage_and_task() -> None:
    sweeps = tomllib.loads(plan("7B", ("base", "dpo"), ("adj_ant", "snarks"), depth=2, n_samples=25))["sweep"]
    assert [(sweep["model"], sweep["task"]) for sweep in sweeps] == [
        ("allenai/OLMo-2-1124-7B", "adj_ant"),
        ("allenai/OLMo-2-1124-7B", "snarks"),
        ("allenai/OLMo-2-1124-7B-DPO", "adj_ant"),
        ("allenai/OLMo-2-1124-7B-DPO", "snarks"),
    ]
    shared = {"depth": 2, "samples": 25, "convention": "exact", "device": "cuda", "dtype": "float32"}
    assert all(sweep.items() >= shared.items() and len(sweep) == 7 for sweep in sweeps)


@pytest.mark.parametrize("number", [5, 8, 9, 16, 18])
def test_the_plan_of_a_table_is_one_that_precompute_reads(number: int, tmp_path: Path) -> None:
    from ivcore.runs import read_plan

    entry = table(number)
    text = table_plan(entry, available={entry.tasks[0]: 40})
    assert text and f"# Table {number} " in text and f"{entry.tasks[0]} 40." in text
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    planned = read_plan(tmp_path / "plan.toml")
    assert {(row.model, row.task) for row in planned} == {
        (MODELS[entry.size or "", stage], task) for stage in STAGES for task in entry.tasks
    }
    assert {row.depth for row in planned} == {entry.depth}
    assert all(row.samples == (40 if row.task == entry.tasks[0] else 100) for row in planned)


def test_tables_that_are_no_sweeps_have_no_plan() -> None:
    assert [entry.number for entry in TABLES if table_plan(entry) is None] == [2, 3, 20, 21, 22, 23, 24, 4]


def test_impossible_plans_are_refused() -> None:
    for arguments, words in (
        ({"size": "13B"}, "13B"),
        ({"stages": ("SFT",)}, "'SFT'"),
        ({"depth": 4}, "depth 4"),
        ({"n_samples": 0}, "0 samples of can_fly"),
        ({"n_samples": {"other": 5}}, "0 samples of can_fly"),
    ):
        given = {"size": "1B", "stages": ("sft",), "tasks": ("can_fly",), "depth": 2} | arguments
        with pytest.raises(InputError, match=words):
            plan(**given)
