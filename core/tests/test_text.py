from __future__ import annotations

import pytest

from anydet import text
from anydet.text import (
    LINE,
    LINES,
    NAME,
    WORD,
    counted,
    escaped,
    listed,
    message,
    one_line,
    quoted,
    safe_line,
    shortened,
)

HOSTILE = "\x1b]0;title\x07\x1b[2J\u202e\x9b\x7f\r\n\t\udcff"


@pytest.mark.parametrize(("number", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_only_one_thing_is_singular(number, words):
    assert counted(number, "image") == words


def test_whatever_a_terminal_obeys_is_escaped():
    assert escaped(HOSTILE) == r"\x1b]0;title\x07\x1b[2J\u202e\x9b\x7f\r\n\t\udcff"
    assert escaped("Zürich 東京") == "Zürich 東京"


def test_what_is_short_and_printable_stays_as_it_is():
    for plain in ("", "a.jpg", "Zürich 東京"):
        assert shortened(plain) == safe_line(plain) == message(plain) == plain


def test_a_long_text_is_cut_and_its_length_said():
    assert shortened("x" * 5_000_000) == "x" * 36 + "... (5000000 characters)"
    middle = shortened("a" * 100 + "z" * 100, keep_end=True)
    assert middle == "a" * 27 + "..." + "z" * 13 + " (200 characters)"
    assert len(middle) == NAME


@pytest.mark.parametrize("keep_end", [False, True])
@pytest.mark.parametrize("given", ["x" * 10_000, "\x1b" * 50, "\x1b" * 10_000, "x" * 50 + "\u202e" * 9])
def test_no_more_characters_than_asked_for(given, keep_end):
    for most in (40, NAME, LINE):
        cut = shortened(given, most, keep_end=keep_end)
        assert len(cut) <= most
        assert cut.isprintable()
        assert shortened(cut, most, keep_end=keep_end) == cut


@pytest.mark.parametrize("cut", [shortened, quoted, one_line, message])
def test_of_what_is_left_out_nothing_is_looked_at(cut, monkeypatch):
    looked_at = []

    def spy(part):
        looked_at.append(len(part))
        return escaped(part)

    monkeypatch.setattr(text, "escaped", spy)
    cut("\x1b" * 5_000_000)
    assert 0 < sum(looked_at) < 10 * LINE


def test_names_have_quotes_and_other_values_are_as_python_writes_them():
    assert quoted("a.jpg") == "'a.jpg'"
    assert quoted("it's") == '"it\'s"'
    assert quoted("x\x1b[2J") == r"'x\x1b[2J'"
    assert quoted(None) == "None"
    assert len(quoted(["x" * 1000] * 1000)) <= NAME


def test_of_many_names_the_first_are_listed():
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed([f"c{i}" for i in range(1000)], 2) == "'c0', 'c1' and 998 more"
    assert listed(dict.fromkeys("abc"), 2, quotes=False) == "a, b and 1 more"


def test_one_line_of_several():
    assert one_line("first\n  second\tthird\n") == "first second third"
    assert len(one_line("x\n" * 1_000_000)) <= LINE


def test_a_long_word_is_cut_before_what_is_said_of_it():
    line = f"p.json: image {'x' * 5_000_000!r} is not in the data set"
    assert message(line).startswith("p.json: image 'xxx")
    assert message(line).endswith("xxx' (5000002 characters) is not in the data set")
    assert len(message(line)) < 2 * WORD


def test_a_message_of_many_lines_says_how_many_more():
    lines = message("\n".join(map(str, range(1_000_000)))).split("\n")
    assert len(lines) == LINES
    assert lines[-1] == f"... and {1_000_000 - LINES + 1} more lines"
    assert lines[:2] == ["0", "1"]


@pytest.mark.parametrize(
    "given",
    ["x" * 10_000, "x " * 10_000, "\n" * 10_000, HOSTILE * 1000, "\x1b" * LINE, ("y" * 900 + " ") * 3],
)
def test_a_message_is_bounded_and_stays_when_it_is_bounded_again(given):
    once = message(given)
    assert message(once) == once
    assert len(once.split("\n")) <= LINES
    assert max(map(len, once.split("\n"))) <= LINE
    assert once.replace("\n", "").isprintable()
