from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from anydet.report import fonts
from anydet.report.fonts import draw_text, text_px, undrawable
from anydet.report.lettering import fitted
from anydet.report.marks import font_warning, mark_predictions, pictured_name
from anydet.types import ClassTable, ImagePredictions

CAT = "\u732b"


def drawn(text):
    image = Image.new("L", (300, 30), 255)
    draw_text(ImageDraw.Draw(image), (2, 15), text, 0, 16)
    return np.asarray(image)


@pytest.fixture
def only_own_font(monkeypatch):
    """Nothing is installed but the font that Pillow brings."""
    caches = fonts._installed, fonts._fonts, fonts._font_number, fonts._runs, text_px
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setattr(fonts, "INSTALLED", ())
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)
    yield
    for cached in caches:
        cached.cache_clear()


def test_a_name_that_no_font_can_draw_is_its_number_and_a_warning_says_so(only_own_font):
    classes = ClassTable(("dog", f"{CAT} cat"))
    assert undrawable("dog") == ""
    assert undrawable(f"{CAT} cat {CAT}") == CAT
    assert [pictured_name(i, classes) for i in (0, 1)] == ["dog", "class 1"]
    assert font_warning(ClassTable(("dog",))) is None
    warning = font_warning(classes)
    assert "1 class name" in warning
    assert f"{CAT} cat is 'class 1'" in warning
    found = ImagePredictions("a", (9, 9), np.array([[0.0, 0, 9, 9]]), np.array([0.5]), np.array([1]))
    assert mark_predictions(found, classes)[0].text == "class 1 0.50"


def test_other_text_that_no_font_can_draw_is_escaped(only_own_font):
    assert np.array_equal(drawn(f"a{CAT}b"), drawn(r"a\u732bb"))
    assert text_px(f"a{CAT}b", 16) == text_px(r"a\u732bb", 16)


def test_what_pillows_font_lacks_is_drawn_with_an_installed_one(monkeypatch):
    pytest.importorskip("matplotlib")  # which brings a font
    word = "\u03bb\u00e9\u0434"
    assert undrawable(word) == ""
    assert not np.array_equal(drawn(word), drawn(word[::-1]))
    # As wide as its letters, and not as its escape sequences.
    assert text_px(word, 16) < text_px(r"\u03bb\xe9\u0434", 16) / 3


def test_text_is_cut_to_a_width():
    assert fitted("a short text", 200, 12) == "a short text"
    cut = fitted("a text that is too long for this", 80, 12)
    assert cut.endswith("\u2026")
    assert text_px(cut, 12) <= 80
    assert fitted("word", 1, 12) == ""


def test_long_names_are_cut_on_tags_and_keep_their_score():
    name = "a very long class name of many words"
    found = ImagePredictions("a", (9, 9), np.array([[0.0, 0, 9, 9]]), np.array([0.5]), np.array([0]))
    (mark,) = mark_predictions(found, ClassTable((name,)))
    assert mark.text.endswith("\u2026 0.50")
    assert len(mark.text) < 30
    assert mark.name == name
