"""Files beside images that look like labels and that nobody reads: they are named, never passed over."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from anydet.data.dataset.oddities import Found, Kind, Oddity
from anydet.dataclass import dataclass
from anydet.inputs import open_file

DESCRIPTION = "corruption.json"
"""What corruptions leave beside images: no labels."""
_CHECK = "labels that are not read"
_UNREAD = "the images are read without labels"
_XML = Kind(
    _CHECK,
    "XML files that look like labels",
    _UNREAD,
    "",
    fix="write them as COCO, YOLO or Pascal VOC, or give a folder in the layout of their format",
)
_TEXT = Kind(
    _CHECK,
    "text files named like the images",
    _UNREAD,
    "",
    fix="if they are YOLO labels: write a name a line into classes.txt beside them",
)
_JSON = Kind(
    _CHECK,
    "JSON files that look like labels",
    _UNREAD,
    "",
    fix="give the file itself as the data set, where it is a COCO annotations file",
)
_YAML = Kind(
    _CHECK,
    "YAML files that look like the description of a data set",
    _UNREAD,
    "",
    fix="give the file itself as the data set",
)
_TABLE = Kind(
    _CHECK, "tables that look like labels", _UNREAD, "", fix="write them as COCO or YOLO, and give that"
)
_MASKS = Kind(
    _CHECK,
    "PNG files that look like masks of the images",
    "they are no images of the data set, and " + _UNREAD,
    "",
    fix="put them into masks/<split>/ beside images/<split>/, with classes.txt, and give the folder of both",
)
_FOLDERS = frozenset({"annotations", "labels", "xml", "xmls", "bbox", "ann"})
_MASK_FOLDERS = re.compile(
    r"(?i)(seg.*mask.*|masks?|segmentation(class|object)?(raw)?|gt|ground_?truth|labels|annotations)$"
)
_MASK_NAME = re.compile(r"(?i)^(.+)[_.-](mask|seg|labels?|gt)\.png$")
_JSON_HEAD = re.compile(
    rb'"(images|annotations|categories|licenses|shapes|imagePath|_via_img_metadata|objects)"'
)
_YAML_HEAD = re.compile(rb"(?m)^(train|val|test|names|nc)[ \t]*:")
_TABLE_HEAD = re.compile(rb"(?i)(xmin|x_min|bbox|class_?(id|name))")
_LISTED_BOXES = re.compile(rb"(?i)\.(jpe?g|png|bmp|tiff?|webp)[ ,\t]+\d")
_ANNOTATION = re.compile(rb"<annotation")
_TABLE_NAME = re.compile(r"(?i)(_?annotations?|labels?|bbox(es)?|train|val|test|gt)\.(csv|tsv|txt)$")
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Looked:
    """What a folder of images holds beside them.

    Attributes:
        keys: the images, without what looks like masks of them.
        oddities: files that look like labels.
    """

    keys: tuple[str, ...]
    oddities: tuple[Oddity, ...]


def look_for_labels(root: Path, keys: Sequence[str]) -> Looked:
    """Look over the names of all files below a folder, and into few of them.

    Args:
        root: the folder that was named.
        keys: image files there.
    """
    masks = _masks(keys)
    images = tuple(key for key in keys if key not in masks)
    found = Found()
    for key in sorted(masks):
        found.add(_MASKS, key)
    stems = {PurePosixPath(key).stem.casefold() for key in images}
    for name in sorted(set(_others(root)) - {DESCRIPTION}):
        path = PurePosixPath(name)
        look = _LOOKS.get(path.suffix.lower())
        kind = look(root / name, path, stems) if look else None
        if kind is not None:
            found.add(kind, name)
    return Looked(images, found.listed())


def _masks(keys: Sequence[str]) -> set[str]:
    """Keys of PNG files that are masks: beside an image, or in a folder of masks with one elsewhere."""
    paths = [PurePosixPath(key) for key in keys]
    inside = {path for path in paths if path.suffix.lower() == ".png" and _in_mask_folder(path)}
    photos = {path.stem for path in paths if path not in inside}
    found = {str(path) for path in inside if path.stem in photos or _bare(path.name) in photos}
    beside = {str(path.with_suffix("")) for path in paths} | set(keys)
    for path in paths:
        bare = _bare(path.name)
        if bare is not None and str(path.with_name(bare)) in beside:
            found.add(str(path))
    return found


def _in_mask_folder(path: PurePosixPath) -> bool:
    return any(_MASK_FOLDERS.match(part) for part in path.parts[:-1])


def _bare(name: str) -> str | None:
    """``a`` of ``a_mask.png``."""
    found = _MASK_NAME.match(name)
    return found[1] if found else None


def _others(root: Path) -> Iterator[str]:
    """Unix-slash paths of files below, hidden ones left out."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inner = Path(folder).relative_to(root).as_posix()
        prefix = "" if inner == "." else f"{inner}/"
        for name in files:
            if not name.startswith("."):
                yield prefix + name


def _xml(file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    named = path.stem.casefold() in stems or path.parent.name.lower() in _FOLDERS
    return _XML if named or _begins(file, _ANNOTATION) else None


def _text(file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    if path.stem.casefold() in stems:
        return _TEXT
    return _TABLE if _TABLE_NAME.match(path.name) and _begins(file, _LISTED_BOXES) else None


def _json(file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    named = (
        path.stem.casefold() in stems
        or path.parent.name.lower() in _FOLDERS
        or path.name.endswith(".coco.json")
    )
    return _JSON if named or _begins(file, _JSON_HEAD) else None


def _yaml(file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    return _YAML if _begins(file, _YAML_HEAD) else None


def _table(file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    return _TABLE if _TABLE_NAME.match(path.name) or _begins(file, _TABLE_HEAD) else None


def _begins(file: Path, pattern: re.Pattern[bytes]) -> bool:
    """Whether the beginning of a file has this."""
    try:
        with open_file(file) as opened:
            return pattern.search(opened.read(_HEAD)) is not None
    except OSError:
        return False


_LOOKS: dict[str, Callable[[Path, PurePosixPath, set[str]], Kind | None]] = {
    ".xml": _xml,
    ".txt": _text,
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".csv": _table,
    ".tsv": _table,
}
