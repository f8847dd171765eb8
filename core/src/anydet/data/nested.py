"""Data sets below a folder that is none itself: what to name in place of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from anydet.data.known_formats import folders_in
from anydet.errors import DatasetError

_DEPTH = 3
_MOST = 100
"""Folders that are looked at: of a folder for each class there may be thousands."""


def find_nested(root: Path, formats: Sequence[Callable[[Path], object]]) -> tuple[Path, ...]:
    """The nearest folders below that one of the formats opens, in their order.

    Args:
        root: a folder.
        formats: of data sets with labels: each gives ``None`` for a path that it does not open.
    """
    found: list[Path] = []
    level, looked = [root], 0
    for _ in range(_DEPTH):
        inner = [one for folder in level for one in sorted(folders_in(folder))]
        level = []
        for folder in inner[: _MOST - looked]:
            looked += 1
            (found if _is_one(folder, formats) else level).append(folder)
    return tuple(found)


def _is_one(folder: Path, formats: Sequence[Callable[[Path], object]]) -> bool:
    # A format may refuse what is called like one of its files and is no file.
    with suppress(DatasetError):
        return any(matching(folder) is not None for matching in formats)
    return False
