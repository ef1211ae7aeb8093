"""The Behaviour page in a real browser: answer what is missing, click a bar, filter, ask token by token, on a phone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE, Visit
from tests.browser.parts import charts, settled
from ui.state import OTHER

pytestmark = pytest.mark.browser

TASKS = ["adj_ant", "can_fly"]
SCRIPT = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


def behaviour(visit: Visit, **parameters: object) -> Page:
    """The Behaviour page on the tiny model, with its answers."""
    wide = {name: parameters.pop(name) for name in ("width", "height", "scheme") if name in parameters}
    named = {"model": OTHER, "ref": str(visit.folder), "tasks": TASKS, "samples": 12} | parameters
    page = visit.address(f"{visit.server}behaviour?{urlencode(named, doseq=True)}", **wide)  # type: ignore[arg-type]
    expect(page.get_by_text("Command line: prints the same numbers")).to_be_visible(timeout=2 * PATIENCE)
    settled(page)
    start = page.get_by_role("button", name="Answer the missing prompts")
    expect(start.or_(page.get_by_test_id("stDataFrame")).first).to_be_visible()
    if start.is_visible():
        start.click()
    expect(page.get_by_test_id("stDataFrame")).to_be_visible(timeout=2 * PATIENCE)
    expect(start).to_have_count(0)
    expect(page.get_by_text("It answers")).to_be_visible()
    settled(page)
    return page


def bar(page: Page, task: str, stage: str = "") -> Locator:
    """The place to click for a task; it says its numbers to assistive technology."""
    place = f"[aria-roledescription='bar'][aria-label*='task: {task};'][aria-label*='model: {stage}']"
    expect(charts(page).last).to_contain_text("Step 1:")
    return charts(page).first.locator(place).last


def test_bundled_answers_are_there_at_once_and_a_click_chooses_task_and_stage(visit: Visit) -> None:
    page = visit.address(f"{visit.server}behaviour")
    expect(page.get_by_text("Command line: prints the same numbers")).to_be_visible()
    settled(page)
    expect(page.get_by_role("button", name="Answer the missing prompts")).to_have_count(0)
    expect(page.get_by_text(re.compile("Right at least 90% of the time.*base in [0-9] of 5"))).to_be_visible()
    bar(page, "object_counting", "base").click()
    expect(page).to_have_url(re.compile("stage=base"))
    expect(page.get_by_text(re.compile("Told “.*count the number of objects.*, base"))).to_be_visible()
    bar(page, "can_fly", "DPO").click()
    expect(page.get_by_text(re.compile("Told “.*fly.*, DPO"))).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_click_on_a_bar_shows_its_answers(visit: Visit) -> None:
    page = behaviour(visit)
    expect(page.get_by_text("state its antonym").first).to_be_visible()
    for task, asked in (("can_fly", "fly"), ("adj_ant", "antonym"), ("can_fly", "fly")):
        bar(page, task).click()
        expect(page).to_have_url(re.compile(f"task={task}") if task != "adj_ant" else re.compile("behaviour"))
        expect(page.get_by_text(re.compile(f"Told “.*{asked}")).first).to_be_visible()
        settled(page)
    again = visit.address(page.url)
    expect(again.get_by_text(re.compile("Told “.*fly")).first).to_be_visible()
    expect(again.get_by_role("alert")).to_have_count(0)


def test_filter_then_download(visit: Visit) -> None:
    page = behaviour(visit)
    chosen = page.get_by_test_id("stMain").get_by_text(re.compile(r"^wrong kind · \d+$"))
    number = int(chosen.inner_text().rsplit(" ", 1)[1])
    chosen.click()
    if number < 12:
        expect(page.get_by_text(f"{number} of 12 prompts.")).to_be_visible()
    search = page.get_by_role("textbox", name="Search", exact=True)
    search.fill("no such word")
    search.press("Enter")
    expect(page.get_by_text("0 of 12 prompts.")).to_be_visible()
    with page.expect_download(timeout=PATIENCE) as event:
        page.get_by_role("button", name="Answers as JSON", exact=True).click()
    document = json.loads(Path(event.value.path()).read_text(encoding="utf-8"))
    assert document["n"] == len(document["rows"]) == 12, "the file holds all answers, whatever the table shows"
    assert sum(not row["valid"] for row in document["rows"]) == number


def test_a_prompt_is_answered_step_by_step_and_script_in_it_is_shown(visit: Visit) -> None:
    page = behaviour(visit)
    field = page.get_by_label("Prompt", exact=True)
    field.fill(f"{SCRIPT} Adjective: big. Answer:")
    field.press("Control+Enter")
    expect(page).to_have_url(re.compile("prompt="))
    settled(page)
    steps = page.get_by_test_id("stMain").get_by_role("radio").filter(has_text=re.compile(r"^\d\. "))
    steps.nth(1).click()
    expect(charts(page).last).to_contain_text("Step 2:")
    assert page.evaluate("window.hacked") is None
    again = visit.address(page.url)
    expect(again.get_by_label("Prompt", exact=True)).to_have_value(re.compile("window.hacked"))
    expect(again.get_by_text("It answers")).to_be_visible()
    assert again.evaluate("window.hacked") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_sideways_scrolling(visit: Visit, scheme: str) -> None:
    page = behaviour(visit, width=400, height=850, scheme=scheme)
    expect(bar(page, "can_fly")).to_be_visible()
    wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth - window.innerWidth")
    assert wide <= 0
    assert page.evaluate("getComputedStyle(document.querySelector('.stApp')).colorScheme") == scheme
