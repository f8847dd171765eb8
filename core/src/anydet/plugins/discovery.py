"""Entry points of installed packages, read without ``importlib.metadata`` where folders are all there is.

That module takes as long to import as a small evaluation takes to run, because it brings parsers of e-mail
and zip archives. Where packages are not in plain folders, it is used after all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_RECORDS = (".dist-info", ".egg-info")
_POINT = re.compile(r"([^=]+?)\s*=\s*([\w.]+)\s*(?::\s*([\w.]+))?\s*(?:\[.*\])?$")


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
        found = import_module(module)
        for attribute in filter(None, attributes.split(".")):
            found = getattr(found, attribute)
        return found


def find_points(group: str, path: Sequence[str] | None = None) -> list[InstalledPoint | EntryPoint]:
    """The entry points of a group, of the first package of each name on the path.

    Args:
        group: of entry points.
        path: folders of packages; ``sys.path`` by default.
    """
    folders = [Path(entry or ".") for entry in dict.fromkeys(sys.path if path is None else path)]
    if path is None and not _are_all(folders):
        from importlib.metadata import entry_points

        return list(entry_points(group=group))
    records: dict[str, Path] = {}
    for folder in folders:
        for record in _records(folder):
            # The first package of a name on the path wins, as it does when it is imported.
            records.setdefault(_normalized(_identity(record)[0]), record)
    return [point for record in records.values() for point in _points(record, group)]


def _are_all(folders: list[Path]) -> bool:
    """Whether no package can be anywhere else: in a zip file, or where another finder of packages looks."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    plain = {"PathFinder", "_EditableFinder", "_EditableNamespaceFinder"}
    known = all(getattr(finder, "__name__", type(finder).__name__) in plain for finder in finders)
    return known and not any(folder.is_file() for folder in folders)


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
        lines = (record / "entry_points.txt").read_text("utf-8").splitlines()
    except OSError:
        return
    here = False
    for line in map(str.strip, lines):
        if line.startswith("["):
            here = line == f"[{group}]"
        elif here and (found := _POINT.match(line)) and not line.startswith(("#", ";")):
            name, module, attribute = found.groups()
            yield InstalledPoint(name, f"{module}:{attribute}" if attribute else module, *_identity(record))
