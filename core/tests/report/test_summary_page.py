"""Pages of results: one file, without scripts and without anything from elsewhere."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from anydet.evaluation.figures import Axis, Bar, Bars
from anydet.evaluation.tables import Table
from anydet.report.corruption_sheet import encode_picture
from anydet.report.summary_page import Picture, page, write_page

ODD = '<script>alert("x")</script>\u202e\x07'


class Parsed(HTMLParser):
    """All tags with their attributes, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def bars(name="first"):
    return Bars(name, f"bars {ODD}", Axis("AP"), (Bar(ODD, 0.5),))


def picture():
    return Picture(f"picture {ODD}", encode_picture(np.zeros((8, 8, 3), np.uint8), ".jpg"))


def whole():
    table = Table(f"table {ODD}", ("scenario", ODD, "AP"), ((ODD, "missed", 0.25), ("clean", "met", None)))
    return page(ODD, [table], [bars(), bars("second"), picture()], [f"note {ODD}"])


@pytest.mark.slow
def test_text_from_outside_is_shown_and_not_run():
    parsed = Parsed(whole())
    assert not parsed.open
    assert not {"script", "iframe", "object", "link"} & {tag for tag, _ in parsed.tags}
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert "".join(parsed.text).count('<script>alert("x")</script>\\u202e\\x07') == 7
    # A chart has its title within; whoever cannot see it is read the same.
    shown = [attrs["alt"] for tag, attrs in parsed.tags if tag == "img"]
    assert [alt.split()[0] for alt in shown] == ["bars", "bars", "picture"]


@pytest.mark.slow
def test_a_page_needs_nothing_from_elsewhere():
    sources = [attrs["src"] for tag, attrs in Parsed(whole()).tags if tag == "img"]
    kinds = [re.match(r"data:(image/[\w+]+);base64,", source)[1] for source in sources]
    assert kinds == ["image/svg+xml", "image/svg+xml", "image/jpeg"]
    assert not re.search(r"https?://|@import|url\(", re.sub(r"base64,[^\"]*", "", whole()))


def test_numbers_have_four_decimals_and_unknown_ones_are_said():
    text = "".join(Parsed(page("x", [Table("t", ("a", "b"), (("r", 0.25), ("s", None)))])).text)
    assert "0.2500" in text
    assert "n/a" in text


def test_cells_that_say_missed_stand_out_by_more_than_color():
    cells = [
        attrs.get("class")
        for tag, attrs in Parsed(page("x", [Table("t", ("a", "b"), (("r", "missed"),))])).tags
        if tag == "td"
    ]
    assert cells == ["text missed"]


def test_notes_of_what_is_missed_stand_out():
    notes = ["missed: recall", "of what was missed", "not measured: fog"]
    kinds = [attrs.get("class") for tag, attrs in Parsed(page("x", notes=notes)).tags if tag == "li"]
    assert kinds == ["missed", None, None]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(browser, tmp_path, width, scheme):
    """Tables and sheets of pictures scroll within themselves, and long words are broken."""
    wide = Table("wide", ("name", *(f"column {i}" for i in range(40))), (("row", *[0.5] * 40),))
    sheet = Picture("sheet", encode_picture(np.zeros((40, 1440, 3), np.uint8), ".jpg"))
    write_page(tmp_path / "page.html", "t" * 20, [wide], [bars(), sheet], [f"data: {'x' * 500}"])
    view = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints = []
    view.on("console", lambda said: complaints.append(said.text))
    view.goto((tmp_path / "page.html").as_uri())
    assert view.evaluate("document.documentElement.scrollWidth") == width
    paper, ink = view.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
    brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (paper, ink)]
    assert (brightness[0] > brightness[1]) is (scheme == "light")
    assert not complaints
    view.close()


def test_what_scrolls_is_reached_with_the_keyboard_and_has_a_name():
    (region,) = [
        attrs for tag, attrs in Parsed(page("x", [Table("t", ("a",), (("r",),))])).tags if tag == "div"
    ]
    assert (region["tabindex"], region["role"], region["aria-label"]) == ("0", "region", "t")


def test_without_matplotlib_the_tables_are_there_and_the_page_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    html = page("x", [Table("t", ("a",), (("r",),))], [bars()])
    assert "no charts: charts need the package matplotlib" in html
    assert "<table>" in html


@pytest.mark.slow
def test_the_same_result_gives_the_same_page():
    assert whole() == whole()


def test_a_picture_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'x' is neither PNG nor JPEG"):
        write_page(tmp_path / "page.html", "t", figures=[Picture("x", b"GIF89a")])
    assert not list(tmp_path.iterdir())
