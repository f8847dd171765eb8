"""Files beside images that look like labels and that nobody reads: they are named, never passed over."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from anydet.data.dataset.oddities import Found, Kind, Oddity
from anydet.data.record.pixels import SUFFIXES
from anydet.dataclass import dataclass
from anydet.inputs import open_file

DESCRIPTION = "corruption.json"
"""What corruptions leave beside images: no labels."""
_CHECK = "labels that are not read"
_UNREAD = "the images are read without labels"
_NESTED = Kind(_CHECK, "data sets in folders below", _UNREAD, "")
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
    fix="if they are YOLO labels: put them into labels/, the images into images/ beside it, and a name a "
    "line into classes.txt beside both; write others as COCO or YOLO",
)
_JSON = Kind(
    _CHECK,
    "JSON files that look like labels",
    _UNREAD,
    "",
    fix="give the file itself as the data set, where it is a COCO annotations file; write others as COCO",
)
_VIA = Kind(
    _CHECK,
    "files of the VGG Image Annotator",
    _UNREAD,
    "",
    fix="export them there as COCO (Annotation > Export Annotations), and give that file as the data set",
)
_LABELME = Kind(
    _CHECK, "JSON files of Labelme", _UNREAD, "", fix="give the folder that they are in as the data set"
)
_CREATE_ML = Kind(
    _CHECK,
    "JSON files of Create ML",
    _UNREAD,
    "",
    fix="export the data set as COCO or YOLO where it came from (Roboflow has both), or write boxes as COCO: "
    "x and y of Create ML are centers in pixels",
)
_POLYGONS = Kind(
    _CHECK,
    "polygons of Cityscapes (gtFine, gtCoarse)",
    _UNREAD,
    "",
    fix="write them as COCO, and give that file as the data set",
)
_KITTI = Kind(
    _CHECK,
    "label files of KITTI",
    _UNREAD,
    "",
    fix="write them as COCO or YOLO: columns 1 and 5 to 8 are class, left, top, right and bottom in pixels",
)
_MOT = Kind(
    _CHECK,
    "ground truth of MOTChallenge",
    _UNREAD,
    "",
    fix="write it as COCO: columns 1 and 3 to 6 are frame, left, top, width and height in pixels",
)
_WIDER = Kind(
    _CHECK,
    "boxes of WIDER FACE",
    _UNREAD,
    "",
    fix="write them as COCO: a name, a count and a line for each box with left, top, width and height",
)
_LINES = Kind(
    _CHECK,
    "JSON Lines that look like labels",
    _UNREAD,
    "",
    fix="write boxes as COCO or YOLO, or as metadata.jsonl of Hugging Face with file_name and objects of "
    "bbox and categories",
)
_YAML = Kind(
    _CHECK,
    "YAML files that look like the description of a data set",
    _UNREAD,
    "",
    fix="give the file itself as the data set",
)
_YAML_AFTER_TEXT = (
    "put the text files where it looks for labels, in labels/ beside images/; then give the file itself"
)
"""Of a YAML file beside text files that are named like the images: by itself it does not lead to them."""
_TABLE = Kind(
    _CHECK,
    "tables that look like labels",
    _UNREAD,
    "",
    fix="write them as COCO or YOLO, and give that; tools that wrote them export COCO, too",
)
_CLASSES = Kind(
    _CHECK,
    "tables of the classes of whole images",
    "they have no boxes, and " + _UNREAD,
    "",
    fix="export the data set for object detection, as COCO or YOLO",
)
_BINARY = Kind(
    _CHECK,
    "files of a format that is not read (TFRecord, Parquet, Arrow, MATLAB)",
    _UNREAD,
    "",
    fix="write their labels as COCO or YOLO, and give that; tools that wrote them export COCO, too",
)
_MASKS = Kind(
    _CHECK,
    "files that look like masks of the images",
    "they are no images of the data set, and " + _UNREAD,
    "",
    fix="write them as PNG with a class number in each pixel (255 for none) into masks/<split>/ beside "
    "images/<split>/, with classes.txt, and give the folder of both",
)
_FOLDERS = frozenset({"annotations", "labels", "xml", "xmls", "bbox", "ann"})
_MASK_FOLDERS = re.compile(
    r"(?i)(.*[_ -])?(seg.*mask.*|masks?|segmentation(class|object)?(raw|aug)?|gt(fine|coarse)?|ground_?truth"
    r"|labels?|annotations|(train|val|test)annot)([_ -].*)?$"
)
_CITYSCAPES = re.compile(r"^(.+)_gt(?:Fine|Coarse)_\w+\.png$")
_CITYSCAPES_JSON = re.compile(r"^.+_gt(Fine|Coarse)_polygons\.json$")
_PHOTO_END = "_leftImg8bit"
"""Of Cityscapes, which calls a photograph ``a_leftImg8bit.png`` and a mask ``a_gtFine_labelIds.png``."""
_MASK_NAME = re.compile(r"(?i)^(.+)[_.-](masks?|seg|labels?|gt)\.[a-z]+$")
_JSON_HEAD = re.compile(
    rb'"(images|annotations|categories|licenses|shapes|imagePath|_via_[a-z_]*|shape_attributes|objects|box2d)"'
)
_VIA_HEAD = re.compile(rb"_via_|shape_attributes")
_LABELME_HEAD = re.compile(rb'"(shapes|imagePath)"')
_CREATE_ML_HEAD = re.compile(rb'"coordinates"\s*:\s*\{\s*"(x|y|width|height)"')
_KITTI_HEAD = re.compile(rb"(?m)^[A-Za-z_]+ -?\d+(\.\d+)? -?\d( -?\d+(\.\d+)?){12,13}\s*$")
_CALIBRATION_HEAD = re.compile(rb"^P0:")
"""Matrices of KITTI, a file for each image, too."""
_LINES_HEAD = re.compile(rb'"(file_name|gtboxes|image|image_id|images?_?path|external_id|data_row)"')
_YAML_HEAD = re.compile(rb"(?m)^(train|val|test|names|nc)[ \t]*:")
_TABLE_HEAD = re.compile(
    rb"(?i)(x_?min|bbox|class_?(id|name)|\bx1\b|(rectangle|polygon)labels|encodedpixels|region_shape_attributes)"
)
_LISTED_BOXES = re.compile(rb"(?i)\.(jpe?g|png|bmp|tiff?|webp)([ ,\t]+-?\d+[ ,]|\r?\n\d+\r?\n\d)")
_ANNOTATION = re.compile(rb"<annotation")
_ROWS = re.compile(rb"(?m)^-?\d+([ ,\t]+-?\d+(\.\d*)?){4,}")
"""Lines of numbers, as tracking and detection challenges have them."""
_TABLE_NAME = re.compile(r"(?i)(_?annotations?|metadata|labels?|bbox(es)?|train|val|test|gt)\.(csv|tsv|txt)$")
_PIXEL_VALUES = re.compile(rb"(?i)^pixel value")
"""Names of the values of masks, which Roboflow calls ``_classes.csv``, too."""
_CLASSES_NAME = re.compile(r"(?i)_classes\.csv$")
_BINARY_NAME = re.compile(
    r"(?i)(\.(tfrecords?|record|arrow|mat)(-\d+-of-\d+)?|(-\d+-of-\d+(-\w+)?|metadata|annotations?|labels?)\.parquet)$"
)
_NAMED = 3
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


def look_for_labels(root: Path, keys: Sequence[str], nested: Sequence[Path] = (), within: str = "") -> Looked:
    """Look over the names of all files below a folder, and into few of them.

    Args:
        root: the folder that was named.
        keys: image files there.
        nested: folders below that are data sets, whose files are theirs.
        within: folder below ``root`` that the keys are relative to, with a slash behind it.
    """
    masks = _masks(keys)
    images = tuple(key for key in keys if key not in masks)
    found = Found()
    if nested:
        folders = " or ".join(map(str, nested[:_NAMED]))
        below = replace(_NESTED, fix=f"name the folder of one as the data set: {folders}")
        for folder in nested:
            found.add(below, folder.relative_to(root).as_posix())
    inner = tuple(f"{folder.relative_to(root).as_posix()}/" for folder in nested)
    names, known_masks = {within + key for key in images}, {within + key for key in masks}
    stems = {PurePosixPath(key).stem.casefold() for key in images}
    for name in sorted(set(_others(root)) - {DESCRIPTION} - names):
        if name.startswith(inner):
            continue
        kind = _MASKS if name in known_masks else _look(root / name, PurePosixPath(name), stems)
        if kind is not None:
            found.add(kind, name)
    return Looked(images, _in_turn(found.listed()))


def _in_turn(oddities: Sequence[Oddity]) -> tuple[Oddity, ...]:
    """The same, where text files have to be moved before a YAML file finds them."""
    if _TEXT.what not in {one.what for one in oddities}:
        return tuple(oddities)
    return tuple(replace(one, fix=_YAML_AFTER_TEXT) if one.what == _YAML.what else one for one in oddities)


def _look(file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    """The kind of labels that a file seems to hold."""
    if _BINARY_NAME.search(path.name):
        return _BINARY
    look = _LOOKS.get(path.suffix.lower())
    return look(file, path, stems) if look else None


def _masks(keys: Sequence[str]) -> set[str]:
    """Keys of files that are masks: beside an image, or in a folder of masks with one elsewhere."""
    paths = [PurePosixPath(key) for key in keys]
    inside = {path for path in paths if _in_mask_folder(path)}
    photos = {path.stem.removesuffix(_PHOTO_END) for path in paths if path not in inside}
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
    found = _CITYSCAPES.match(name) or _MASK_NAME.match(name)
    return found[1] if found else None


def _mask(_file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    """An image file that is none of the data set's images."""
    bare = _bare(path.name)
    named = (_in_mask_folder(path) and path.stem.casefold() in stems) or (bare or "").casefold() in stems
    return _MASKS if named else None


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
    stem = path.stem.casefold()
    if _begins(file, _KITTI_HEAD):
        return _KITTI
    if _begins(file, _CALIBRATION_HEAD):
        return None
    if {stem, stem.removeprefix("gt_"), (_bare(path.name) or "").casefold()} & stems:
        return _TEXT
    if _TABLE_NAME.match(path.name) and _begins(file, _ROWS):
        return _MOT if path.parts[-2:] == ("gt", "gt.txt") else _TABLE
    if _begins(file, _LISTED_BOXES):
        return _WIDER if path.stem.endswith("_bbx_gt") else _TABLE
    return None


def _json(file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    named = (
        path.stem.casefold() in stems
        or path.parent.name.lower() in _FOLDERS
        or path.name.endswith(".coco.json")
        or PurePosixPath(path.name.split("___")[0]).stem.casefold()
        in stems  # 1.jpg___objects.json: SuperAnnotate
    )
    if _begins(file, _CREATE_ML_HEAD):
        return _CREATE_ML
    if _CITYSCAPES_JSON.match(path.name):
        return _POLYGONS
    if not named and not _begins(file, _JSON_HEAD):
        return None
    return _VIA if _begins(file, _VIA_HEAD) else _LABELME if _begins(file, _LABELME_HEAD) else _JSON


def _lines(file: Path, path: PurePosixPath, _stems: set[str]) -> Kind | None:
    return _LINES if path.name == "metadata.jsonl" or _begins(file, _LINES_HEAD) else None


def _yaml(file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    return _YAML if _begins(file, _YAML_HEAD) else None


def _table(file: Path, path: PurePosixPath, stems: set[str]) -> Kind | None:
    if _CLASSES_NAME.search(path.name):
        return None if _begins(file, _PIXEL_VALUES) else _CLASSES
    if not _TABLE_NAME.match(path.name) and not _begins(file, _TABLE_HEAD):
        return None
    return _VIA if _begins(file, _VIA_HEAD) else _TABLE


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
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".odgt": _lines,
    ".geojson": _json,
    ".csv": _table,
    ".tsv": _table,
    **dict.fromkeys((*SUFFIXES, ".gif", ".npy"), _mask),
}
