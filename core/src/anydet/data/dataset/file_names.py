"""Names of image files as annotation tools write them, resolved to the files of an image folder.

Label Studio and others write where a file was on their machine: ``../../media/upload/4/x.jpg`` with
backslashes, ``/data/images/1.jpg``, ``https://host/d/my%20cat.jpg``. The file is the one whose path ends
likewise.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from anydet.data.dataset.folder import find_images
from anydet.errors import AnydetWarning

_ODD = re.compile(r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)|%[0-9A-Fa-f]{2}|://")


def resolve(images_dir: Path, names: Sequence[str]) -> Mapping[str, str]:
    """The path below the folder of each name that is none itself, where one file alone ends likewise.

    Looks into the folder only where a name cannot be such a path, or the first one is not there. Warnings say
    how many were resolved, and how many were not, as several files would do.

    Args:
        images_dir: the image folder.
        names: unix slashes.
    """
    odd = [name for name in names if _ODD.search(name)]
    if names and not _is_file(images_dir, names[0]):
        odd = list(names)
    if not odd or not images_dir.is_dir():
        return {}
    files = list(find_images(images_dir))
    there, by_name = set(files), defaultdict[str, list[PurePosixPath]](list)
    for file in files:
        by_name[PurePosixPath(file).name].append(PurePosixPath(file))
    found: dict[str, str] = {}
    ambiguous: list[str] = []
    for name in odd:
        if name in there:
            continue
        ends = _ending_likewise(name, by_name)
        if len(ends) == 1:
            found[name] = str(ends[0])
        elif ends:
            ambiguous.append(name)
    _warn(images_dir, found, ambiguous)
    return found


def _ending_likewise(name: str, by_name: Mapping[str, list[PurePosixPath]]) -> list[PurePosixPath]:
    """The files that have most of a path's last parts in common with it, as it is or percent-decoded."""
    for text in dict.fromkeys((name, unquote(name))):
        parts = PurePosixPath(text.partition("?")[0] if "://" in text else text).parts
        candidates = by_name.get(parts[-1], []) if parts else []
        if not _ODD.search(name):
            # A plain path says which folder is meant: b/1.jpg is not a/1.jpg, and 1.png no mask in a folder.
            candidates = [file for file in candidates if parts[-len(file.parts) :] == file.parts]
        length = 2
        while len(candidates) > 1 and length <= len(parts):
            closer = [file for file in candidates if file.parts[-length:] == parts[-length:]]
            if not closer:
                break
            candidates, length = closer, length + 1
        if candidates:
            return candidates
    return []


def _is_file(folder: Path, name: str) -> bool:
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _warn(images_dir: Path, found: Mapping[str, str], ambiguous: Sequence[str]) -> None:
    if found:
        name = next(iter(found))
        warnings.warn(
            f"{images_dir}: {len(found)} file names are no paths in it and were found by how they end (the "
            f"first: {name!r} is {found[name]})",
            AnydetWarning,
            stacklevel=2,
        )
    if ambiguous:
        warnings.warn(
            f"{images_dir}: {len(ambiguous)} file names are no paths in it, and several files end likewise "
            f"(the first: {ambiguous[0]!r})",
            AnydetWarning,
            stacklevel=2,
        )
