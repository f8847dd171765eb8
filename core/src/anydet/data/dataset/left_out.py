"""What a reader leaves out of a data set: counted by reason, and said in one line each."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

from anydet.errors import AnydetWarning
from anydet.text import counted, shortened


class LeftOut:
    """Objects or images that were not taken, each with its reason."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], str] = {}

    def add(self, what: str, reason: str, where: object) -> None:
        """Count one thing that is left out.

        Args:
            what: a noun in the singular: "object", "image".
            reason: why.
            where: which one it is, for the first example.
        """
        self._counts[what, reason] += 1
        self._first.setdefault((what, reason), str(where))

    def warn(self, root: Path) -> None:
        """One warning for each reason, with the count and the first example."""
        for (what, reason), count in self._counts.items():
            first = shortened(self._first[what, reason], 200, keep_end=True)
            warnings.warn(
                f"{root}: {counted(count, what)} left out: {reason}; the first: {first}",
                AnydetWarning,
                stacklevel=2,
            )
