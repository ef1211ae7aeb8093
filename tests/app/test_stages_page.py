"""The Stages page through Streamlit's AppTest: panels from the store, what was not computed, and the way to a sweep."""

from __future__ import annotations

import csv
import io
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ivcore.errors import DamagedRunError
from ivcore.runs import SweepRun
from tests.app.conftest import APP
from tests.app.reading import plain
from tests.app.sweeps import make_run
from ui import runs
from ui.stages.grid import Difference, Panel, difference_chart, effect_chart, find_panels

REFS = {"base": "ivy-base", "SFT": "ivy-sft", "DPO": "ivy-dpo"}
TASKS = ("adj_comp", "can_fly")
Open = Callable[..., AppTest]


@dataclass
class Shelf:
    """What stands in for the store."""

    runs: dict[tuple[str, str, str], SweepRun] = field(default_factory=dict)
    damaged: set[tuple[str, str, str]] = field(default_factory=set)

    def put(self, stage: str, task: str, peak: float, convention: str = "exact", n: int = 12) -> SweepRun:
        """A run on the ivy model of this stage whose strongest set is (1, 3)."""
        number = len(self.runs)
        self.runs[REFS[stage], task, convention] = made = make_run(
            lambda layers: 0.5 * len(layers) + peak * (layers == (1, 3)),
            seed=number,
            n=n,
            task=task,
            ref=REFS[stage],
            convention=convention,
            key=secrets.token_hex(32),
        )
        return made

    def newest(self, ref: str, task: str, convention: str, depth: int = 2) -> SweepRun | None:
        if (ref, task, convention) in self.damaged:
            raise DamagedRunError("The run 123 is damaged; compute it again.")
        return self.runs.get((ref, task, convention))


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    made = Shelf()
    monkeypatch.setattr(runs, "newest", made.newest)
    monkeypatch.setattr(runs, "summaries", tuple)
    yield made


@pytest.fixture
def open_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the Stages page at an address with these parameters."""
    monkeypatch.setenv("IVCORE_CACHE", str(tmp_path / "runs"))

    def opened(**parameters: str | list[str]) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=300)
        page.switch_page("pages/stages.py")
        for name, value in ({"model": "ivy", "tasks": list(TASKS)} | parameters).items():
            page.query_params[name] = value
        return page.run()

    return opened


def specs(page: AppTest) -> list[str]:
    """Each chart as text, with its characters as they read."""
    return [json.dumps(json.loads(e.proto.spec), ensure_ascii=False) for e in page.get("vega_lite_chart")]


def codes(page: AppTest) -> list[str]:
    return [element.value for element in page.code]


def fill(shelf: Shelf) -> None:
    for i, stage in enumerate(REFS):
        for j, task in enumerate(TASKS):
            shelf.put(stage, task, 1.0 + 2 * i + j)


def test_every_panel_that_was_computed_is_drawn(open_stages: Open, shelf: Shelf) -> None:
    fill(shelf)
    page = open_stages()
    assert not page.exception and not page.error and not page.warning
    assert len(specs(page)) == 6 + 1, "a panel for each task and stage, and the chart of spread"
    caption = plain(" ".join(element.value for element in page.caption))
    assert all(part in caption for part in ("6 of 6 panels", "n = 12 samples", "float32", "ivy-base"))
    (table,) = [frame.value for frame in page.dataframe]
    assert table["task"].tolist() == [task for task in TASKS for _ in REFS]
    assert (table["sets"] > 1).all() and (table["sets"] < 10).all() and (table["top"] == "1 and 3").all()


def test_a_peak_makes_a_stage_more_localised(open_stages: Open, shelf: Shelf) -> None:
    fill(shelf)
    table = open_stages().dataframe[0].value.set_index(["task", "stage"])["sets"]
    assert table["can_fly", "base"] > table["can_fly", "SFT"] > table["can_fly", "DPO"]


def test_what_was_not_computed_says_so_and_names_the_command(open_stages: Open, shelf: Shelf) -> None:
    shelf.put("SFT", "adj_comp", 3.0)
    page = open_stages()
    assert not page.exception and not page.error
    missing = [element.value for element in page.markdown if "not computed" in element.value]
    assert len(missing) == 5
    assert "python -m ivcore sweep --model ivy-base --task adj_comp --depth 2 --samples 100" in codes(page)
    assert not any("ivy-sft --task adj_comp" in code and "\n" not in code for code in codes(page))


def test_nothing_computed_is_a_page_too(open_stages: Open, shelf: Shelf) -> None:
    page = open_stages(model="OLMo-2 7B")
    assert not page.exception and not page.error and not specs(page)
    assert "0 of 6 panels" in plain(" ".join(element.value for element in page.caption))


def test_a_damaged_run_is_told_and_not_drawn(open_stages: Open, shelf: Shelf) -> None:
    fill(shelf)
    shelf.damaged.add(("ivy-dpo", "can_fly", "exact"))
    page = open_stages()
    assert not page.exception and not page.error
    assert "damaged" in plain(page.warning[0].value) and len(specs(page)) == 5 + 1


def test_differences_between_stages(open_stages: Open, shelf: Shelf) -> None:
    fill(shelf)
    page = open_stages(show="differences between stages")
    assert not page.exception and not page.error
    assert len(specs(page)) == 6 + 1
    assert all(any(name in spec for spec in specs(page)) for name in ("SFT − base", "DPO − SFT", "DPO − base"))
    shelf.runs.pop(("ivy-base", "can_fly", "exact"))
    page = open_stages(show="differences between stages")
    assert len(specs(page)) == 4 + 1
    assert any("Not computed: base" in plain(element.value) for element in page.caption)


def test_one_scale_for_all_or_one_for_each(open_stages: Open, shelf: Shelf) -> None:
    fill(shelf)

    def ends(page: AppTest) -> set[str]:
        found = (json.loads(spec)["layer"][0]["encoding"]["color"]["scale"]["domain"][-1] for spec in specs(page)[:6])
        return {f"{end:.4f}" for end in found}

    assert len(ends(open_stages())) == 1
    assert len(ends(open_stages(scale="one for each"))) == 6


def test_the_other_convention_has_runs_of_its_own(open_stages: Open, shelf: Shelf) -> None:
    fill(shelf)
    page = open_stages(convention="as released")
    assert len(specs(page)) == 0 and not page.error
    assert any("--convention released" in code for code in codes(page))


def test_no_task_chosen_is_asked_for(open_stages: Open, shelf: Shelf) -> None:
    page = open_stages()
    page.multiselect(key="tasks").set_value([]).run()
    assert not page.exception and "at least one task" in page.info[0].value


def test_every_panel_links_to_its_sweep(open_stages: Open, shelf: Shelf) -> None:
    shelf.put("SFT", "can_fly", 3.0)
    page = open_stages(metric="logit")
    found = [element.proto for element in page.get("page_link")]
    links = [parse_qs(link.query_string) for link in found if "sweep" in link.label]
    assert len(links) == 6
    assert {(link["task"][0], link["stage"][0]) for link in links} == {(task, s) for task in TASKS for s in REFS}
    assert all(link["metric"] == ["logit"] and link["model"] == ["ivy"] for link in links)
    samples = {(link["task"][0], link["stage"][0]): link["samples"] for link in links}
    assert samples["can_fly", "SFT"] == ["12"] and samples["can_fly", "DPO"] == ["100"]


def test_choices_follow_the_reader_from_page_to_page(open_stages: Open, shelf: Shelf) -> None:
    fill(shelf)
    page = open_stages()
    page.button_group(key="metric").set_value("log-probability").run()
    titles = {"patch": "Patch an instruction vector", "sweep": "Sweep a task", "stages": "Stages of training"}
    for name in ("sweep", "published", "patch", "published", "sweep", "stages"):
        page.switch_page(f"pages/{name}.py").run()
        assert not page.exception and not page.error, name
        assert page.title[0].value == titles.get(name, page.title[0].value)
        if name != "published":
            assert page.session_state["metric"] == "log-probability", name


def test_garbage_in_a_permalink_is_told_and_ignored(open_stages: Open, shelf: Shelf) -> None:
    page = open_stages(tasks=["can_fly", "<b>nothing</b>"], metric="beauty", show="x", model="nobody")
    told = " ".join(plain(warning.value) for warning in page.warning)
    assert all(part in told for part in ("<b>nothing</b>", "beauty", "nobody"))
    assert not page.exception and not page.error


def test_the_download_holds_every_set_of_every_panel(shelf: Shelf) -> None:
    from ui.stages.files import stages_csv

    fill(shelf)
    grid = find_panels(tuple(REFS.items()), TASKS, "exact")
    rows = list(csv.DictReader(io.StringIO(stages_csv(grid, "logit"))))
    assert len(rows) == 6 * 10
    one = next(row for row in rows if (row["task"], row["stage"], row["layers"]) == ("can_fly", "SFT", "1 3"))
    run = shelf.runs["ivy-sft", "can_fly", "exact"]
    assert float(one["mean"]) == pytest.approx(run.effects("logit")[run.sets.index((1, 3))].mean())


def test_a_difference_is_paired_where_the_samples_are_the_same(shelf: Shelf) -> None:
    before, after = (Panel("t", s, REFS[s], shelf.put(s, "t", peak)) for s, peak in (("base", 1.0), ("SFT", 4.0)))
    assert before.run is not None and after.run is not None
    cells = Difference(before, after).cells("logit").set_index("set")
    expected = after.run.effects("logit").mean(axis=1) - before.run.effects("logit").mean(axis=1)
    assert cells.loc["1,3", "effect"] == pytest.approx(expected[after.run.sets.index((1, 3))])
    assert bool(cells.loc["1,3", "clear"]) and cells["has_interval"].all()
    assert cells["clear"].mean() < 0.5, "noise alone is not called clear"
    others = Panel("t", "SFT", "ivy-sft", shelf.put("SFT", "t", 4.0, n=9))
    assert not Difference(before, others).cells("logit")["has_interval"].any()


def test_panels_are_drawn_with_their_spread_in_words(shelf: Shelf) -> None:
    panel = Panel("t", "SFT", "ivy-sft", shelf.put("SFT", "t", 4.0))
    chart = effect_chart(panel, metric="logit", span=None).to_dict(validate=True)
    assert chart["title"]["text"] == "SFT"
    means = panel.run.effects("logit").mean(axis=1) if panel.run else np.zeros(0)
    shares = means[means > 0] / means[means > 0].sum()
    effective = float(np.exp(-(shares * np.log(shares)).sum()))
    assert f"spread over {effective:.1f} of 10 sets" in chart["title"]["subtitle"][1]
    other = Panel("t", "DPO", "ivy-dpo", shelf.put("DPO", "t", 8.0))
    made = difference_chart(Difference(panel, other), metric="logit", span=2.0).to_dict(validate=True)
    assert made["title"]["text"] == "DPO − SFT" and made["layer"][0]["encoding"]["color"]["scale"]["domain"][-1] == 2.0
