"""Images whose files are not where their annotations say: names that tools write are resolved by their tail.

Annotation tools name images by paths of the machine that they ran on (``C:\\data\\1.jpg``), by addresses
(``/data/upload/4/1.jpg``, ``https://.../my%20cat.jpg``) or below another folder. The file with the longest
equal end of the path is meant, where there is one alone.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from anydet.data.dataset.table import ImageTable
from anydet.errors import AnydetWarning
from anydet.text import counted

_FOREIGN = re.compile(r"^/|^[A-Za-z]:/|^[a-z][a-z0-9+.-]*:/|%[0-9A-Fa-f]{2}|(^|/)\.\.?(/|$)|[?&]d=")
"""What no path below an image folder needs: a root, a drive, an address, escapes, ``..``."""
_SIGNS = ("\n/", ":", "%", "..", "/./", "\n./", "d=")
"""One of them is in every name that ``_FOREIGN`` finds, each after a line break."""
_HASH = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio writes before the name of an uploaded file."""


def locate_images(table: ImageTable, folder: Path, *, named: bool) -> ImageTable:
    """The table with the keys of image files for names that lead to none.

    Args:
        table: annotations.
        folder: image folder.
        named: whether the user named the folder. Then all names are looked for if the first is not there;
            else only those that can be no path in the folder, and those that differ from a file's in case or
            white space.
    """
    keys = table.files or table.keys
    if not keys or not folder.is_dir():
        return table
    # Of a hundred thousand names, searching each would take longer than reading the file that they are in.
    text = "\n" + "\n".join(keys)
    foreign = any(sign in text for sign in _SIGNS)
    lost = [key for key in keys if _FOREIGN.search(key)] if foreign else []
    if named and not _is_there(folder, keys[0]):
        lost = [key for key in keys if not _is_there(folder, key)]
    found, ambiguous = _resolve(lost, folder, set(keys).difference(lost)) if lost else ({}, [])
    found |= _beside(folder, [key for key in keys if key not in found] if found else keys)
    if ambiguous:
        warnings.warn(
            f"{folder}: {counted(len(ambiguous), 'file name')} may be several files, which end likewise (the "
            f"first: {ambiguous[0]!r})",
            AnydetWarning,
            stacklevel=2,
        )
    if not found:
        return table
    _warn_of_spelling(folder, found)
    located = tuple(found.get(key, key) for key in keys)
    if table.files is not None:
        return replace(table, files=located)
    return replace(table, keys=located, stated_keys=keys)


def find_by_end(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Path -> image below a folder that alone has the longest equal end, of paths of another machine.

    A warning says how many are found so.
    """
    names = {str(path): path for path in paths}
    found, _ = _resolve(list(names), folder, set())
    if found:
        name, file = next(iter(found.items()))
        warnings.warn(
            f"{folder}: images that are found by how their paths end: {len(found)} (the first: {name!r} is "
            f"{file!r})",
            AnydetWarning,
            stacklevel=3,
        )
    return {names[name]: folder / file for name, file in found.items()}


def as_compared(name: str) -> str:
    """A file name without what not all file systems tell apart: case, and white space at its ends."""
    return name.strip().casefold()


def _warn_of_spelling(folder: Path, found: Mapping[str, str]) -> None:
    """Say which names differ from their files in case or white space: elsewhere these are other files."""
    others = [
        (name, file)
        for name, file in found.items()
        if not any(parts[-1] == file.rpartition("/")[2] for parts in _spellings(name))
    ]
    if others:
        name, file = others[0]
        warnings.warn(
            f"{folder}: file names that differ in case or white space from the files that are taken: "
            f"{len(others)} (the first: {name!r} is {file!r})",
            AnydetWarning,
            stacklevel=3,
        )


def _beside(folder: Path, keys: Sequence[str]) -> dict[str, str]:
    """Name -> key of the file in its folder that alone is spelled alike, of names that are not there."""
    names: dict[str, set[str]] = defaultdict(set)
    names[""].update(keys)
    for key in [key for key in keys if "/" in key]:
        parent, slash, name = key.rpartition("/")
        names[""].discard(key)
        names[parent + slash].add(name)
    found: dict[str, str] = {}
    for prefix, wanted in names.items():
        there = _files_in(folder, prefix)
        lost, spare = wanted - there, there - wanted
        if lost and spare:
            by_spelling = _once(spare)
            same = {name: by_spelling.get(spelling) for spelling, name in _once(lost).items()}
            found |= {prefix + name: prefix + file for name, file in same.items() if file is not None}
    return found


def _files_in(folder: Path, prefix: str) -> set[str]:
    # What leads outside is not looked at.
    if _FOREIGN.search(prefix):
        return set()
    try:
        return set(os.listdir(folder / prefix))  # noqa: PTH208 - a fifth of the time
    except (OSError, ValueError):
        return set()


def _once(names: set[str]) -> dict[str, str]:
    """Spelling -> name, where one name alone is spelled so."""
    often = Counter(map(as_compared, names))
    return {as_compared(name): name for name in names if often[as_compared(name)] == 1}


def _resolve(names: Sequence[str], folder: Path, taken: set[str]) -> tuple[dict[str, str], list[str]]:
    """Name -> key of the file that alone is meant, and by no other name; names that may be several files."""
    from anydet.data.dataset.folder import find_images

    files = list(find_images(folder))
    matched: dict[str, list[str]] = {}
    for compared in (str, as_compared):
        by_name: dict[str, list[str]] = defaultdict(list)
        for key in files:
            by_name[compared(key.rpartition("/")[2])].append(key)
        matched |= {name: _matches(name, by_name, compared) for name in names if not matched.get(name)}
    often = Counter(keys[0] for keys in matched.values() if len(keys) == 1)
    found = {
        name: keys[0]
        for name, keys in matched.items()
        if len(keys) == 1 and often[keys[0]] == 1 and keys[0] not in taken
    }
    return found, [name for name, keys in matched.items() if keys and name not in found]


def _matches(name: str, by_name: Mapping[str, Sequence[str]], compared: Callable[[str], str]) -> list[str]:
    """Keys of the files with the longest equal end, of names as they are ``compared``."""
    for given in _spellings(name):
        parts = list(map(compared, given))
        candidates = by_name.get(parts[-1], ())
        if not _FOREIGN.search(name):
            # A plain path says which folder is meant: b/1.jpg is not a/1.jpg.
            candidates = [key for key in candidates if f"/{compared(name)}".endswith(f"/{compared(key)}")]
        lengths = [_common_end(parts, list(map(compared, key.split("/")))) for key in candidates]
        if lengths:
            return [key for key, length in zip(candidates, lengths, strict=True) if length == max(lengths)]
    return []


def _spellings(name: str) -> Iterator[list[str]]:
    """Parts of the path that a name may mean, the most literal one first."""
    from urllib.parse import parse_qs, unquote, urlsplit

    plain = name.replace("\\", "/")
    address = urlsplit(plain) if "://" in plain or "?" in plain else None
    paths = [plain]
    if address is not None:
        # Label Studio's local files: /data/local-files/?d=folder/1.jpg
        paths = [*parse_qs(address.query).get("d", []), address.path, plain]
    for path in (*paths, *map(unquote, paths)):
        parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
        if parts:
            yield parts
            if _HASH.match(parts[-1]):
                yield [*parts[:-1], _HASH.sub("", parts[-1])]


def _common_end(left: Sequence[str], right: Sequence[str]) -> int:
    length = 0
    for one, other in zip(reversed(left), reversed(right), strict=False):
        if one != other:
            break
        length += 1
    return length


def _is_there(folder: Path, name: str) -> bool:
    try:
        return not _FOREIGN.search(name) and (folder / name).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
