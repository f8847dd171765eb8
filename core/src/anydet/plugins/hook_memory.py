"""Which hooks installed plugins implement, remembered from the last time they were loaded.

With it, a command imports the plugins whose hooks it calls, and leaves the others alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from anydet.plugins.discovery import InstalledPoint
from anydet.plugins.folder_cache import FolderCache

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class HookMemory:
    """Hooks by the file of a plugin's module; they hold until it or its package changes.

    Args:
        cache: where they are kept.
    """

    def __init__(self, cache: FolderCache) -> None:
        self._cache = cache
        self._unknown: dict[InstalledPoint | EntryPoint, str] = {}

    def hooks(self, point: InstalledPoint | EntryPoint) -> frozenset[str] | None:
        """Names of the hooks that a plugin implements, ``None`` where that takes loading it."""
        file = _file(point)
        found = self._cache.known(file) if file else None
        if found is not None:
            return frozenset(found)
        if file:
            self._unknown[point] = file
        return None

    def learn(self, point: InstalledPoint | EntryPoint, hooks: Iterable[str]) -> None:
        """Remember the hooks of a plugin that was loaded after ``hooks`` gave ``None``."""
        if file := self._unknown.get(point):
            # Hooks may come from other modules of the package, whose changes count, too.
            within = f"{point.value}."
            package = [m for n, m in sys.modules.items() if n == point.value or n.startswith(within)]
            files = {path for m in package if (path := getattr(m, "__file__", None))}
            self._cache.remember(file, sorted(hooks), sorted(files - {file}))

    def save(self) -> None:
        """Write what was learned."""
        self._cache.save()


def _file(point: InstalledPoint | EntryPoint) -> str | None:
    """The file of a plugin's module, found without importing it; ``None`` where that is not possible."""
    if not isinstance(point, InstalledPoint) or not point.value.isidentifier():
        return None
    try:
        spec = find_spec(point.value)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec is not None and spec.has_location else None
