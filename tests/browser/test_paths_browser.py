"""The Paths page in a real browser: the graph, clicks in it, script in a prompt, its file on its own, a phone."""

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

SCRIPT = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


def paths(visit: Visit, *, width: int = 1400, scheme: str = "light", **parameters: object) -> Page:
    """The Paths page on the tiny model, once its result is there."""
    named = {"model": OTHER, "ref": str(visit.folder)} | parameters
    page = visit.address(f"{visit.server}paths?{urlencode(named)}", width=width, scheme=scheme)
    expect(page.get_by_text("Command line: prints the same numbers")).to_be_visible(timeout=2 * PATIENCE)
    settled(page)
    return page


def graph(page: Page) -> Locator:
    """The drawing, once something is on its canvas."""
    found = page.locator(".iv-graph").first
    expect(found.locator("canvas")).to_be_visible()
    found.scroll_into_view_if_needed()
    return found


def ink(found: Locator) -> int:
    """How many points of the canvas are not empty."""
    drawn: int = found.locator("canvas").evaluate(
        """c => c.getContext("2d").getImageData(0, 0, c.width, c.height)
            .data.reduce((n, v, i) => n + (i % 4 === 3 && v > 0), 0)"""
    )
    return drawn


def place(found: Locator, name: str) -> dict[str, float]:
    """Where a node, or the middle of an edge, stands on the screen, relative to the canvas."""
    at: dict[str, float] = found.evaluate(
        """(frame, name) => {
            const net = frame.network, part = name.split(" ").slice(1).map(Number);
            const ends = name[0] === "n" ? [name] : [`n ${part[0]} ${part[1]}`, `n ${part[0] + 1} ${part[2]}`];
            const spots = ends.map((end) => net.getPosition(end));
            const mean = (key) => spots.reduce((sum, spot) => sum + spot[key], 0) / spots.length;
            return net.canvasToDOM({ x: mean("x"), y: mean("y") });
        }""",
        name,
    )
    return at


def test_a_click_on_the_graph_or_a_row_shows_details(visit: Visit) -> None:
    page = paths(visit)
    found = graph(page)
    assert ink(found) > 2000
    names: list[str] = found.evaluate("frame => frame.network.body.nodeIndices.filter(name => name.startsWith('n 2'))")
    found.locator("canvas").click(position=place(found, names[0]))  # type: ignore[arg-type]
    expect(page.get_by_text(re.compile("high-ranking paths pass here"))).to_be_visible()
    expect(page).to_have_url(re.compile("pick=token"))
    expect(page.get_by_text("promotes", exact=True)).to_be_visible()
    settled(page)
    edges: list[str] = found.evaluate("frame => frame.network.body.edgeIndices")
    found.locator("canvas").click(position=place(found, edges[0]))  # type: ignore[arg-type]
    expect(page.get_by_text(re.compile("high-ranking paths take this edge"))).to_be_visible()
    settled(page)
    table = page.get_by_test_id("stDataFrame").last
    table.scroll_into_view_if_needed()
    table.click(position={"x": 14, "y": 55})
    expect(page.get_by_text("It ranks the answer")).to_be_visible()
    expect(page).to_have_url(re.compile("pick=path"))
    again = visit.address(page.url)
    expect(again.get_by_text("It ranks the answer")).to_be_visible(timeout=2 * PATIENCE)
    expect(again.get_by_role("alert")).to_have_count(0)


def test_flow_two_instructions_and_a_task(visit: Visit) -> None:
    page = paths(visit, picture="exact flow")
    assert ink(graph(page)) > 2000
    page = paths(visit, picture="two instructions")
    assert ink(graph(page)) > 2000
    expect(charts(page).first).to_be_visible()
    page = visit.address(f"{visit.server}paths?{urlencode({'look': 'a whole task'})}")
    expect(page.get_by_text(re.compile("computes the same runs ahead of time"))).to_be_visible(timeout=2 * PATIENCE)
    expect(page.get_by_role("alert").filter(has_text="went wrong")).to_have_count(0)


def test_script_in_a_prompt_is_shown_and_the_file_stands_alone(visit: Visit, tmp_path: Path) -> None:
    page = paths(visit, instruction=f"{SCRIPT} do it.", query=f"{SCRIPT} big:", answer="small", begin="every token")
    found = graph(page)
    found.locator("canvas").hover(position={"x": 200, "y": 200})
    assert page.evaluate("window.hacked") is None
    with page.expect_download(timeout=PATIENCE) as event:
        page.get_by_role("button", name="Graph as HTML", exact=True).click()
    file = tmp_path / "paths.html"
    event.value.save_as(file)
    alone, asked = visit.contexts[-1].new_page(), list[str]()
    alone.on("request", lambda request: asked.append(request.url))
    alone.on("console", lambda message: asked.append(message.text))
    alone.goto(file.as_uri())
    expect(alone.locator("h1")).to_contain_text("Paths to")
    expect(alone.locator("canvas")).to_be_visible()
    assert alone.evaluate("window.hacked") is None
    assert ink(alone.locator(".iv-graph")) > 2000
    assert asked == [file.as_uri()], "it asks nobody for anything"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_sideways_scrolling(visit: Visit, scheme: str) -> None:
    page = paths(visit, width=400, scheme=scheme)
    assert ink(graph(page)) > 500
    wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth - window.innerWidth")
    assert wide <= 0
