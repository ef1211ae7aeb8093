"""The Geometry page's charts and headings, from runs with made-up numbers that can be counted by hand."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import altair as alt
import numpy as np
import pytest

from ivcore.patching import SetEffect
from ivcore.probes import Geometry, LayerGeometry, Probe, ReleasedProbe, Separation, View
from ivcore.runs import GeometryRequest, GeometryRun
from ivcore.stats import proportion
from ui.geometry.charts import BRUSH, POINT, accuracy_chart, accuracy_frame, picked_points, points_chart, points_frame
from ui.geometry.closer import contrast_heading, separable_from, separation_table, working
from ui.geometry.files import geometry_commands, layers_csv, points_csv
from ui.geometry.layer_charts import FIGURES, confusion_chart, figure_chart, patch_chart, split_chart, task_chart
from ui.geometry.points import Drawing, drawings, patch_parameters, points_heading
from ui.geometry.result import accuracy_heading, first_above_words
from ui.geometry.runs import Panel
from ui.geometry.state import FILES, PASTED, GeometryInputs, geometry_command, geometry_link
from ui.state import OTHER

N = 20
NAMES = ("num_next", "verb_past")
SCRIPT = "<script>window.hacked=1</script>"


def probe(*hits: int) -> Probe:
    """Two classes of twenty, of which so many are told right."""
    confusion = np.array([[hits[0], N - hits[0]], [N - hits[1], hits[1]]])
    return Probe(proportion(sum(hits), 2 * N), tuple(proportion(h, N) for h in hits), confusion, (1.0,))


def row(layer: int | None, *hits: int, ratio: float | None = 1.5) -> LayerGeometry:
    held_out = np.arange(2 * N) % 5 == 0
    place = -1 if layer is None else layer
    points = np.stack([np.arange(2 * N), np.full(2 * N, place)], axis=1).astype(np.float32)
    return LayerGeometry(
        layer,
        probe(*hits),
        (0.5, 0.4),
        proportion(30, 40),
        0.9,
        Separation(ratio, 0.25, 3.0),
        View("lda", points, held_out),
        View("pca", -points, held_out, (0.5, 0.25)),
    )


def made(
    rows: Sequence[LayerGeometry],
    *,
    words: tuple[int, int] = (10, 12),
    released: ReleasedProbe | None = None,
    names: tuple[str, str] = NAMES,
    texts: Sequence[str] | None = None,
) -> GeometryRun:
    said = tuple(texts or [f"{name} {i}." for name in names for i in range(N)])
    request = GeometryRequest(((names[0], said[:N]), (names[1], said[N:])), n_permutations=2)
    first = rows[0] if rows[0].layer is None else None
    layers = tuple(r for r in rows if r.layer is not None)
    result = Geometry("resid", names, (N, N), 0.5, probe(*words), first, layers, 5, 2, 0)
    model = {"ref": "tiny", "family": "Tiny", "n_layers": len(layers), "fingerprint": "f" * 64}
    model |= {"device": "cpu", "dtype": "float32", "revision": None}
    return GeometryRun("0" * 64, request, model, "2026-01-02T03:04:05+00:00", 2.0, 1.0, False, result, released)


ROWS = (row(None, 9, 11), row(0, 20, 14), row(1, 18, 20), row(2, 20, 19))


def panel(stage: str = "SFT", run: GeometryRun | None = None) -> Panel:
    found = run or made(ROWS)
    return Panel(stage, f"tiny-{stage}", found.request, found)


def inputs(**changes: Any) -> GeometryInputs:
    named: dict[str, Any] = {"family": "tiny", "stages": (("base", "b"), ("SFT", "s")), "tasks": NAMES}
    named |= {"layer": "1", "stage": "SFT", "task": "num_next"}
    return GeometryInputs(**(named | changes))


def spec(chart: Any) -> dict[str, Any]:
    found: dict[str, Any] = chart.to_dict()
    return found


def effect(layer: int, mean: float, low: float | None) -> SetEffect:
    made_up = SimpleNamespace(layers=(layer,), mean=mean, low=low, high=mean + 0.1, n=10)
    return made_up  # type: ignore[return-value]


def test_the_probe_stands_with_all_its_controls() -> None:
    frame = accuracy_frame([panel("base"), panel("SFT")])
    probed = frame[(frame["stage"] == "SFT") & (frame["series"] == "held-out probe")]
    assert probed["layer"].tolist() == ["embedding", "0", "1", "2"]
    assert probed["accuracy"].tolist() == [20 / 40, 34 / 40, 38 / 40, 39 / 40]
    assert probed["low"].tolist() == [r.probe.accuracy.low for r in ROWS]
    shuffled = frame[(frame["stage"] == "base") & (frame["series"] == "labels shuffled")]
    assert shuffled["accuracy"].tolist() == pytest.approx([0.45] * 4)
    for series, value in (("words alone", 22 / 40), ("chance", 0.5)):
        assert frame[frame["series"] == series]["accuracy"].tolist() == [value] * 4, "once, not for each stage"
    assert spec(accuracy_chart([panel("base"), panel("SFT")]))["layer"]


def test_the_axis_begins_with_the_embedding_only_where_there_is_one() -> None:
    assert spec(accuracy_chart([panel()]))["layer"][0]["encoding"]["x"]["scale"]["domain"][0] == "embedding"
    assert spec(accuracy_chart([panel(run=made(ROWS[1:]))]))["layer"][0]["encoding"]["x"]["scale"]["domain"][0] == "0"


def test_a_run_without_permutations_has_no_shuffled_line() -> None:
    from dataclasses import replace

    frame = accuracy_frame([panel(run=made([replace(one, shuffled_accuracies=()) for one in ROWS]))])
    assert set(frame["series"]) == {"held-out probe", "words alone", "chance"}


def test_headings_say_the_numbers() -> None:
    heading = accuracy_heading([panel("base"), panel("SFT")])
    assert "base 98% (layer 2)" in heading and "words alone 55%, chance 50%" in heading
    assert accuracy_heading([Panel("SFT", "x", made(ROWS).request, None)]) == "Nothing computed yet"


def test_above_the_words_means_intervals_apart_to_the_end() -> None:
    above = first_above_words(made(ROWS, words=(14, 14)))
    assert above is not None and above.layer == 1, "34 of 40 overlaps with 28 of 40"
    assert first_above_words(made([*ROWS, row(3, 10, 10)])) is None


def test_held_out_points_are_filled_and_the_others_hollow() -> None:
    run = made(ROWS)
    frame = points_frame(run, ROWS[1].lda)
    assert frame["x"].tolist() == list(range(40)) and frame["task"].tolist() == [NAMES[0]] * N + [NAMES[1]] * N
    assert frame["held_out"].sum() == 8
    encoding = spec(points_chart(run, ROWS[1].lda, "SFT"))["encoding"]
    assert encoding["fill"]["value"] == "transparent" and "held_out" in str(encoding["fill"]["condition"]["test"])
    none = View("tsne", ROWS[1].lda.points, np.zeros(40, dtype=np.bool_))
    assert "condition" not in spec(points_chart(run, none, "SFT"))["encoding"]["fill"]


def test_axes_say_what_they_are() -> None:
    def titles(view: View) -> list[str]:
        return [spec(points_chart(made(ROWS), view, "SFT"))["encoding"][axis]["title"] for axis in "xy"]

    assert titles(ROWS[1].pca) == ["component 1 (50% of the variance)", "component 2 (25% of the variance)"]
    assert titles(ROWS[2].lda) == ["discriminant", "largest other spread"], "two classes have one discriminant"
    assert titles(ROWS[1].lda) == ["discriminant", "no second discriminant"], "all zero"


def test_selected_points_are_those_in_the_rectangle_else_the_clicked_one() -> None:
    points = ROWS[1].lda.points
    brush = {"x": [7.5, 3.5], "y": [-1, 1]}
    assert picked_points({"selection": {BRUSH: brush, POINT: [{"i": 1}]}}, points) == (4, 5, 6, 7)
    assert picked_points({"selection": {BRUSH: brush | {"y": [1, 2]}}}, points) == ()
    assert picked_points({"selection": {BRUSH: {}, POINT: [{"i": 3}]}}, points) == (3,)
    for nothing in (None, {}, {"selection": {}}, {"selection": {POINT: [{"i": 99}]}}):
        assert picked_points(nothing, points) == ()


def test_a_long_or_strange_paraphrase_is_cut_and_its_controls_are_spelled_out() -> None:
    texts = [f"{i} {'x' * 400}\u202e" for i in range(2 * N)]
    shown = points_frame(made(ROWS, texts=texts), ROWS[1].lda)["text"]
    assert shown.str.len().max() <= 160 and "\u202e" not in "".join(shown)


def test_the_contrast_says_where_it_is_read_and_where_patching_works() -> None:
    run = made(ROWS)
    first = separable_from(run, 1)
    assert first is not None and first.layer == 1, "verb_past: 14, then 20 and 19 of 20"
    singles = [effect(0, 0.5, 0.4), effect(1, 0.3, 0.2), effect(2, 0.3, -0.1), effect(3, 0.1, 0.05)]
    assert working(singles) == (0, 1), "layer 2 is not clear, layer 3 is less than half"
    assert working([effect(0, 0.01, 0.005)]) == ()
    heading = contrast_heading(inputs(task="verb_past"), run, singles)
    assert heading == (
        "verb_past on SFT: read in at least 95% of its paraphrases from layer 1 on; patching a single layer "
        "works best at layers 0 and 1"
    )
    weak = made([row(0, 5, 5), row(1, 12, 5), row(2, 10, 5)])
    assert "read in 60% of its paraphrases at best, at layer 1" in contrast_heading(inputs(), weak, [])
    assert "patching" not in contrast_heading(inputs(), weak, [])


def test_both_panels_of_the_contrast_share_their_layers() -> None:
    above = spec(task_chart(made(ROWS), 0))
    below = spec(patch_chart([effect(i, 0.1 * i, None) for i in range(3)], with_embedding=True))
    domains = [
        next(one for one in chart["layer"] if "x" in one.get("encoding", {}) and "scale" in one["encoding"]["x"])[
            "encoding"
        ]["x"]["scale"]["domain"]
        for chart in (above, below)
    ]
    assert domains[0] == domains[1] == ["embedding", "0", "1", "2"]
    assert "No finished sweep" in str(spec(patch_chart([], with_embedding=True)))


def test_every_chart_says_what_is_missing() -> None:
    nothing = [Panel("SFT", "x", made(ROWS).request, None)]
    for chart in (accuracy_chart(nothing), split_chart(nothing), *(figure_chart(nothing, one) for one in FIGURES)):
        assert isinstance(chart, alt.LayerChart) and "Nothing to show yet" in str(spec(chart))
    undefined = panel(run=made([row(0, 9, 9, ratio=None), row(1, 9, 9, ratio=None)]))
    assert "not defined" in str(spec(figure_chart([undefined], FIGURES[0])))


def test_the_confusion_matrix_holds_every_count() -> None:
    chart = spec(confusion_chart(made(ROWS), ROWS[1]))
    (data,) = chart["datasets"].values()
    assert {(cell["true"], cell["said"]): cell["hits"] for cell in data} == {
        ("num_next", "num_next"): 20,
        ("num_next", "verb_past"): 0,
        ("verb_past", "num_next"): 6,
        ("verb_past", "verb_past"): 14,
    }


def test_the_table_says_how_much_fitted_points_flatter() -> None:
    table = separation_table(made(ROWS))
    assert table["layer"].tolist() == ["embedding", "0", "1", "2"]
    assert table["flatters"].tolist() == pytest.approx([15.0] * 4) and table["shuffled"].tolist() == pytest.approx(
        [45] * 4
    )


def test_the_split_chart_holds_both_ways() -> None:
    released = ReleasedProbe(proportion(38, 40), proportion(30, 40), 3)
    (data,) = (d for d in spec(split_chart([panel(run=made(ROWS, released=released))]))["datasets"].values() if d)
    assert [cell["share"] for cell in data] == [0.95, 0.75]


def test_drawings_follow_layer_and_view() -> None:
    panels = [panel("base"), panel("SFT")]
    lda = drawings(inputs(layer="2"), panels)
    assert [one.view for one in lda] == [ROWS[3].lda] * 2
    assert drawings(inputs(layer="embedding", view="pca"), panels)[0].view is ROWS[0].pca
    assert drawings(inputs(view="tsne"), panels) == (), "not drawn yet"
    assert points_heading(inputs(), lda).endswith("base 75% and SFT 75%")


def test_files_hold_the_runs_numbers() -> None:
    table = list(csv.DictReader(io.StringIO(layers_csv([panel("base"), panel("SFT")]))))
    assert len(table) == 8 and [line["layer"] for line in table[:2]] == ["embedding", "0"]
    assert float(table[1]["probe"]) == 34 / 40 and float(table[1]["words_alone"]) == 22 / 40
    one = Drawing("SFT", "s", made(ROWS), ROWS[1].lda, ())
    points = list(csv.DictReader(io.StringIO(points_csv([one], "0"))))
    assert len(points) == 40 and (points[3]["x"], points[3]["paraphrase"]) == ("3.0", "num_next 3.")
    assert sum(line["held_out"] == "1" for line in points) == 8


def test_link_and_command_name_every_input() -> None:
    asked = inputs(component="attn", view="released", layer="embedding", dtype="float64", device="cpu")
    found = parse_qs(urlsplit(geometry_link("http://localhost/geometry", asked)).query)
    assert found["compare"] == list(NAMES) and found["component"] == ["attention"] and found["view"] == ["as released"]
    assert found["layer"] == ["embedding"] and found["source"] == ["bundled tasks"] and found["stage"] == ["SFT"]
    other = inputs(family=OTHER, stages=(("tiny", "/a folder"),))
    assert parse_qs(urlsplit(geometry_link("http://h/", other)).query)["ref"] == ["/a folder"]
    line = geometry_command(asked, "m", released=True)
    assert line.endswith(
        "geometry --model m --tasks num_next,verb_past --component attn --released --device cpu --dtype float64 --json"
    )
    assert shlex.split(geometry_command(asked, "m", ["-a b.csv"]))[6:8] == ["--paraphrases", "./-a b.csv"]


def test_only_what_the_command_line_can_read_has_a_command() -> None:
    assert geometry_commands(inputs(source=PASTED, tasks=()), [panel()], ()) == ()
    (line,) = geometry_commands(inputs(source=FILES, tasks=()), [panel()], ("a.csv", "b.csv"))
    assert "--paraphrases a.csv b.csv" in line
    turned = inputs(tasks=NAMES[::-1])
    assert "--tasks num_next,verb_past" in geometry_commands(turned, [panel()], ())[0], "the order of the run"


def test_a_paraphrase_goes_to_the_patch_page_with_a_query_of_its_task() -> None:
    found = patch_parameters(inputs(), "SFT", "s", SCRIPT, "verb_past")
    assert found["instruction"] == SCRIPT and found["stage"] == "SFT" and found["query"].endswith("Answer:")
    assert found["answer"]
    own = patch_parameters(inputs(source=PASTED, family=OTHER), "x", "/m", "Say it.", "my set")
    assert own["ref"] == "/m" and "query" not in own and "stage" not in own
