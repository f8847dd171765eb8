"""A predictions file read entry by entry: what is right in it, and what is wrong, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from anydet.contract.documents import Detection, Entry, decode_detections, decode_entry
from anydet.contract.join import unix_path
from anydet.contract.locations import Place, path_text
from anydet.contract.raw import Scan
from anydet.contract.reading.json_source import UNREADABLE
from anydet.contract.reading.scanned import whole
from anydet.contract.reading.source import Source
from anydet.contract.reading.table import Table
from anydet.contract.run_lengths import mask_findings
from anydet.contract.violations import EXPLAINED, MORE, Finding, findings, normalized, parse, violations
from anydet.errors import ContractError
from anydet.scanner import Scanner
from anydet.text import safe_line, shortened


def scan(source: Source, scanner: Scanner | None = None) -> Scan:
    """Read what is valid and say what is not: in columns where these are right, else entry by entry."""
    if source.columns is not None and not source.problems:
        columns = source.columns()
        meta, wrong = read_meta(source)
        if columns is not None and not wrong:
            predictions = whole(source.path, source.shape, columns, meta, scanner)
            if predictions is not None:
                return Scan(predictions, ())
    return scan_entries(source)


def scan_entries(source: Source) -> Scan:
    """Read what is valid and say what is not, in one pass over the entries.

    After ``EXPLAINED`` findings, entries that the fast path refuses are only counted: explaining takes a
    hundred times as long as reading, and the file is refused anyway.
    """
    table, errors, first, unexplained = Table(), list[str](), dict[str, Place](), 0
    for place, raw in source.entries():
        try:
            entry: Entry | None = _decode(place, raw)
            image: Any = entry.image if entry else None
        except UNREADABLE:
            if len(errors) >= EXPLAINED:
                unexplained += 1
                continue
            entry, image, found = judge(place, raw, EXPLAINED - len(errors))
            errors += found
        if isinstance(image, str):
            there = first.setdefault(unix_path(image), place)
            if there is not place:
                errors.append(
                    f"{place.at()}: a second entry for one image, the first is {there.at()}{_of(image)}"
                )
        if entry is not None:
            table.add(entry, place.number)
    meta, found = read_meta(source)
    predictions = table.finish(str(source.path), source.shape, meta)
    errors += [*found, *mask_findings(predictions)]
    if unexplained:
        errors.append(f"{unexplained} more entries were refused and not looked at further")
    return Scan(predictions, (*source.problems, *(safe_line(f"{source.path}: {line}") for line in errors)))


def entries(source: Source) -> Iterator[Entry]:
    """The entries of a file one at a time; raises ``ContractError`` at the first that breaks the contract."""
    for place, raw in source.entries():
        try:
            yield _decode(place, raw)
        except UNREADABLE:
            entry, _, found = judge(place, raw)
            if entry is None:
                raise ContractError(
                    safe_line(f"{source.path}: {found[0]}"),
                    fix=f"run 'anydet validate-predictions {source.path}'",
                ) from None
            yield entry


def judge(
    place: Place, raw: bytes | msgspec.Raw, most: int = EXPLAINED
) -> tuple[Entry | None, Any, list[str]]:
    """An entry that the fast path refused, by the schema; of what is wrong with it about ``most`` findings.

    Returns:
        The entry if it is valid after all, its image key if it has one, and what is wrong with it.
    """
    value, found = _judge_entry(place, bytes(raw), most)
    image = value.get("image") if isinstance(value, dict) else place.key
    if not found:
        try:
            return normalized(value, Entry), image, []
        except UNREADABLE as exc:
            found = [((), f"cannot be read: {exc}")]
    return None, image, [f"{place.at(path)}: {text}{_of(image)}" for path, text in found]


def _of(image: Any) -> str:
    return f" (image {shortened(image)})" if image and isinstance(image, str) else ""


def _decode(place: Place, raw: Any) -> Entry:
    if place.shape == "map":
        return Entry(place.key or "", decode_detections(raw))
    return decode_entry(raw)


def _judge_entry(place: Place, text: bytes, most: int) -> tuple[Any, list[Finding]]:
    value, unreadable = parse(text)
    if value is None and unreadable:
        return None, unreadable
    if place.shape == "map":
        value = {"image": place.key, "detections": value}
        unreadable = [(("detections", *path), text) for path, text in unreadable]
    known = {tuple(path) for path, _ in unreadable}
    found = [*unreadable, *(f for f in _entry_violations(value, most) if tuple(f[0]) not in known)]
    return value, sorted(found, key=lambda finding: [(isinstance(p, str), p) for p in finding[0]])


def _entry_violations(value: Any, most: int) -> Iterator[Finding]:
    """The schema's findings; a detection that the fast path takes is valid and not looked at again."""
    if not isinstance(value, dict) or not isinstance(value.get("detections"), list):
        yield from violations(value, "entry", most)
        return
    yield from violations({**value, "detections": []}, "entry", most)
    left = most
    for i, detection in enumerate(value["detections"]):
        try:
            msgspec.convert(detection, Detection)
        except UNREADABLE:
            if left <= 0:
                yield ("detections",), MORE
                return
            found = violations(detection, "detection", left)
            left -= len(found)
            for path, text in found:
                yield ("detections", i, *path), text


def read_meta(source: Source) -> tuple[dict[str, Any] | None, list[str]]:
    """The file's ``meta`` if it has a valid one, and what is wrong with it."""
    if source.meta is None:
        return None, []
    meta, found = findings(source.meta, "meta")
    return (None if found else meta), [f"{path_text(('meta', *path))}: {text}" for path, text in found]
