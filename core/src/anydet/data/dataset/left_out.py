"""What a reader leaves out of a data set: counted by reason, and said in one line each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from anydet.data.dataset.oddities import Found, Kind, Oddity, warn_of
from anydet.errors import AnydetWarning, DatasetError

_T = TypeVar("_T")
_EFFECT = "left out"
_FIX = "correct them, and export again"


class LeftOut:
    """Objects or images that were not taken, each with its reason."""

    def __init__(self) -> None:
        self._faults = Found()
        self._others = Found()

    def add(
        self,
        what: str,
        reason: str,
        where: object,
        *,
        fault: bool = True,
        effect: str = _EFFECT,
        fix: str = _FIX,
    ) -> None:
        """Count one thing that is left out, or taken otherwise than it is given.

        Args:
            what: a noun in the plural: "objects", "images".
            reason: what follows it: "without a name".
            where: which one it is, for the first example.
            fault: whether it should not be there; else it is of a kind that a data set has no place for.
            effect: what is made of it.
            fix: what to do.
        """
        kind = Kind(f"{what} left out", f"{what} {reason}", effect, "", fix=fix)
        (self._faults if fault else self._others).add(kind, str(where))

    def read_files(self, what: str, files: Sequence[Path], read: Callable[[Path], _T]) -> list[_T]:
        """What is in each file; one that cannot be read is left out, with its image.

        Raises:
            DatasetError: none of them can be read; it is that of the first.
        """
        found: list[_T] = []
        first: DatasetError | None = None
        for file in files:
            try:
                found.append(read(file))
            except DatasetError as exc:
                first = first or exc
                self.add("images", f"whose {what} cannot be read", exc.problem, fix=exc.fix)
        if first is not None and not found:
            raise first
        return found

    @property
    def faults(self) -> tuple[Oddity, ...]:
        """Those that ``check-dataset`` lists and ``--strict`` refuses."""
        return self._faults.listed()

    def warn(self, root: Path) -> None:
        """One warning for each reason, with the count and the first example."""
        warn_of(self.faults, root)
        for other in self._others.listed():
            warnings.warn(f"{root}: {other}", AnydetWarning, stacklevel=2)
