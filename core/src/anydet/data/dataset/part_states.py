"""States of the parts of whole images, with a box or without: ``Record.extra["part_states"]``, and a column.

Two integers stand for no state: -1 for a part that is listed without one, and ``UNLISTED``.
"""

from __future__ import annotations

from collections.abc import Sequence

from anydet.types import IntArray

PART_STATES = "part_states"
"""Key of ``Record.extra``: part -> name of its state or ``None``, for all parts that are listed."""
UNLISTED = -2
"""In place of a state: the part has no annotation."""


def name_states(row: IntArray, parts: Sequence[str], states: Sequence[str]) -> dict[str, str | None]:
    """Part -> name of its state, ``None`` where it has none, of the (C,) states of one image."""
    found = zip(parts, row.tolist(), strict=True)
    return {part: states[state] if state >= 0 else None for part, state in found if state > UNLISTED}
