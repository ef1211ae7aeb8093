"""What the tests of several pages look for on them."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


def settled(page: Page) -> None:
    """Wait until the server has nothing left to send."""
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState === 'notRunning'")


def charts(page: Page) -> Locator:
    """All charts of the page, from the top."""
    return page.get_by_test_id("stVegaLiteChart")


def cells(page: Page) -> Locator:
    """The map's cells; each says its layers and numbers to assistive technology."""
    return charts(page).first.locator("[aria-roledescription='rect mark'][aria-label*='patched layers']")


def cell(page: Page, low: int, high: int) -> Locator:
    """The map's cell of one set."""
    place = f"lower layer of the set: {low}; higher layer: {high};"
    return charts(page).first.locator(f"[aria-roledescription='rect mark'][aria-label*='{place}']").first
