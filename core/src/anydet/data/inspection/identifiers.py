"""Entries of a COCO annotations file, looked at even where it is too broken to be opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from anydet.data.dataset.oddities import Oddity
from anydet.data.inspection.finding import DatasetFinding, some


def inspect_oddities(oddities: Iterable[Oddity]) -> Iterator[DatasetFinding]:
    """What is not as the format has it, and what reading makes of it."""
    for one in oddities:
        fix = one.fix or f"correct them; '--repair OUT' writes a copy: {one.repair}"
        yield DatasetFinding(
            "broken", one.check, one.count, f"{one.what}: {one.effect}", tuple(one.examples), fix
        )


def inspect_identifiers(data: Mapping[str, Any]) -> Iterator[DatasetFinding]:
    """Names of classes that occur twice, which can be read nevertheless.

    Args:
        data: the decoded file, an object with ``images``.
    """
    entries = data.get("categories")
    named = [one.get("name") for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    # Broken files have lists and objects in place of names.
    counts = Counter(name if isinstance(name, str) or name is None else repr(name) for name in named)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        yield DatasetFinding("warning", "duplicate names", len(twice), "class names twice", some(twice))
