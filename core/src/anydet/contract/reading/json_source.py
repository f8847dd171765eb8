"""JSON and JSON Lines taken apart: raw entries with their places, and meta."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import BufferedReader
from os import SEEK_END
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw

from anydet.contract.locations import Place, Shape, path_text, show
from anydet.contract.reading.source import RawEntry, Source, problem_line
from anydet.contract.violations import EXPLAINED, parse, syntax, violations
from anydet.errors import ContractError
from anydet.inputs import mark_problem, read_json, text_problem

Members = list[Any] | dict[str, Any]
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
_TAIL = 1 << 16
_START = re.compile(rb"\s*\[")
_SPECIAL = re.compile(rb'\{\s*"(?:schema_version|meta)"')
# Runs of plain characters at once: an alternation for each of them takes a hundred bytes a byte.
_MAP_KEY = re.compile(rb'\s*[{,]\s*"[^"\\]*(?:\\.[^"\\]*)*"\s*:\s*', re.DOTALL)

_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def open_document(path: Path, file: BufferedReader) -> Source:
    """Take the text of a JSON file apart: a list, a map, wrapped, or COCO results.

    Raises:
        ContractError: it is not JSON (with line and byte), or neither a list nor an object.
    """
    text = read_json(file)
    try:
        members = split(text)
    except UNREADABLE as exc:
        # Objects one after another are JSON Lines under another suffix.
        if "trailing characters" in str(exc) and text.lstrip()[:1] == b"{":
            return open_lines(path, file)
        if problem := text_problem(text):
            from anydet.contract.reading.encoding import not_utf8

            raise not_utf8(path, problem) from exc
        value, problems = parse(text)
        why = syntax(text, exc) if problems else f"{show(value)} where a list or an object belongs"
        why = next((found for where, found in problems if not where and value is not None), why)
        raise ContractError(f"{path}: {why}", fix="write the file again") from exc
    if isinstance(members, list):
        shape: Shape = "coco" if members and is_coco_result(members[0]) else "list"
        return Source(path, shape, partial(_places, shape, members), text=text)
    if {"predictions", "schema_version"} & members.keys():
        return _wrapped(path, members, text)
    entries = partial(_places, "map", list(members.values()), list(members))
    return Source(path, "map", entries, text=text, problems=_twice(path, text, members))


def split(data: bytes | Raw) -> Members:
    """The members of a list or an object as raw JSON.

    msgspec stops at the first NaN or infinity; where that is all that is wrong, Python's reader goes on, so
    that each can be named with its place.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: not JSON, or neither a list nor an object.
    """
    try:
        return _decode_members(data)
    except UNREADABLE:
        value, problems = parse(bytes(data))
        in_keys = any(not where for where, _ in problems)
        if not problems or in_keys or not isinstance(value, list | dict):
            raise
    if isinstance(value, list):
        return [json.dumps(item).encode() for item in value]
    return {key: json.dumps(item).encode() for key, item in value.items()}


def _wrapped(path: Path, members: Mapping[str, bytes | Raw], text: bytes) -> Source:
    around: dict[str, Any] = {}
    entries: Any = []
    for key, raw in members.items():
        if key == "predictions" and _START.match(raw):
            # Entries are judged one by one later; an empty list stands for them where the rest is judged.
            entries, around[key] = split(raw), []
        elif key != "meta":
            around[key] = parse(bytes(raw))[0]
    source = Source(path, "wrapped", partial(_places, "wrapped", list(entries)), text=text)
    source.blame(violations(around, None, EXPLAINED))
    source.meta = bytes(members["meta"]) if "meta" in members else None
    return source


IMAGE_NAMES = ("file_name", "filename", "image_name", "image", "image_path", "img_path")
"""Keys by which results name their image where they have no ``image_id``."""


def is_coco_result(raw: Raw | bytes) -> bool:
    """Whether a list that starts like this is a COCO results file."""
    # Another encoding is an error later; the keys are the same in it.
    value, _ = parse(bytes(raw).decode("utf-8", "replace").encode())
    if not isinstance(value, dict) or "category_id" not in value or "detections" in value:
        return False
    return "image_id" in value or any(name in value for name in IMAGE_NAMES)


def with_image_id(result: dict[str, Any]) -> dict[str, Any]:
    """A COCO result that names its image otherwise, under the keys that are read; any other as it is."""
    if "image_id" in result:
        return result
    image = next((result[name] for name in IMAGE_NAMES if name in result), None)
    if isinstance(image, str):
        # As the name of a file it is never taken for an id that looks alike.
        return {**result, "image_id": image, "file_name": image}
    return result if image is None else {**result, "image_id": image}


def _decode_members(data: bytes | Raw) -> Members:
    return _decode_list(data) if _START.match(data) else _decode_object(data)


def _places(
    shape: Shape, raws: Sequence[bytes | Raw], keys: Sequence[str] | None = None
) -> Iterator[RawEntry]:
    for i, raw in enumerate(raws):
        yield Place(shape, i, keys[i] if keys else None), raw


def _twice(path: Path, data: bytes, members: Mapping[str, bytes | Raw]) -> list[str]:
    """Images that a map has twice: the decoder keeps the last of them and forgets the others."""
    # Reading all keys once more is slow, so that it is left to files in which a value was lost.
    if not _has_gaps(data, members):
        return []
    keys = Counter(key for key, _ in json.loads(data, object_pairs_hook=list))
    return [
        problem_line(path, path_text((key,)), f"{count} entries for one image")
        for key, count in keys.items()
        if count > 1
    ]


def _has_gaps(data: bytes, members: Mapping[str, bytes | Raw]) -> bool:
    """Whether there is more than one key between the values that were kept."""
    end = 0
    for start, stop in sorted(_span(data, raw) for raw in members.values()):
        if not _MAP_KEY.fullmatch(data, end, start):
            return True
        end = stop
    return data[end:].strip() not in (b"}", b"{}")


def _span(data: bytes, raw: bytes | Raw) -> tuple[int, int]:
    """Where in ``data`` a raw value starts and stops."""
    view = np.frombuffer(raw, np.uint8)
    # A Raw of msgspec is a view of the text it was decoded from: its address gives its place in it.
    start = int(view.ctypes.data - np.frombuffer(data, np.uint8).ctypes.data)
    return start, start + len(view)


def open_lines(path: Path, file: BufferedReader) -> Source:
    """Take a JSON Lines file apart; its lines are read as its entries are taken."""
    head = file.peek(1)
    if problem := mark_problem(head):
        from anydet.contract.reading.encoding import not_utf8

        raise not_utf8(path, problem)
    # Lines are read one by one, and a file without line ends is one line.
    if head.lstrip()[:1] not in (b"{", b"[", b"") and b"\n" not in head:
        value, problems = parse(head)
        why = problems[0][1] if problems else f"{show(value)} where an object belongs"
        raise ContractError(f"{path}: line 1: {why}", fix="write the file again")
    source = Source(path, "jsonl", lambda: _line_entries(source, file), _footer(file), file=file)
    if is_coco_result(_first_line(file)):
        with file:
            file.seek(0)
            lines = [line for line in map(bytes.strip, file) if line]
        return Source(path, "coco", partial(_places, "coco", lines), text=b"[" + b",\n".join(lines) + b"]")
    return source


def _first_line(file: BufferedReader) -> bytes:
    file.seek(0)
    return next((line for line in map(bytes.strip, file) if line), b"")


def _footer(file: BufferedReader) -> bytes | None:
    """``meta`` of the last line that is not blank, found from the end."""
    size, back = file.seek(0, SEEK_END), _TAIL
    while True:
        file.seek(max(0, size - back))
        *before, last = file.read().rstrip().rsplit(b"\n", 1)
        if before or back >= size:
            keys = _special(last.strip()) or {}
            return bytes(keys["meta"]) if "meta" in keys else None
        back *= 8


def _line_entries(source: Source, file: BufferedReader) -> Iterator[RawEntry]:
    """The lines that are entries; the header and the footer are looked at on the way."""
    first, footer = True, False
    file.seek(0)
    for number, line in enumerate(file, 1):
        text = line.strip()
        if not text:
            continue
        if footer:
            source.problems.append(f"{source.path}: line {number}: nothing may follow the line with meta")
        keys = _special(text)
        if keys is None:
            yield Place("jsonl", number), text
        elif "meta" in keys:
            footer = True
            _judge(source, number, {**keys, "meta": b"{}"}, "lines_footer")
        else:
            _judge(source, number, keys, "lines_header")
            if not first:
                source.problems.append(f"{source.path}: line {number}: schema_version belongs on line 1")
        first = False
    if first:
        source.problems.append(f"{source.path}: the file is empty")


def _special(text: bytes) -> dict[str, Any] | None:
    """The members of a header or footer line; ``None`` for entries."""
    if not _SPECIAL.match(text):
        return None
    try:
        keys = split(text)
    except UNREADABLE:
        return None
    return keys if isinstance(keys, dict) and "image" not in keys else None


def _judge(source: Source, number: int, members: Mapping[str, bytes | Raw], definition: str) -> None:
    value = {key: parse(bytes(raw))[0] for key, raw in members.items()}
    source.blame(violations(value, definition, EXPLAINED), Place("jsonl", number))
