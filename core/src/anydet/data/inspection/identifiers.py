"""Entries of a COCO annotations file, looked at even where it is too broken to be opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from anydet.data.dataset.oddities import Oddity
from anydet.data.inspection.finding import DatasetFinding, Severity, some


def inspect_oddities(oddities: Iterable[Oddity]) -> Iterator[DatasetFinding]:
    """What is not as the format has it, and what reading makes of it."""
    for one in oddities:
        fix = one.fix or f"correct them; '--repair OUT' writes a copy: {one.repair}"
        yield DatasetFinding(
            "broken", one.check, one.count, f"{one.what}: {one.effect}", tuple(one.examples), fix
        )


def inspect_identifiers(data: Mapping[str, Any]) -> Iterator[DatasetFinding]:
    """Ids of annotations and names of classes that occur twice, which can be read nevertheless.

    Args:
        data: the decoded file, an object with ``images``.
    """
    annotations, categories = (_objects(data.get(kind)) for kind in ("annotations", "categories"))
    yield from _duplicates(
        "broken",
        "duplicate annotation ids",
        "ids of several annotations, of which tools that index by id keep one",
        [one["id"] for one in annotations if one.get("id") is not None],
        "give each its own",
    )
    names = [one.get("name") for one in categories]
    yield from _duplicates("warning", "duplicate names", "class names twice", names, "")


def _objects(entries: Any) -> list[dict[str, Any]]:
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


def _duplicates(
    severity: Severity, check: str, what: str, values: Iterable[Any], fix: str
) -> Iterator[DatasetFinding]:
    twice = [value for value, count in Counter(map(_hashable, values)).items() if count > 1]
    if twice:
        yield DatasetFinding(severity, check, len(twice), what, some(twice), fix)


def _hashable(value: Any) -> Any:
    # Broken files have lists and objects in place of ids.
    return value if isinstance(value, int | float | str) or value is None else repr(value)
