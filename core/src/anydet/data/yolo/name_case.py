"""Label files whose name differs from that of their image in case alone: ``A.JPG`` with ``a.txt``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import Path
from types import MappingProxyType

from anydet.data.dataset.oddities import Found, Kind, Oddity
from anydet.dataclass import dataclass

RENAMED = Kind(
    "case of label files",
    "label files whose name differs from their image's in upper and lower case",
    "read as the image's, which other tools do not where case counts",
    "named like their image",
)
MOVED = Kind(
    "case of label files",
    "label files in a folder that is called labels in other upper and lower case, or beside such images",
    "read as those of the images, which other tools do not where case counts",
    "in a folder called labels",
)
UNCLEAR = Kind(
    "case of label files",
    "label files whose name is that of an image in other upper and lower case, where it is not the only fit",
    "not read",
    "left out",
    fix="name each label file exactly like its image",
)


@dataclass(frozen=True, slots=True)
class OtherCase:
    """Label files that are not where the name of their image puts them.

    Attributes:
        taken: path that the name of an image gives -> the file there, which differs in case.
        renamed: those of ``taken`` that differ not in the suffix alone.
        unclear: files that are not read, because another one or another image fits as well.
        moved: those of ``taken`` whose folder is written in another case.
        missing: paths that the names of images give, where there is no file in any case.
        elsewhere: what other folders hold of those, which is not read.
    """

    taken: Mapping[Path, Path]
    renamed: tuple[Path, ...]
    unclear: tuple[Path, ...]
    moved: tuple[Path, ...] = ()
    missing: Set[Path] = frozenset()
    elsewhere: tuple[Oddity, ...] = ()

    def add_to(self, found: Found) -> None:
        """Count what differs in case."""
        for kind, files in ((RENAMED, self.renamed), (UNCLEAR, self.unclear), (MOVED, self.moved)):
            for file in files:
                found.add(kind, str(file))

    def oddities(self) -> tuple[Oddity, ...]:
        """All kinds."""
        found = Found()
        self.add_to(found)
        return (*found.listed(), *self.elsewhere)


def find_other_case(
    expected: Iterable[Path], other_folders: Mapping[Path, Path] = MappingProxyType({})
) -> OtherCase:
    """Look for the label files of images, in any case, in the folders where they should be.

    Args:
        expected: paths that the names of the images give.
        other_folders: folder of such paths -> one whose name differs in case, where labels may be, too.
    """
    folders: dict[Path, set[str]] = defaultdict(set)
    for path in expected:
        folders[path.parent].add(path.name)
    taken: dict[Path, Path] = {}
    missing: set[Path] = set()
    renamed, unclear, moved = list[Path](), list[Path](), list[Path]()
    for folder, names in folders.items():
        there = {file.name for file in text_files(folder)}
        spare = there - names
        same_stem = _pairs(names - there, spare, _stem)
        # A file with the very stem of an image is of no other image.
        stems = set(map(_stem, names))
        others = {name for name in spare if _stem(name) not in stems}
        same_folded = _pairs(names - there - same_stem.keys(), others, str.casefold)
        pairs = same_stem | same_folded
        taken |= {folder / name: folder / file for name, file in pairs.items()}
        renamed += [folder / file for file in sorted(same_folded.values())]
        folded = set(map(str.casefold, names))
        left = sorted(name for name in spare - set(pairs.values()) if name.casefold() in folded)
        unclear += [folder / name for name in left]
        if other := other_folders.get(folder):
            files = _find_names(names - there - pairs.keys(), {file.name for file in text_files(other)})
            taken |= {folder / name: other / file for name, file in files.items()}
            moved += [other / file for file in sorted(files.values())]
        missing |= {folder / name for name in names - there}
    return OtherCase(taken, tuple(renamed), tuple(unclear), tuple(moved), missing - taken.keys())


def _find_names(wanted: set[str], there: set[str]) -> dict[str, str]:
    """Names and files called so, else in another case."""
    same = {name: name for name in wanted & there}
    return same | _pairs(wanted - there, there - wanted, str.casefold)


def text_files(folder: Path) -> list[Path]:
    """Files ``*.txt`` of a folder, whatever the case of the suffix, by name; none where there is none."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() == ".txt")


def _stem(name: str) -> str:
    return name[: -len(".txt")]


def _pairs(wanted: set[str], there: set[str], key: Callable[[str], str]) -> dict[str, str]:
    """Names and files of the same key, where there is one of each."""
    files = {key(name): name for name in there}
    once = {one for one, count in Counter(map(key, there)).items() if count == 1}
    once &= {one for one, count in Counter(map(key, wanted)).items() if count == 1}
    return {name: files[key(name)] for name in sorted(wanted) if key(name) in once}
