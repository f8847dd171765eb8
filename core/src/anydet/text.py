"""How text from outside gets into messages: escaped, cut, and a few names for many.

Class names, image keys, file names and the texts of exceptions may be of any length and hold control
characters, which a terminal obeys. Text is cut before it is escaped, so that the time for a value of many
megabytes is that of measuring it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

NAME = 60
"""Characters of a name or a value within a sentence."""
WORD = 500
"""Characters of a word within a message: file names are up to 255 characters long."""
LINE = 1000
"""Characters of a line of a message."""
LINES = 30
"""Lines of a message."""


_given: dict[str, str] = {}


def show_as(path: str, given: str) -> None:
    """Let messages and results name ``given`` where they would name ``path``, a file made of a pipe."""
    _given[path] = given


def as_given(text: str) -> str:
    """A text with the names that the user knows in place of those of files made of pipes."""
    for path, given in _given.items():
        text = text.replace(path, given)
    return text


def escaped(text: str) -> str:
    """The text with control characters, line breaks and marks of direction as escape sequences of Python."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: object, most: int = NAME, *, keep_end: bool = False) -> str:
    """Text as one line of at most ``most`` characters, escaped; of what is cut, the true length is said.

    Args:
        text: any object's text.
        most: at least 40.
        keep_end: cut in the middle, else at the end.
    """
    whole = str(text)
    # Of what is left out nothing is looked at.
    head = escaped(whole[: most + 1])
    if len(whole) <= most and len(head) <= most:
        return head
    length = f" ({len(whole)} characters)"
    room = most - len(length) - len("...")
    if not keep_end:
        return f"{head[:room]}...{length}"
    tail = escaped(whole[-most:])
    return f"{head[: room - room // 3]}...{tail[len(tail) - room // 3 :]}{length}"


def quoted(value: object, most: int = NAME) -> str:
    """Text in quotes, cut in the middle and escaped; anything else as Python writes it."""
    if not isinstance(value, str):
        from reprlib import repr as bounded_repr

        return shortened(bounded_repr(value), most)
    text = shortened(value, most, keep_end=True)
    return f'"{text}"' if "'" in text else f"'{text}'"


def listed(names: Collection[object], most: int = 5, *, quotes: bool = True, longest: int = NAME) -> str:
    """The first names, each cut at ``longest``, and how many more there are: ``'a', 'b' and 998 more``."""
    show = quoted if quotes else shortened
    text = ", ".join(show(name, longest) for name in islice(names, most))
    return f"{text} and {len(names) - most} more" if len(names) > most else text


def first_of(lines: Sequence[str], most: int = 20) -> Iterator[str]:
    """The first lines of a list, and a line with how many more there are."""
    yield from lines[:most]
    if len(lines) > most:
        yield f"... and {len(lines) - most} more"


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless the number is 1: "1 image", "0 images", "2 classes"."""
    return f"{number} {noun}" + ("" if number == 1 else "es" if noun.endswith("s") else "s")


def one_line(text: str, most: int = LINE) -> str:
    """A text of several lines as one, with single spaces, cut in the middle."""
    # Cut before it is taken apart: an exception may quote a whole file.
    if len(text) > 4 * most:
        text = f"{text[: 2 * most]} ... {text[-2 * most :]}"
    return safe_line(" ".join(text.split()), most)


def safe_line(line: str, most: int = LINE) -> str:
    """A line of a message, escaped; long words are cut first, so that what is said of them stays."""
    line = as_given(line)
    if len(line) > WORD:
        words = line.split(" ")
        line = " ".join(w if len(w) <= WORD else shortened(w, WORD, keep_end=True) for w in words)
    return shortened(line, most, keep_end=True)


def message(text: str) -> str:
    """A message whose line breaks are its own, of at most ``LINES`` lines, each as ``safe_line``."""
    text = as_given(text)
    if len(text) <= WORD and text.isprintable():
        return text
    lines = text.split("\n", LINES)
    if len(lines) > LINES:
        more = lines[-1].count("\n") + 2
        lines = [*lines[: LINES - 1], f"... and {more} more lines"]
    return "\n".join(map(safe_line, lines))
