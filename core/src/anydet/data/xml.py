"""XML files of data sets, read without entities, without the network, and to a bounded depth."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from anydet.errors import DatasetError
from anydet.inputs import SAVE_AS_UTF8, open_file, read_xml, text_problem

_MOST_DEPTH = 100
"""Annotations are nested five elements deep; a file that goes on was made to exhaust its reader."""
_HEAD_BYTES = 4096
_INCORRECT = expat.errors.codes[expat.errors.XML_ERROR_INCORRECT_ENCODING]
_OF_BYTES = {
    _INCORRECT,
    expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN],
    expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
}
"""Errors that come of an encoding, or of what else bytes may be."""
_DECLARE = 'write encoding="utf-8" in its first line'
_ANOTHER_ENCODING = re.compile(rb"(?i)<\?xml[^>]*encoding=[\"'](?!utf-?8)")


class _RefusedError(Exception):
    """Something that no annotations have."""


def parse_xml(path: Path) -> Element:
    """The root element of a file.

    Raises:
        DatasetError: it cannot be read, is no XML, declares entities, or is nested without end; with the
            line.
    """
    builder, parser, depth = TreeBuilder(), expat.ParserCreate(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_DEPTH:
            raise _RefusedError(f"elements are nested more than {_MOST_DEPTH} deep")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse_entity(name: str, *_: object) -> None:
        # A few nested entities stand for gigabytes, and one can stand for any file of this machine.
        raise _RefusedError(f"declares an entity, {name!r}, and entities are not read")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse_entity
    try:
        raw = read_xml(path)
    except OSError as exc:
        raise DatasetError(f"{path}: cannot be read: {exc.strerror}", fix="check the path") from exc
    try:
        parser.Parse(raw, True)
        return builder.close()
    except expat.ExpatError as exc:
        raise _malformed(path, raw, exc) from exc
    except _RefusedError as exc:
        line = parser.CurrentLineNumber
        raise DatasetError(f"{path}:{line}: {exc}", fix="export the annotations again") from exc
    except (LookupError, ValueError) as exc:
        raise DatasetError(
            f"{path}: declares an encoding that is not read: {exc}",
            fix=f"{_DECLARE}, and {SAVE_AS_UTF8}",
        ) from exc


def _malformed(path: Path, raw: bytes, exc: expat.ExpatError) -> DatasetError:
    """What is wrong with a file: its encoding, where that is it, else what the parser says."""
    problem = ""
    if exc.code in _OF_BYTES and not _ANOTHER_ENCODING.match(raw):
        problem = text_problem(raw.removeprefix(b"\xef\xbb\xbf"))
    if problem:
        return DatasetError(f"{path}: {problem}", fix=SAVE_AS_UTF8)
    if exc.code == _INCORRECT:
        return DatasetError(
            f"{path}: is in another encoding than it declares",
            fix=_DECLARE,
        )
    return DatasetError(
        f"{path}:{exc.lineno}: not valid XML: {expat.ErrorString(exc.code)}", fix="correct or export it again"
    )


def begins_with(path: Path, *tags: str) -> bool:
    """Whether the first element of a file is called so, by its first bytes; raises nothing."""
    try:
        with open_file(path) as file:
            # Zero bytes are those of UTF-16.
            head = file.read(_HEAD_BYTES).replace(b"\0", b"")
    except (OSError, ValueError):
        return False
    return any(b"<" + tag.encode() + end in head for tag in tags for end in (b">", b" ", b"\n", b"\r", b"\t"))


def text_of(element: Element, tag: str) -> str:
    """The text of an element's child, without white space around it; "" where there is none."""
    return (element.findtext(tag) or "").strip()


def number_of(text: str | None) -> float | None:
    """A finite number that a text is, else ``None``."""
    try:
        value = float(text) if text is not None and "_" not in text else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1e15 else None  # NaN compares false
