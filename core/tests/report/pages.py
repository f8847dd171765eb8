"""What tests read off a page in a browser, and how they wait for it."""

from __future__ import annotations

import re
from contextlib import contextmanager


def number(page, selector):
    return int(page.locator(selector).inner_text().replace(",", ""))


def heading(page):
    return page.locator("#pictures-title").inner_text()


def totals(page):
    """How many there are in the data, and how many of these have a picture."""
    text = page.locator("#pictures-said").inner_text()
    whole = int(re.match(r"([\d,]+) in the data", text)[1].replace(",", ""))
    shown = re.search(r"([\d,]+) with a picture", text)
    return whole, int(shown[1].replace(",", "")) if shown else whole


def all_cards(page, selector="b"):
    """A text of each card of the gallery, page by page."""
    found = page.locator(f"#cards {selector}").all_inner_texts()
    while page.locator(".pages").is_visible() and page.locator(".pages button", has_text="next").is_enabled():
        with redrawn(page):
            page.locator(".pages button", has_text="next").click()
        found += page.locator(f"#cards {selector}").all_inner_texts()
    return found


@contextmanager
def redrawn(page):
    """Wait until what was done in the block is drawn: changes are gathered until the next frame."""
    yield
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


@contextmanager
def watched(browser):
    """``open_page(url, own, ...)``; complaints of a page, and requests beyond its ``own``, fail the test."""
    complaints, contexts = [], []

    def open_page(url, own, width=1440, height=1000, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: sent.url.startswith(own) or complaints.append(sent.url))
        page.goto(url)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
