"""What is wrong with a value of a document, in words; here the JSON Schema decides."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import msgspec

from anydet.contract.locations import Path, show
from anydet.contract.schema import VERSION, validator
from anydet.errors import did_you_mean

EXPLAINED = 1000
"""Findings after which nothing more is explained."""
MORE = "more is wrong and was not looked at further"
_HINTS = 20
"""Unknown keys that are compared with the known ones."""
Finding = tuple[Path, str]
"""Path inside the value, and what is wrong there."""

_KINDS = {
    "number": "a number",
    "integer": "an integer",
    "string": "a string",
    "array": "a list",
    "object": "an object",
    "boolean": "true or false",
    "null": "null",
}
# Python's own limit for integers in decimal digits, which json.loads obeys with a ValueError.
_EXACT_DIGITS = 4300
NEWLINE = b"\n"


def parse(text: bytes) -> tuple[Any, list[Finding]]:
    """The JSON value, and what makes it unreadable or not JSON: bad UTF-8, syntax, NaN, infinity.

    NaN and infinity are kept in the value, so that their places can be named.
    """
    try:
        value = json.loads(text.decode("utf-8"), parse_int=_int)
    except UnicodeDecodeError as exc:
        return None, [((), f"not UTF-8: byte 0x{text[exc.start]:02x} at {position(text, exc.start)}")]
    except json.JSONDecodeError as exc:
        start = len(exc.doc[: exc.pos].encode("utf-8", "replace"))
        what = exc.msg[0].lower() + exc.msg[1:].removesuffix(" starting at")
        return None, [((), f"not JSON: {what} at {position(text, start)}")]
    except RecursionError:
        return None, [((), "nested too deeply to be read")]
    try:
        # What Python's reader still takes may be nested too deeply for our own recursion.
        return value, list(unspeakable(value))
    except RecursionError:
        return None, [((), "nested too deeply to be read")]


def violations(value: Any, definition: str | None, most: int | None = None) -> list[Finding]:
    """The schema's findings about a value of one definition (a name in ``$defs``), or of a whole document.

    Explaining takes a hundred times as long as reading: after ``most`` findings, the last says that there are
    more.
    """
    stop = None if most is None else most + 1
    errors = list(islice(validator(definition).iter_errors(value), stop))
    # Sorted as text, because paths mix keys and positions, which cannot be compared.
    errors.sort(key=lambda error: list(map(str, error.absolute_path)))
    found = list(dict.fromkeys(islice((finding for error in errors for finding in _words(error)), stop)))
    return found if stop is None or len(found) < stop else [*found[:most], ((), MORE)]


def findings(text: bytes, definition: str, most: int | None = EXPLAINED) -> tuple[Any, list[Finding]]:
    """The value of a text, and what is against it; a value with no findings is valid."""
    value, unreadable = parse(text)
    if value is None and unreadable:
        return None, unreadable
    # What JSON cannot hold may break a rule of the schema, too: one finding a place is enough.
    places = {tuple(path) for path, _ in unreadable}
    return value, [
        *unreadable,
        *(f for f in violations(value, definition, most) if tuple(f[0]) not in places),
    ]


def position(data: bytes, start: int) -> str:
    """``line 3, byte 17`` for an offset into a file; of a single line, the byte alone."""
    if NEWLINE not in data:
        return f"byte {start + 1}"
    line = data.count(NEWLINE, 0, start) + 1
    return f"line {line}, byte {start - data.rfind(NEWLINE, 0, start)}"


def syntax(data: bytes, error: Exception) -> str:
    """What msgspec found wrong with a whole file, with line and byte."""
    if isinstance(error, RecursionError):
        return "nested too deeply to be read"
    if isinstance(error, UnicodeDecodeError):
        return next(text for _, text in parse(data)[1])
    if not data.strip():
        return "the file is empty"
    where = re.search(r"^(?:JSON is malformed: )?(.*?) \(byte (\d+)\)", str(error))
    if where:
        after = "trailing characters" in where[1]  # there the byte counted is the next one
        return f"not JSON: {where[1]} at {position(data, int(where[2]) - after)}"
    return f"not JSON: it ends in the middle of a value, at {position(data, len(data))}"


def _int(digits: str) -> int | float:
    """Python refuses to read integers of more digits; they are as good as infinite."""
    return int(digits) if len(digits) <= _EXACT_DIGITS else float(digits)


def unspeakable(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[Finding]:
    """What Python's reader lets through and JSON cannot hold: NaN, infinity, half surrogate pairs."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"{'NaN' if math.isnan(value) else 'infinity'} is not a finite number"
    elif isinstance(value, str):
        if not _is_unicode(value):
            yield path, "half a surrogate pair is not Unicode text"
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from unspeakable(item, (*path, i))
    elif isinstance(value, dict):
        for key, item in value.items():
            if not _is_unicode(key):
                yield path, "a key with half a surrogate pair is not Unicode text"
            else:
                yield from unspeakable(item, (*path, key))


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _words(error: Any) -> Iterator[Finding]:
    """A schema error in our words; unknown keys give one finding each, at the key."""
    path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        extra = "free data may go into 'extra'" if "extra" in known else f"known: {', '.join(known)}"
        unknown = (key for key in error.instance if key not in known)
        for i, key in enumerate(unknown):
            hint = did_you_mean(key, [name for name in known if name != "extra"]) if i < _HINTS else ""
            yield (*path, key), f"unknown key{hint or f'; {extra}'}"
    elif error.validator == "maximum" and "schema_version" in path:
        text = f"version {show(error.instance)} is newer than {VERSION}, the latest that this program knows"
        yield path, text
    else:
        words = _WORDS.get(str(error.validator))
        yield (
            path,
            words(error.instance, error.validator_value, error.schema) if words else error.message,
        )


def _type(value: Any, wanted: Any, _schema: Any) -> str:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    belongs = " or ".join(_KINDS[kind] for kind in kinds)
    return f"{show(value)} where {belongs} belongs"


def _missing(value: Any, required: Any, _schema: Any) -> str:
    names = [repr(key) for key in required if key not in value]
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} missing"


def _count(value: Any, limit: Any, schema: Any) -> str:
    low, high = schema.get("minItems"), schema.get("maxItems")
    bound = f"{low}" if low == high else f"at least {low}" if limit == low else f"at most {high}"
    return f"{len(value)} items where {bound} belong"


def _choice(value: Any, choices: Any, _schema: Any) -> str:
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"{show(value)} is not one of {', '.join(map(str, choices))}{hint}"


_WORDS: dict[str, Callable[[Any, Any, Any], str]] = {
    "minimum": lambda value, limit, _: f"{show(value)} is below the minimum {limit}",
    "exclusiveMinimum": lambda value, limit, _: f"{show(value)} is not above {limit}",
    "maximum": lambda value, limit, _: f"{show(value)} is above the maximum {limit}",
    "type": _type,
    "required": _missing,
    "minItems": _count,
    "maxItems": _count,
    "minLength": lambda _value, _limit, _: "an empty text where a name belongs",
    "pattern": lambda value, pattern, schema: f"{show(value)} is not {schema.get('description', pattern)}",
    "enum": _choice,
}


def normalized(value: Any, kind: type[Any]) -> Any:
    """A valid value as its struct; ``1.0`` becomes 1 where an integer belongs."""
    return msgspec.convert(value, kind, strict=False)
