"""What is odd in the annotations of a data set, and what is made of it: nothing is changed without a word."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import field

from anydet.dataclass import dataclass
from anydet.errors import AnydetWarning, DatasetError
from anydet.text import safe_line

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Oddity:
    """One kind of thing that is not as its format has it.

    Attributes:
        check: its name in two or three words, as ``anydet check-dataset`` lists it.
        what: what they are, in the plural.
        effect: what reading makes of them.
        repair: what a repaired copy has instead.
        count: how many there are.
        examples: the first of them.
        refused: whether reading stops, because no number would be right.
        fix: what to do, where a repaired copy is no way.
    """

    check: str
    what: str
    effect: str
    repair: str
    count: int
    examples: tuple[str, ...]
    refused: bool = False
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.count} (the first: {self.examples[0]}); {self.effect}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of oddity before any was found; the attributes are those of ``Oddity``."""

    check: str
    what: str
    effect: str
    repair: str
    refused: bool = False
    fix: str = ""


@dataclass(slots=True)
class Found:
    """Oddities as they are found, in the order in which their kinds first occur.

    Attributes:
        seen: how many things were looked at, odd ones among them, where somebody counts.
    """

    seen: int = 0
    _counts: dict[Kind, int] = field(default_factory=dict)
    _examples: dict[Kind, list[str]] = field(default_factory=dict)

    def add(self, kind: Kind, example: str) -> None:
        """Count one more."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        examples = self._examples.setdefault(kind, [])
        if len(examples) < _NAMED:
            examples.append(safe_line(example, 200))

    def listed(self) -> tuple[Oddity, ...]:
        """All that was found."""
        return tuple(
            Oddity(k.check, k.what, k.effect, k.repair, n, tuple(self._examples[k]), k.refused, k.fix)
            for k, n in self._counts.items()
        )


class OddityWarning(AnydetWarning):
    """Something is odd in a data set that is read nevertheless."""


def warn_of(oddities: Sequence[Oddity], where: object) -> None:
    """One warning for each kind: how many, the first, and what reading makes of them."""
    for oddity in oddities:
        warnings.warn(f"{where}: {oddity}", OddityWarning, stacklevel=2)


def refuse(oddities: Sequence[Oddity], where: object) -> None:
    """Raise ``DatasetError`` for those that reading stops at."""
    refused = [oddity for oddity in oddities if oddity.refused]
    if refused:
        raise DatasetError(
            f"{where}: {refused[0]}",
            details=tuple(f"{where}: {one}" for one in refused[1:]),
            fix=f"correct it; 'anydet check-dataset {where} --repair OUT.json' writes a copy without them",
        )


def refuse_all(oddities: Sequence[Oddity], where: object) -> None:
    """Raise ``DatasetError`` where there is any: what ``--strict`` does."""
    if oddities:
        raise DatasetError(
            f"{where}: {oddities[0]}",
            details=tuple(f"{where}: {one}" for one in oddities[1:]),
            fix=oddities[0].fix
            or "correct them, or leave out --strict; 'anydet check-dataset' lists all of them",
        )


def repairs(oddities: Sequence[Oddity]) -> Iterator[str]:
    """A line for each kind: what a repaired copy has instead."""
    for oddity in oddities:
        yield f"{oddity.what}: {oddity.count} (the first: {oddity.examples[0]}); {oddity.repair}"
