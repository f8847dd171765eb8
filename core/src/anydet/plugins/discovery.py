"""Entry points of installed packages, read without ``importlib.metadata`` where folders are all there is.

That module takes as long to import as a small evaluation takes to run, because it brings parsers of e-mail
and zip archives. Where packages are not in plain folders, it is used after all. What a folder holds is
remembered by ``folder_cache``, as reading it means opening a file of every installed package.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from anydet.errors import PluginError
from anydet.plugins.folder_cache import FolderCache

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_RECORDS = (".dist-info", ".egg-info")
_POINT = re.compile(r"([^=]+?)\s*=\s*([\w.]+)\s*(?::\s*([\w.]+))?\s*(?:\[.*\])?$")

_VALUE = re.compile(r"[\w.]+(:[\w.]+)?")


class InstalledPoint(NamedTuple):
    """An entry point of a package that is installed in a folder.

    Attributes:
        name: of the entry point.
        value: ``package.module`` or ``package.module:attribute``.
        distribution: the package's name, as its folder of records spells it.
        version: of the package.
    """

    name: str
    value: str
    distribution: str
    version: str

    def load(self) -> Any:
        """Import what it names."""
        module, _, attributes = self.value.partition(":")
        if not _VALUE.fullmatch(self.value):
            raise PluginError(
                f"{self.value!r} in its entry_points.txt is not 'package.module:attribute'",
                fix="install the package again, or report it to its author",
            )
        found = import_module(module)
        for attribute in filter(None, attributes.split(".")):
            found = getattr(found, attribute)
        return found


def find_points(
    group: str, path: Sequence[str] | None = None, cache: FolderCache | None = None
) -> list[InstalledPoint | EntryPoint]:
    """The entry points of a group, of the first package of each name on the path.

    Args:
        group: of entry points.
        path: folders of packages; ``sys.path`` by default.
        cache: where folders are remembered; nothing is if ``None``.
    """
    folders = [Path(entry or ".").absolute() for entry in dict.fromkeys(sys.path if path is None else path)]
    if path is None and not _are_all(folders):
        from importlib.metadata import entry_points

        # One package with a file that cannot be read is an error of all: folders are read without it.
        with suppress(OSError, ValueError):
            return list(entry_points(group=group))
    cache = cache or FolderCache(None)
    packages: dict[str, list[list[str]]] = {}
    for folder in folders:
        found = cache.value(str(folder), partial(_packages, folder, group))
        for name, points in found.items():
            # The first package of a name on the path wins, as it does when it is imported.
            packages.setdefault(name, points)
    cache.save()
    return [InstalledPoint(*point) for points in packages.values() for point in points]


def _are_all(folders: list[Path]) -> bool:
    """Whether no package can be anywhere else: in a zip file, or where another finder of packages looks."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    plain = {"PathFinder", "_EditableFinder", "_EditableNamespaceFinder"}
    known = all(getattr(finder, "__name__", type(finder).__name__) in plain for finder in finders)
    return known and not any(folder.is_file() for folder in folders)


def _packages(folder: Path, group: str) -> tuple[dict[str, list[InstalledPoint]], list[str]]:
    """Normalized name -> entry points of each package of a folder; and the files that can change in place."""
    packages: dict[str, list[InstalledPoint]] = {}
    files = []
    for record in _records(folder):
        name = _normalized(_identity(record)[0])
        if name in packages:
            continue
        packages[name] = list(_points(record, group))
        # An installer replaces a .dist-info, which changes the folder; an .egg-info beside its sources is
        # written over.
        if packages[name] or record.suffix == ".egg-info":
            files.append(str(record / "entry_points.txt"))
    return packages, files


def _records(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.name.endswith(_RECORDS))
    except OSError:
        return []


def _identity(record: Path) -> tuple[str, str]:
    """Name and version: ``anydet_toy-0.1.0.dist-info``; "?" where an old egg's folder has no version."""
    name, _, version = record.stem.partition("-")
    return name.replace("_", "-"), version.partition("-py")[0] or "?"


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _points(record: Path, group: str) -> Iterator[InstalledPoint]:
    try:
        # What is not UTF-8 is no name either, and is refused when it is loaded.
        lines = (record / "entry_points.txt").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return
    here = False
    for line in map(str.strip, lines):
        if line.startswith("["):
            here = line == f"[{group}]"
        elif here and line and not line.startswith(("#", ";")):
            if found := _POINT.match(line):
                name, module, attribute = found.groups()
                value = f"{module}:{attribute}" if attribute else module
            else:
                name, value = _identity(record)[0], line[:80]
            yield InstalledPoint(name, value, *_identity(record))
