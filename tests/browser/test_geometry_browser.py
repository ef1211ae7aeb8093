"""The Geometry page in a real browser: a bundled run, the slider, selecting points, the way to Patch, a phone."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE, Visit
from tests.browser.parts import charts, settled
from ui.state import OTHER

pytestmark = pytest.mark.browser


def geometry(visit: Visit, *, width: int = 1400, scheme: str = "light", **parameters: object) -> Page:
    """The page, once its form is there."""
    address = f"{visit.server}geometry?{urlencode(parameters, doseq=True)}"
    page = visit.address(address, width=width, scheme=scheme)
    expect(page.get_by_role("heading", name="Do paraphrases fall into clusters?")).to_be_visible()
    settled(page)
    return page


def ready(page: Page) -> Page:
    """Wait until the result is complete."""
    expect(page.get_by_text("Command line: prints the same numbers")).to_be_visible(timeout=4 * PATIENCE)
    expect(marks(page).first).to_be_attached()
    settled(page)
    return page


def marks(page: Page) -> Locator:
    """The points of the first stage's picture."""
    return charts(page).nth(1).locator("g.mark-symbol path")


def places(page: Page) -> list[str]:
    """Where the first picture's points are."""
    found: list[str] = marks(page).evaluate_all("paths => paths.map(path => path.getAttribute('transform'))")
    return found


def drag(page: Page) -> None:
    """A rectangle around all points of the first picture."""
    picture = charts(page).nth(1)
    picture.scroll_into_view_if_needed()
    box = picture.locator("g.mark-group.role-frame.root > g > path.background").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3, steps=5)
    page.mouse.up()


def test_bundled_runs_open_and_slider_selection_and_the_way_to_patch_work(visit: Visit) -> None:
    page = ready(geometry(visit))
    expect(
        page.get_by_text(re.compile("Best accuracy of a linear probe.*base .*SFT .*DPO .*words alone"))
    ).to_be_visible()
    before = places(page)
    assert len(before) == 1040
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    expect(page.get_by_text("At the embedding LDA tells")).to_be_visible()
    settled(page)
    expect(page).to_have_url(re.compile("layer=embedding"))
    page.wait_for_function(
        "before => document.querySelectorAll('[data-testid=stVegaLiteChart]')[1]"
        ".querySelector('g.mark-symbol path').getAttribute('transform') !== before",
        arg=before[0],
    )
    drag(page)
    expect(page.get_by_text(re.compile(r"1,040 points selected, of which 400 are listed"))).to_be_visible()
    link = page.get_by_role("link", name=re.compile("Patch with"))
    expect(link).to_be_visible()
    link.click()
    expect(page.get_by_role("heading", name="Do paraphrases fall into clusters?")).to_have_count(0)
    expect(page.get_by_label("Instruction", exact=True)).to_have_value(re.compile("."))
    assert "instruction=" in page.url and "answer=" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_sideways_scrolling(visit: Visit, scheme: str) -> None:
    page = ready(geometry(visit, width=400, scheme=scheme))
    wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth - window.innerWidth")
    assert wide <= 0


def test_dropped_files_are_compared(visit: Visit, tmp_path: Path) -> None:
    page = geometry(visit, model=OTHER, ref=str(visit.folder), source="files")
    paths = []
    for name in ("say", "count"):
        paths.append(tmp_path / f"<b>{name}.csv")
        rows = "".join(f'{i},"{name} the thing, number {i}."\n' for i in range(12))
        paths[-1].write_text(f"index,instruction\n{rows}", encoding="utf-8")
    page.locator("input[type=file]").set_input_files(paths)
    expect(page.get_by_text(re.compile("<b>say:.? 12 paraphrases; <b>count:.? 12 paraphrases"))).to_be_visible()
    page.get_by_role("button", name="Compute what is missing").click()
    ready(page)
    expect(marks(page)).to_have_count(24)
    expect(page.get_by_text("--paraphrases '<b>say.csv' '<b>count.csv'").first).to_be_visible()
    expect(page.get_by_text("No permalink")).to_be_visible()
