"""The Patch page in a real browser: type, pick layers, click the charts, follow a permalink, download."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE, Visit
from tests.browser.parts import cell, cells, charts, settled

pytestmark = pytest.mark.browser

SCRIPT = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


def said(page: Page) -> Locator:
    return page.locator(".iv-said")


def ready(page: Page) -> Page:
    """Wait until the page is complete."""
    expect(page.get_by_text("Command line: prints the same numbers")).to_be_visible()
    expect(cells(page).first).to_be_visible()
    settled(page)
    return page


def pill(page: Page, layer: int) -> Locator:
    return page.locator(".st-key-layers").get_by_text(str(layer), exact=True)


def link(page: Page) -> str:
    """The permalink as the page shows it."""
    return page.get_by_test_id("stCode").first.locator("code").inner_text().strip()


def numbers(page: Page) -> list[str]:
    """Everything measured that the page shows in words and digits."""
    return [page.locator(part).inner_text() for part in (".iv-said", ".iv-cards", ".iv-tracks", ".iv-tops")]


def fill(page: Page, label: str, text: str) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(text)
    field.press("Enter")


def typed(page: Page, label: str) -> str:
    """What stands in a field, which the browser draws empty at first."""
    field = page.get_by_label(label, exact=True)
    expect(field).not_to_have_value("")
    return field.input_value()


def test_the_first_page_answers_on_the_bundled_model(visit: Visit) -> None:
    page = ready(visit.address(visit.server))
    expect(page.get_by_text("self-check passed")).to_be_visible()
    expect(said(page)).to_contain_text("With the instruction")
    expect(page.locator(".iv-token.spot").first).to_contain_text("read here")
    assert cells(page).count() == 36
    expect(page).to_have_title("Instruction Vector Explorer")


def test_typing_and_picking_layers_changes_the_result(visit: Visit) -> None:
    page = ready(visit())
    fill(page, "Instruction", "Given an animal, state its color.")
    expect(page.locator(".iv-tokens").first).to_contain_text("␣animal")
    fill(page, "Query", "Animal: crow. Answer:")
    expect(page.locator(".iv-tokens").nth(1)).to_contain_text("␣Animal")
    fill(page, "Expected answer", "black")
    expect(said(page)).to_contain_text("black")
    pill(page, 2).click()
    expect(said(page)).to_contain_text("layer")
    pill(page, 0).click()
    expect(page.locator(".iv-card.patched")).to_contain_text(re.compile("vector at layers? .*0"))
    assert "instruction=Given+an+animal" in page.url and "answer=black" in page.url


def test_a_click_on_the_map_chooses_that_set_every_time(visit: Visit) -> None:
    page = ready(visit(layers=[0]))
    for low, high, name in ((1, 3, "layers 1 and 3"), (2, 2, "layer 2"), (0, 1, "layers 0 and 1")):
        cell(page, low, high).click()
        expect(said(page)).to_contain_text(name)
        settled(page)
        if (low, high) == (1, 3):
            expect(page).to_have_url(re.compile(r"layers=1&layers=3"))
    pill(page, 1).click()
    expect(said(page)).to_contain_text("layer 0")
    settled(page)
    cell(page, 0, 1).click()
    expect(said(page)).to_contain_text("layers 0 and 1")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_click_on_a_number_in_a_cell_counts_as_well(visit: Visit) -> None:
    page = ready(visit(layers=[0]))
    cell(page, 1, 2).scroll_into_view_if_needed()
    box = cell(page, 1, 2).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(said(page)).to_contain_text("layers 1 and 2")


def test_a_click_on_a_pair_chooses_it(visit: Visit) -> None:
    page = ready(visit(layers=[0]))
    point = charts(page).nth(1).locator("[aria-roledescription='circle'][aria-label*='layers: 0 and 2']").first
    point.click(force=True)
    expect(said(page)).to_contain_text(re.compile(r"layers \d and \d"))
    expect(page.get_by_text(re.compile(r"Layers \d and \d together change the RR"))).to_be_visible()


def test_a_permalink_gives_the_same_numbers_to_another_visitor(visit: Visit) -> None:
    page = ready(visit())
    fill(page, "Instruction", "Say «nein» & stop? 50% #1")
    expect(page.locator(".iv-tokens").first).to_contain_text("nein")
    settled(page)
    cell(page, 1, 3).click()
    expect(said(page)).to_contain_text("layers 1 and 3")
    settled(page)
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("ArrowLeft")
    expect(page).to_have_url(re.compile("t_inst="))
    settled(page)
    expected = numbers(page)
    for address in (link(page), page.url):
        other = ready(visit.address(address))
        assert numbers(other) == expected
        expect(other.get_by_label("Instruction", exact=True)).to_have_value("Say «nein» & stop? 50% #1")


def test_moving_the_source_and_then_changing_the_text_starts_afresh(visit: Visit) -> None:
    page = ready(visit())
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("ArrowLeft")
    expect(page).to_have_url(re.compile("t_inst="))
    settled(page)
    fill(page, "Instruction", "Say the opposite.")
    expect(page).not_to_have_url(re.compile("t_inst="))
    expect(page.get_by_test_id("stCode").nth(1)).not_to_contain_text("--t-inst")
    assert "Say+the+opposite" in page.url


def test_downloads_hold_the_engines_own_numbers(visit: Visit, folder: Path) -> None:
    page = ready(visit(layers=[1, 3]))
    table = list(csv.DictReader(io.StringIO(_download(page, "CSV"))))
    document = json.loads(_download(page, "JSON"))
    expected = _engine(folder)
    assert document["prompt"]["ids_full"] == list(expected.prompt.ids_full)
    assert document["answer"]["id"] == expected.answer.id
    patched = {tuple(row["layers"]): row for row in document["patched"]}
    in_table = {tuple(map(int, row["layers"].split())): row for row in table if row["prompt"] == "patched"}
    assert patched.keys() == in_table.keys() == {row.layers for row in expected.patched}
    for row in expected.patched:
        for name in ("rank", "rr", "logit", "logprob"):
            value = pytest.approx(getattr(row.metrics, name), abs=1e-4)
            assert patched[row.layers][name] == value
            assert float(in_table[row.layers][name]) == value
    effect = float(in_table[1, 3]["effect_rr"])
    shown = page.locator(".iv-tracks").inner_text()
    assert f"{effect:+.3f}".replace("-", "−") in shown


def test_the_charts_can_be_kept_as_pictures(visit: Visit) -> None:
    page = ready(visit())
    for label in ("Map as SVG", "Pairs as SVG"):
        assert ElementTree.fromstring(_download(page, label)).tag.endswith("svg")


def test_the_example_chooser_fills_the_form(visit: Visit) -> None:
    page = ready(visit())
    page.get_by_label("Start from an example").click()
    page.get_by_role("option").filter(has_text="comparative").first.click()
    expect(page.get_by_label("Instruction", exact=True)).to_have_value(re.compile("comparative"))
    settled(page)
    before = typed(page, "Query")
    page.get_by_role("button", name="Another query").click()
    expect(page.get_by_label("Query", exact=True)).not_to_have_value(before)


def test_script_in_any_field_is_shown_and_not_run(visit: Visit) -> None:
    page = ready(visit(instruction=SCRIPT, query=f"{SCRIPT}:", answer=SCRIPT, filler="bos", layers=[0]))
    expect(page.locator(".iv-prompt")).to_contain_text("hacked")
    for label in ("Instruction", "Query", "Expected answer"):
        fill(page, label, f"{SCRIPT} {label}")
        settled(page)
    fill(page, "Folder or Hugging Face id", SCRIPT)
    expect(page.get_by_role("alert")).to_contain_text("<script>window.hacked=1</script>")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src='x']").count() == 0


def test_markdown_in_an_error_is_shown_literally(visit: Visit) -> None:
    page = ready(visit())
    text = "**b** _i_ `c` $x^2$ :smile: :red[r] [l](http://a.example) www.a.example a->b <b>t</b>"
    fill(page, "Folder or Hugging Face id", f"./{text[:50]}")
    expect(page.get_by_role("alert")).to_contain_text("**b** _i_ `c` $x^2$ :⁠smile:⁠ :⁠red[r]")
    assert page.get_by_role("alert").locator("a, strong, em, code, b").count() == 0


def test_an_error_keeps_what_was_typed_and_goes_away(visit: Visit) -> None:
    page = ready(visit(layers=[0, 3], answer="small"))
    before, query = numbers(page), typed(page, "Query")
    fill(page, "Query", "  ")
    expect(page.get_by_role("alert")).to_contain_text("query")
    expect(page.get_by_label("Expected answer", exact=True)).to_have_value("small")
    assert page.get_by_text("Traceback").count() == 0
    fill(page, "Query", query)
    ready(page)
    assert numbers(page) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_sideways_scrolling(visit: Visit, scheme: str) -> None:
    page = ready(visit(width=400, height=850, scheme=scheme, layers=[0]))
    wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth - window.innerWidth")
    assert wide <= 0
    target = cell(page, 0, 2)
    target.scroll_into_view_if_needed()
    target.click()
    expect(said(page)).to_contain_text("layers 0 and 2")
    colors = page.evaluate("[getComputedStyle(document.querySelector('.stApp')).colorScheme]")
    assert colors == [scheme]


def _download(page: Page, label: str) -> str:
    with page.expect_download(timeout=PATIENCE) as event:
        page.get_by_role("button", name=label, exact=True).click()
    return Path(event.value.path()).read_text(encoding="utf-8")


def _engine(folder: Path) -> Any:
    """The report that the engine gives for the page's first inputs."""
    from ivcore.models import load_model
    from ivcore.patching import layer_sets, patch
    from ivcore.prompts import build_prompt
    from ui.patch.form import DEFAULT_INSTRUCTION, DEFAULT_QUERY

    model = load_model(str(folder))
    prompt = build_prompt(model.tokenizer, DEFAULT_INSTRUCTION, DEFAULT_QUERY)
    return patch(model, prompt, None, layer_sets(model.n_layers, 2))
