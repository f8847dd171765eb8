"""``Source``: what a predictions file is made of, whatever its shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Raw

from anydet.contract.locations import Place, Shape, path_text
from anydet.contract.violations import Finding

RawEntry = tuple[Place, bytes | Raw]


@dataclass(slots=True)
class Source:
    """What a file is made of.

    Attributes:
        path: the file.
        shape: which of the contract's shapes it has.
        entries: places and raw JSON; in the legacy map, the JSON of the detections alone. Taken once.
        meta: raw JSON of ``meta``, or ``None``.
        problems: what is wrong with the file around its entries; in JSON Lines known when they are taken.
        fatal: the one of them that leaves nothing to repair: a later version, or no list of entries.
    """

    path: Path
    shape: Shape
    entries: Iterator[RawEntry]
    meta: bytes | None = None
    problems: list[str] = field(default_factory=list)
    fatal: str | None = None

    def blame(self, findings: Iterable[Finding], place: Place | None = None) -> None:
        """Note what the schema says of what is around the entries."""
        for where, text in findings:
            line = problem_line(self.path, place.at(where) if place else path_text(where), text)
            self.problems.append(line)
            if "is newer than" in text or where[:1] == ("predictions",) or (not where and place is None):
                self.fatal = self.fatal or line


def problem_line(path: Path, where: str, text: str) -> str:
    """A problem with the file and its place; ``where`` may be empty."""
    return f"{path}: {where}: {text}" if where else f"{path}: {text}"
