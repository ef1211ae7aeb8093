"""Task sweep and Stages in a real browser: start, watch, stop, resume, two tabs, click, follow a link, download."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.app.tiny_folder import make_folder
from tests.browser.conftest import PATIENCE, Visit
from tests.browser.parts import cell, cells, settled
from ui.state import OTHER

pytestmark = pytest.mark.browser


def sweep(visit: Visit, **parameters: object) -> Page:
    """The Task sweep page on the tiny model."""
    wide = {name: parameters.pop(name) for name in ("width", "height", "scheme") if name in parameters}
    named = {"model": OTHER, "ref": str(visit.folder), "task": "adj_ant", "samples": 10, "depth": 2} | parameters
    page = visit.address(f"{visit.server}sweep?{urlencode(named)}", **wide)  # type: ignore[arg-type]
    expect(page.get_by_role("heading", name="Sweep a task")).to_be_visible()
    settled(page)
    return page


def start(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Start the sweep|Resume the sweep")).click()


def done(page: Page) -> Page:
    """Wait for the result."""
    expect(page.get_by_text("Command line: prints the same numbers")).to_be_visible(timeout=4 * PATIENCE)
    expect(cells(page).first).to_be_visible()
    settled(page)
    return page


def finished(page: Page) -> Page:
    """Start the sweep unless another test's run is there already, and wait for the result."""
    offer = page.get_by_role("button", name="Start the sweep")
    expect(offer.or_(page.get_by_text("Command line: prints the same numbers"))).to_be_visible()
    if offer.is_visible():
        start(page)
    return done(page)


def download(page: Page, label: str) -> str:
    with page.expect_download(timeout=PATIENCE) as event:
        page.get_by_role("button", name=label, exact=True).click()
    return Path(event.value.path()).read_text(encoding="utf-8")


def test_cost_then_start_then_result_and_the_next_visitor_finds_it_at_once(visit: Visit) -> None:
    page = sweep(visit, samples=11)
    expect(page.get_by_text("10 × 11")).to_be_visible()
    start(page)
    done(page)
    assert cells(page).count() == 10
    again = done(sweep(visit, samples=11))
    expect(again.get_by_role("button", name="Start the sweep")).to_have_count(0)


def test_progress_stop_resume_and_two_tabs(visit: Visit, tmp_path: Path) -> None:
    # The sweep must outlast two visitors' clicks on the fastest machine: 987 sets, 95 samples.
    deep = make_folder(tmp_path / "deep", n_layers=18)
    long = {"ref": str(deep), "task": "country_capital", "samples": 95, "depth": 3}
    first, second = sweep(visit, **long), sweep(visit, **long)
    start(first)
    stop = first.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_visible()
    expect(first.get_by_text(re.compile(r"of 95 samples .* elapsed"))).to_be_visible()
    second.get_by_role("button", name="Start the sweep").click()
    expect(second.get_by_text(re.compile(r"of 95 samples .* elapsed"))).to_be_visible()
    stop.click()
    for page in (first, second):
        expect(page.get_by_text("are kept: the sweep goes on from there")).to_be_visible(timeout=2 * PATIENCE)
    start(first)
    done(first)
    assert first.get_by_role("alert").count() == 0
    settled(second)
    second.reload()
    done(second)


def test_a_click_on_map_dot_and_point_chooses_the_set(visit: Visit) -> None:
    page = sweep(visit, samples=11)
    finished(page)
    cell(page, 1, 3).click()
    expect(page.get_by_text("Layers 1 and 3: 95% interval")).to_be_visible()
    expect(page).to_have_url(re.compile(r"set=1%2C3"))
    settled(page)
    cell(page, 2, 2).click()
    expect(page.get_by_text("Layer 2: 95% interval")).to_be_visible()


def test_downloads_agree_with_the_command_line(visit: Visit) -> None:
    page = sweep(visit, samples=11)
    finished(page)
    document = json.loads(download(page, "JSON"))
    assert document["n_samples"] == 11 and len(document["metrics"]["rr"]) == 10
    table = list(csv.DictReader(download(page, "Sets as CSV").splitlines()))
    best = next(row for row in table if row["metric"] == "rr")
    assert float(best["mean"]) == pytest.approx(document["metrics"]["rr"][0]["mean"])
    assert len(download(page, "Samples as CSV").splitlines()) == 1 + 11 * 12


def test_a_dropped_file_is_swept(visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("query,opposite\nbig,small\nhot,cold\nfast,slow\nold,young\n", encoding="utf-8")
    page = sweep(visit, task="your own file")
    page.locator("input[type=file]").set_input_files(file)
    field = page.get_by_label("Instruction of the task", exact=True)
    field.fill("Say the opposite <b>now</b>.")
    field.press("Enter")
    expect(page.get_by_text("Say the opposite <b>now</b>").first).to_be_visible()
    start(page)
    done(page)
    expect(page.get_by_text("No permalink, since your own file")).to_be_visible()


def test_stages_lead_to_a_sweep_with_their_inputs(visit: Visit) -> None:
    page = visit.address(f"{visit.server}stages?tasks=noun_plural&tasks=verb_past")
    expect(page.get_by_text("panels computed")).to_be_visible()
    settled(page)
    last = page.get_by_role("link", name="Open in Task sweep").last
    for part in ("task=verb_past", "stage=DPO"):
        expect(last).to_have_attribute("href", re.compile(part))
    last.click()
    expect(page.get_by_role("heading", name="Sweep a task")).to_be_visible()
    settled(page)
    expect(page.get_by_text("verb", exact=False).first).to_be_visible()
    assert page.url.split("?")[0].endswith("/sweep")
    expect(page.get_by_role("button", name=re.compile("Start the sweep"))).to_be_visible()
    for part in ("task=verb_past", "stage=DPO"):
        expect(page).to_have_url(re.compile(part))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_sideways_scrolling(visit: Visit, scheme: str) -> None:
    page = sweep(visit, samples=11, width=400, height=850, scheme=scheme)
    finished(page)
    wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth - window.innerWidth")
    assert wide <= 0
