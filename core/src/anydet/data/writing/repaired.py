"""What a repair wrote, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anydet.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was written.

    Attributes:
        output: the copy.
        annotations: how many annotations or label lines it has, of ``before``.
        before: how many there were.
        repairs: a line for each kind of thing that differs.
    """

    output: Path
    annotations: int
    before: int
    repairs: Sequence[str]
