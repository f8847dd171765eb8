"""The page of a report in headless Chromium: what its parts do when they are used."""

from __future__ import annotations

import re

import numpy as np
import pytest
from core.tests.report.pages import all_cards, heading, number, redrawn, totals, watched

from anydet.report.page.outcomes import NO_CELL, RIGHT, WRONG

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(browser, hostile):
    """``opened(view, width=...)`` is the page at a view of it; whatever it complains of fails the test."""
    with watched(browser) as open_page:

        def open_view(view="", **options):
            return open_page(f"{hostile.page.as_uri()}#{view}", ("file:", "blob:"), **options)

        yield open_view


def test_the_slider_counts_anew_and_agrees_with_the_columns(opened, hostile):
    page, columns = opened(), hostile.data.columns
    step, outcome, found = (columns[name] for name in ("0/step", "0/outcome", "0/truth/found"))
    wanted = columns["truth/crowd"] == 0
    for value in (300, 0, 641, 1000):
        with redrawn(page):
            page.locator("#threshold").evaluate(
                "(node, v) => { node.value = v; node.dispatchEvent(new Event('input')); }", value
            )
        assert number(page, ".n-tp") == np.count_nonzero((outcome == RIGHT) & (step >= value))
        assert number(page, ".n-fp") == np.count_nonzero((outcome == WRONG) & (step >= value))
        assert number(page, ".n-fn") == np.count_nonzero(wanted & (found < value))
    with redrawn(page):
        page.locator("#threshold").focus()
        page.keyboard.press("ArrowLeft")
    assert page.locator("#threshold-value").input_value() == "0.999"
    with redrawn(page):
        page.locator("#best").click()
    best = float(page.locator(".n-f1").inner_text())
    with redrawn(page):
        page.locator("#threshold-value").fill("0.3")
        page.locator("#threshold-value").press("Enter")
    assert float(page.locator(".n-f1").inner_text()) <= best


def test_every_count_leads_to_as_many_pictures_as_it_says(opened):
    page, pages = opened(), 0
    for name in ("tp", "fp", "fn"):
        counted = number(page, f".n-{name}")
        with redrawn(page):
            page.locator(f".n-{name}").click()
        whole, shown = totals(page)
        assert whole == counted
        assert page.locator("#cards li").count() == min(shown, 24)
        assert len(all_cards(page)) == shown
        pages += shown > 24
    assert pages


@pytest.mark.parametrize("section", ["confusions", "errors", "slices", "versus", "classes"])
def test_numbers_of_a_section_lead_to_pictures_of_what_they_count(opened, section):
    page = opened()
    selector = f"#{section} td .link" if section != "errors" else "#errors .bar-row"
    links = page.locator(selector)
    assert links.count() > 5
    checked = 0
    for at in range(0, links.count(), max(1, links.count() // 12)):
        link = links.nth(at)
        counted = (link.locator(".num").last if section == "errors" else link).inner_text().replace(",", "")
        with redrawn(page):
            link.click()
        assert totals(page)[0] == int(counted), heading(page)
        checked += int(counted) > 0
    assert checked


def test_a_cell_of_the_matrix_shows_objects_of_that_cell(opened, hostile):
    page, columns = opened(), hostile.data.columns
    wrong = (columns["0/cell"] != NO_CELL) & (columns["0/cell"] != columns["0/class"])
    row = int(np.flatnonzero(wrong)[0])
    true, predicted = int(columns["0/cell"][row]), int(columns["0/class"][row])
    with redrawn(page):
        page.locator(
            f"#confusions tbody tr:nth-child({true + 1}) td:nth-child({predicted + 2}) .link"
        ).click()
    name = hostile.data.header["classes"][predicted]
    assert name in heading(page)
    cards = page.locator("#cards li b")
    assert cards.count()
    assert all(text.startswith(name) for text in cards.all_inner_texts())


def test_a_point_of_a_curve_sets_class_and_threshold_and_shows_the_errors_there(opened, hostile):
    page = opened("cls=1")
    page.locator("#curve").focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    said = page.locator("#curve-said").inner_text()
    score = float(re.search(r"from score ([\d.]+) on", said)[1])
    with redrawn(page):
        page.keyboard.press("Enter")
    assert float(page.locator("#threshold-value").input_value()) == score
    assert heading(page).startswith("False positives")
    assert hostile.data.header["classes"][1] in heading(page)
    with redrawn(page):
        page.locator("#curve").click(position={"x": 300, "y": 60})
    assert heading(page).startswith("False positives")


def test_filters_and_search_narrow_the_gallery_and_links_of_it_can_be_sent(opened, hostile):
    page = opened("kind=missed&step=1000")
    everything = totals(page)[0]
    assert everything > 20
    with redrawn(page):
        page.locator("#search").fill(hostile.data.header["images"][4])
    narrowed = totals(page)[0]
    columns = hostile.data.columns
    images = np.cumsum(columns["truth/image"], dtype=np.uint32)
    assert narrowed == np.count_nonzero((images == 4) & (columns["0/truth/found"] < 1000))
    for label, column in (("Size", "size"), ("Shape", "aspect")):
        with redrawn(page):
            page.locator("#search").fill("")
            page.locator("#gallery").get_by_label(label).select_option("1")
        assert totals(page)[0] == np.count_nonzero(
            (columns[f"truth/{column}"] == 1) & (columns["0/truth/found"] < 1000)
        )
        sent = page.evaluate("location.hash")[1:]
        assert totals(opened(sent)) == totals(page)
        with redrawn(page):
            page.locator("#gallery").get_by_label(label).select_option("-1")
    assert totals(page)[0] == everything


def test_an_address_that_was_not_made_here_does_no_harm(opened):
    page = opened("kind=constructor&cls=99&step=-4&model=7&a=x&text=%E0%A4%A&__proto__=1")
    assert heading(page).startswith("False positives")


def test_every_evaluator_has_its_numbers_on_the_page(opened, hostile):
    page = opened()
    for result in hostile.data.header["models"][0]["results"]:
        page.locator("#tables summary", has_text=re.compile(f"^{result['name']}$")).click()
        if result["name"] not in {"coco", "tide", "confusion", "calibration", "thresholds"}:
            assert page.locator(f"#of-{result['name']} dt").all_inner_texts() == [*result["metrics"]]
    tables = sum(len(result["tables"]) for result in hostile.data.header["models"][0]["results"])
    # Tables are made by the event that follows the opening.
    page.wait_for_function(
        "n => document.querySelectorAll('#tables details[open] table').length === n", arg=tables
    )


def test_back_returns_to_what_was_looked_at(opened):
    page = opened()
    before = heading(page)
    with redrawn(page):
        page.locator("#errors .bar-row").first.click()
    assert heading(page) != before
    with redrawn(page):
        page.go_back()
    page.wait_for_function(
        "text => document.getElementById('pictures-title').textContent === text", arg=before
    )


def test_names_are_shown_and_never_run(opened, hostile):
    page = opened("kind=missed&step=1000")
    text = page.locator("body").inner_text()
    for name in hostile.data.header["classes"][:3]:
        assert name in text
    shown = set(all_cards(page, ".path"))
    odd = {image for image in hostile.data.header["images"] if not re.fullmatch(r"\d+\.png", image)}
    assert len(odd) == 3
    assert odd <= shown
    assert page.title() != "ran"
    assert page.locator("img").count() == 0
    assert page.locator("#app script").count() == 0


def test_a_picture_opens_and_arrow_keys_lead_on(opened):
    page = opened("kind=right")
    with redrawn(page):
        page.locator("#cards button").first.focus()
        page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.locator("svg image").get_attribute("href").startswith("blob:")
    assert page.evaluate(
        "async () => { const image = new Image(), drawn = document.querySelector('dialog image');"
        " image.src = drawn.getAttribute('href'); await image.decode(); return image.naturalWidth; }"
    )
    assert "1 of" in dialog.inner_text()
    with redrawn(page):
        page.keyboard.press("ArrowRight")
    assert "2 of" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_overlays_can_be_switched_off(opened):
    page = opened("kind=right")
    for label, selector in (
        ("boxes", ".box"),
        ("masks", ".mask"),
        ("points and axes", ".point"),
        ("names", ".tag"),
    ):
        assert page.locator(f"#cards {selector}").count()
        with redrawn(page):
            page.locator("#gallery").get_by_label(label, exact=True).uncheck()
        assert not page.locator(f"#cards {selector}").count()


def test_the_theme_follows_the_system_and_can_be_chosen(opened):
    page = opened(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) != dark
    page.locator("#theme").click()
    assert page.evaluate(ground) == dark


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"width": 390, "height": 844}])
def test_axe_finds_nothing(opened, options):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing"
    )
    page = opened(**options)
    found = axe.Axe().run(page).response["violations"]
    assert not [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]


def test_a_phone_needs_no_scrolling_sideways(opened):
    page = opened(width=360, height=740, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    with redrawn(page):
        page.locator(".n-fn").tap()
    assert page.locator("#pictures-title").bounding_box()["y"] < 740
    assert page.locator(".back").is_visible()


def test_print_shows_everything_and_no_controls(opened):
    page = opened()
    page.emulate_media(media="print")
    assert not page.locator("#theme").is_visible()
    assert not page.locator("#gallery .controls").is_visible()
    assert page.locator("#summary table").is_visible()
    assert len(page.pdf()) > 10_000
