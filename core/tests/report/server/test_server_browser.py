"""The page that is served, in headless Chromium: nothing is left out, and nothing is asked of anyone else."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from core.tests.report.pages import all_cards, heading, number, redrawn, totals, watched

from anydet.report.server.server import BrowseServer, Contents

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(browser, served):
    """``opened(view, width=...)`` is the page at a view of it; whatever it complains of fails the test."""
    with watched(browser) as open_page:

        def open_view(view="", server=served.server, **options):
            return open_page(f"{server.url}#{view}", server.url.partition("?")[0], **options)

        yield open_view


def loaded(page):
    """Wait until the pictures of this page of the gallery are there, and give how many they are."""
    page.wait_for_function("() => !document.querySelector('#cards .waiting')")
    links = page.locator("#cards image").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    sizes = page.evaluate(
        "links => Promise.all(links.map(async link => {"
        " const one = new Image(); one.src = link; await one.decode(); return one.naturalWidth; }))",
        links,
    )
    assert all(sizes)
    return len(sizes)


def test_every_detection_has_a_picture_and_the_address_no_token(opened, served, hostile):
    page = opened("kind=all&step=0")
    assert "token" not in page.url
    every = len(served.findings.found[0])
    assert totals(page) == (every, every)
    assert every > len([item for item in hostile.data.header["items"] if item["m"] == 0]) / 2
    with redrawn(page):
        page.get_by_label("Page", exact=True).fill("1000")
        page.get_by_label("Page", exact=True).press("Enter")
    assert loaded(page) == (every % 24 or 24)
    assert page.get_by_label("Page", exact=True).input_value() == str(-(-every // 24))


def test_counts_are_those_of_the_report_and_lead_to_all_of_their_pictures(opened, browser, hostile):
    page, report = opened("step=500"), browser.new_page()
    report.goto(f"{hostile.page.as_uri()}#step=500")
    report.wait_for_selector("html[data-ready]")
    assert page.locator("main table").first.inner_text() == report.locator("main table").first.inner_text()
    for name in ("tp", "fp", "fn"):
        counted = number(page, f".n-{name}")
        assert counted == number(report, f".n-{name}")
        with redrawn(page):
            page.locator(f".n-{name}").click()
        assert totals(page) == (counted, counted)
        assert len(all_cards(page)) == counted
    report.close()


def test_images_come_by_what_is_wrong_on_them_and_by_name(opened, served, hostile):
    page = opened("kind=images")
    findings, (a, _) = served.findings, served.findings.judged
    wrong = (a.detections["outcome"] == 0) & (a.detections["step"] >= 300)
    crowd = findings.truth.labels.iscrowd
    missed = (a.annotations["found"] < 300) & ~crowd
    errors = np.bincount(findings.found[0].image_index[wrong], minlength=14)
    errors += np.bincount(findings.truth.image_index[missed], minlength=14)
    order = np.argsort(-errors, kind="stable").tolist()
    loaded(page)
    names = hostile.data.header["images"]
    assert all_cards(page, ".path") == [names[image] for image in order]
    with redrawn(page):
        page.get_by_label("Order").select_option("2")
    assert all_cards(page, ".path") == names
    with redrawn(page):
        page.locator("#search").fill(names[4])
    assert totals(page)[0] == 1


def test_an_object_is_seen_on_its_whole_image_with_all_that_is_there(opened, served):
    page = opened("kind=wrong&step=0")
    loaded(page)
    with redrawn(page):
        page.locator("#cards button").first.click()
    name = page.locator("dialog .path").inner_text()
    page.get_by_role("button", name="whole image").click()
    page.wait_for_selector("dialog.whole svg image")
    image = list(served.findings.header["images"]).index(name)
    marks = served.pictures.describe(served.pictures.item(-2, image))["marks"]
    assert page.locator("dialog rect.box").count() == len(marks)
    assert page.locator("dialog rect.box.own").count() == 1
    with redrawn(page):
        page.locator("dialog").get_by_label("ground truth", exact=True).uncheck()
    assert page.locator("dialog rect.box").count() == sum(mark["m"] >= 0 for mark in marks)
    assert not page.locator("#gallery").get_by_label("ground truth", exact=True).is_checked()
    with redrawn(page):
        page.keyboard.press("ArrowRight")
    assert "2 of" in page.locator("dialog").inner_text()
    page.wait_for_selector("dialog svg image")


def test_names_are_shown_and_never_run(opened, hostile):
    page = opened("kind=labels")
    shown = set(all_cards(page, ".path"))
    loaded(page)
    assert {image for image in hostile.data.header["images"] if not image.endswith(".png")} <= shown
    text = page.locator("body").inner_text()
    assert all(name in text for name in hostile.data.header["classes"][:3])
    assert page.title() != "ran"
    assert page.locator("img, #app script").count() == 0


def test_a_server_that_has_ended_is_said(opened, browser, served):
    with BrowseServer() as server:
        thread = threading.Thread(target=server.serve, args=[Contents(served.findings, served.pictures)])
        thread.start()
        page = browser.new_page()
        page.goto(f"{server.url}#kind=all&step=0")
        page.wait_for_selector("#cards image")
        server.stop()
        thread.join()
    with redrawn(page):
        page.locator(".pages button", has_text="next").click()
    page.wait_for_function(
        "() => document.getElementById('pictures-said').textContent.includes('does not answer')"
    )
    assert heading(page).startswith("All detections")
    page.close()


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"width": 390, "height": 844}])
def test_axe_finds_nothing(opened, options):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing"
    )
    page = opened("kind=images", **options)
    loaded(page)
    for view in ("gallery", "dialog"):
        if view == "dialog":
            with redrawn(page):
                page.locator("#cards button").first.click()
            page.wait_for_selector("dialog svg image")
        found = axe.Axe().run(page).response["violations"]
        assert not [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]


def test_a_phone_needs_no_scrolling_sideways(opened):
    page = opened("kind=all", width=360, height=740, is_mobile=True, has_touch=True)
    loaded(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    with redrawn(page):
        page.locator("#cards button").first.tap()
    page.wait_for_selector("dialog svg image")
    box = page.locator("dialog").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
