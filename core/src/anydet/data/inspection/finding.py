"""``DatasetFinding``: one row of ``anydet check-dataset``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Literal

from anydet.dataclass import dataclass

Severity = Literal["broken", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("broken", "warning", "note")
_NAMED = 5


@dataclass(frozen=True, slots=True)
class DatasetFinding:
    """Something about a data set that is worth knowing.

    Attributes:
        severity: "broken" gives wrong numbers or errors, a "warning" may be meant, a "note" is a fact.
        check: what was looked for, in two or three words.
        count: how many there are.
        problem: what they are.
        examples: the first of them.
        fix: what to do, or an empty string.
    """

    severity: Severity
    check: str
    count: int
    problem: str
    examples: tuple[str, ...] = ()
    fix: str = ""


def some(examples: Iterable[object]) -> tuple[str, ...]:
    """The first few, as text."""
    return tuple(str(one) for one in islice(examples, _NAMED))
