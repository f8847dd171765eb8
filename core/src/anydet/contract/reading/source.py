"""``Source``: an opened predictions file, whatever its shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from msgspec import Raw

from anydet.contract.locations import Place, Shape, path_text
from anydet.contract.violations import Finding
from anydet.dataclass import dataclass
from anydet.scanner import ScannedPredictions

if TYPE_CHECKING:
    from typing_extensions import Self

RawEntry = tuple[Place, bytes | Raw]


@dataclass(slots=True)
class Source:
    """An opened file; a context manager, as the entries of some shapes are read while they are taken.

    Attributes:
        path: the file.
        shape: which of the contract's shapes it has.
        entries: places and raw JSON of all entries, at every call; in the legacy map, the JSON of the
            detections alone.
        meta: raw JSON of ``meta``, or ``None``.
        text: of a JSON document, the whole of it.
        columns: of Parquet: all detections at once, ``None`` where an entry must be looked at to say why not.
        problems: what is wrong with the file around its entries; in JSON Lines known when they are taken.
        fatal: the one of them that leaves nothing to repair: a later version, or no list of entries.
        file: what is read from as entries are taken.
        recoded: why its text was not read as it is: another encoding, which a repair reads.
    """

    path: Path
    shape: Shape
    entries: Callable[[], Iterator[RawEntry]]
    meta: bytes | None = None
    text: bytes = b""
    columns: Callable[[], ScannedPredictions | None] | None = None
    problems: list[str] = field(default_factory=list)
    fatal: str | None = None
    file: IO[bytes] | None = None
    recoded: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is not None:
            self.file.close()

    def blame(self, findings: Iterable[Finding], place: Place | None = None) -> None:
        """Note the schema's findings about what is around the entries."""
        for where, text in findings:
            line = problem_line(self.path, place.at(where) if place else path_text(where), text)
            self.problems.append(line)
            if "is newer than" in text or where[:1] == ("predictions",) or (not where and place is None):
                self.fatal = self.fatal or line


def problem_line(path: Path, where: str, text: str) -> str:
    """A problem with the file and its place; ``where`` may be empty."""
    return f"{path}: {where}: {text}" if where else f"{path}: {text}"
