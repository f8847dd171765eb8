"""Annotation files of Pascal VOC as a data set.

VOC's own files (Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge") count pixels
from 1 and include the last one. Tools that write VOC's form (labelImg, Roboflow, CVAT) state the edges of
boxes. The database that a file names tells the two apart. ``difficult`` objects count neither way, as
crowds do.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence, Set
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from anydet.data.dataset.folder import find_images, is_image
from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.locating import as_compared
from anydet.data.dataset.objects import Box, LabeledImage, LabeledObject, names_in, table_of
from anydet.data.dataset.splits import UNSPLIT
from anydet.data.dataset.table import TableDataset
from anydet.data.voc.layout import VocLayout
from anydet.data.voc.object_masks import with_masks
from anydet.data.xml import number_of, parse_xml, text_of
from anydet.data.yolo.data_yaml import read_names
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.inputs import read_text
from anydet.types import ClassTable, Polygons, Size

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_OWN_DATABASE = "The VOC"
_OBJECTS = "SegmentationObject"
_MASKS = {
    _OBJECTS: "in SegmentationObject, which are read where every image of a split has one (lists in "
    "ImageSets/Segmentation are splits: segmentation-val)",
    "SegmentationClass": "in SegmentationClass (in masks/<split>/ beside images/<split>/, with "
    "classes.txt, they are read as class masks)",
}
"""Folders of PNG files that VOC has beside ``Annotations``, and what is said of them."""
_COORDINATE = re.compile(r"([xy])(\d+)")


@dataclass(frozen=True, slots=True)
class _File:
    """Content of an annotation file: ``key`` is the name that it states, perhaps ""."""

    path: Path
    image: LabeledImage


def read_layout(opened: Path, layout: VocLayout, *, named: bool) -> TableDataset:
    """Open a split.

    Args:
        opened: what the user named.
        layout: where its files are.
        named: whether the user named the image folder.

    Raises:
        DatasetError: no file is an annotation, a list names nothing that is there, or two files are about one
            image.
    """
    if named and not layout.images.is_dir():
        raise DatasetError(f"{layout.images}: no such image folder", fix="check the path of the image folder")
    left_out = LeftOut()
    paths = [path for folder in layout.everything for path in _xml_files(folder)]
    files = left_out.read_files("XML file", paths, lambda path: _read(path, left_out))
    chosen = [one for one in files if one.path.parent == layout.annotations]
    unread = set(paths).difference(one.path for one in files)
    if not chosen and unread:
        # Nothing is left of this split: the error of its first file says why.
        _read(min(path for path in unread if path.parent == layout.annotations), left_out)
    stems = {path.stem for path in unread if path.parent == layout.annotations}
    if layout.listed is not None:
        chosen = _listed(layout.listed, chosen, stems, left_out)
    images = _with_keys(layout, chosen, left_out, stems)
    masks = _mask_files(layout, chosen)
    images = [
        with_masks(image, masks[one.path.stem], left_out) if one.path.stem in masks else image
        for image, one in zip(images, chosen, strict=True)
    ]
    _name_masks(layout, chosen, masks.values(), left_out)
    left_out.warn(opened)
    classes = _class_names(read_names(layout.root).classes, [one.image for one in files])
    source = _relative(layout.annotations, layout.root)
    return TableDataset(
        opened,
        layout.split.name,
        layout.split.note,
        f"{source}/*.xml" if source != "." else "*.xml",
        layout.images,
        replace(table_of(images, classes), oddities=left_out.faults),
        annotation_files=(*(one.path for one in chosen), *masks.values()),
    )


def read_file(path: Path, images: Path | None) -> TableDataset:
    """Open one annotation file."""
    folders = [path.parent.parent / name for name in ("JPEGImages", "images")]
    beside = next((folder for folder in folders if folder.is_dir()), path.parent)
    left_out = LeftOut()
    file = _read(path, left_out)
    layout = VocLayout(path.parent, UNSPLIT, path.parent, images or beside, None, ())
    rows = _with_keys(layout, [file], LeftOut())
    left_out.warn(path)
    return TableDataset(
        path,
        "",
        UNSPLIT.note,
        path.name,
        layout.images,
        replace(table_of(rows, names_in(rows)), oddities=left_out.faults),
        annotation_files=(path,),
    )


def _xml_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ".xml" and not p.name.startswith("."))


def _relative(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


def _listed(file: Path, files: Sequence[_File], unread: set[str], left_out: LeftOut) -> list[_File]:
    """The annotations of the images that a list names, in its order; ``unread`` are counted already."""
    try:
        ids = [line.split()[0] for line in read_text(file).splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise DatasetError(f"{file}: cannot be read: {exc}", fix="write one image a line") from exc
    by_stem = {one.path.stem: one for one in files}
    known = by_stem.keys() | unread
    for at, name in enumerate(ids):
        stem = Path(name).stem
        if name not in known and is_image(name) and stem in known:
            what = "that are listed with the suffix of an image file"
            left_out.add("images", what, f"{file}: {name}", fault=False, effect=f"read without it, as {stem}")
            ids[at] = stem
    found = [by_stem[name] for name in dict.fromkeys(ids) if name in by_stem]
    for name in ids:
        if name not in known:
            left_out.add("images", "that are listed and have no XML file", f"{file}: {name}")
    if not found:
        raise DatasetError(
            f"{file}: none of its {len(ids)} images has an XML file that can be read",
            fix="add the files, or correct the list",
        )
    return found


def _with_keys(
    layout: VocLayout, files: Sequence[_File], left_out: LeftOut, unread: Set[str] = frozenset()
) -> list[LabeledImage]:
    """Images with the names of their files: those called as the XML file, else as it says.

    Images called like one of the ``unread`` are counted already.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for key in find_images(layout.images) if layout.images.is_dir() else ():
        by_stem[Path(key).stem].append(key)
    by_spelling: dict[str, list[str]] = defaultdict(list)
    for stem, keys in by_stem.items():
        by_spelling[as_compared(stem)] += keys
    images: dict[str, LabeledImage] = {}
    for file in files:
        stated = file.image.key
        same = sorted(by_stem.get(file.path.stem, ()))
        other = [key for key in by_stem.get(Path(stated).stem, ()) if key.rpartition("/")[2] == stated]
        exact = [key for key in same if key.rpartition("/")[2] == stated]
        if not same and not other:
            # As systems that do not tell case apart let it pass, or with %20 for a space.
            stems = map(as_compared, (file.path.stem, Path(unquote(stated)).stem))
            other = next((keys for one in stems if len(keys := by_spelling.get(one, [])) == 1), [])
            for alike in other:
                what = f"{file.path} (stated {stated!r}): {alike}"
                reason = "that are not called quite like their files"
                left_out.add("images", reason, what, fault=False, effect="these files are taken")
        # Files that were renamed keep the old name inside; VOC's lists go by the name of the XML file.
        fallback = file.path.stem + (Path(stated).suffix or ".jpg")
        key = next(iter(exact or same or other), fallback)
        if key in images:
            raise DatasetError(
                f"{file.path}: about image {key}, as another file", fix="remove one of the two files"
            )
        images[key] = LabeledImage(key, file.image.size_wh, file.image.objects)
    if layout.listed is None and any(images.keys() & set(keys) for keys in by_stem.values()):
        for key in sorted(
            key for stem, keys in by_stem.items() for key in keys if key not in images and stem not in unread
        ):
            left_out.add("images", "without an XML file", key, fault=False)
    return list(images.values())


def _mask_files(layout: VocLayout, files: Sequence[_File]) -> dict[str, Path]:
    """Stem -> file of ``SegmentationObject``, where every image that has objects has one; else none."""
    there = {path.stem: path for path in (layout.annotations.parent / _OBJECTS).glob("*.png")}
    stems = {one.path.stem for one in files if one.image.objects}
    return {stem: there[stem] for stem in sorted(stems)} if stems <= there.keys() else {}


def _name_masks(layout: VocLayout, files: Sequence[_File], read: Collection[Path], left_out: LeftOut) -> None:
    """Count the masks of the images that are not read: boxes are labels without them."""
    stems = {one.path.stem for one in files}
    for name, reason in _MASKS.items():
        for path in sorted((layout.annotations.parent / name).glob("*.png")):
            if path.stem in stems and path not in read:
                left_out.add("masks", reason, f"{name}/{path.name}", fault=False)


def _class_names(listed: ClassTable | None, images: Sequence[LabeledImage]) -> tuple[str, ...]:
    """Names of ``classes.txt`` and the like where there are any, then the others, sorted."""
    first = listed.names if listed else ()
    return (*first, *(name for name in names_in(images) if name not in first))


def _read(path: Path, left_out: LeftOut) -> _File:
    root = parse_xml(path)
    if root.tag != "annotation":
        raise DatasetError(
            f"{path}: its root element is {root.tag!r}, not 'annotation'", fix="move it out of the folder"
        )
    own = (root.findtext("source/database") or "").strip().startswith(_OWN_DATABASE)
    objects = [
        one
        for number, element in enumerate(root.findall("object"), 1)
        if (one := _object(path, number, element, own, left_out)) is not None
    ]
    filename = text_of(root, "filename").replace("\\", "/").rpartition("/")[2]
    return _File(path, LabeledImage(filename, _size(root), objects))


def _size(root: Element) -> Size | None:
    sides = [number_of(root.findtext(f"size/{tag}")) for tag in ("width", "height")]
    # labelImg writes 0 where it did not know.
    return (int(sides[0]), int(sides[1])) if sides[0] and sides[1] and min(sides[0], sides[1]) >= 1 else None


def _object(path: Path, number: int, element: Element, own: bool, left_out: LeftOut) -> LabeledObject | None:
    where = f"{path}: object {number}"
    name = text_of(element, "name")
    box = _box(element, own)
    if not name:
        left_out.add("objects", "without a name", where)
    elif box is None:
        left_out.add("objects", "without a bndbox of xmin, ymin, xmax and ymax", f"{where} ({name})")
    elif min(box[2:]) < 0:
        left_out.add("objects", "with xmax below xmin, or ymax below ymin", f"{where} ({name})")
    else:
        difficult = text_of(element, "difficult").lower() in {"1", "true"}
        return LabeledObject(name, box, crowd=difficult, segmentation=_polygon(element))
    return None


def _box(element: Element, own: bool) -> Box | None:
    """x, y, width, height; ``None`` where a number is missing."""
    x1, y1, x2, y2 = (number_of(element.findtext(f"bndbox/{edge}")) for edge in _EDGES)
    if x1 is None or y1 is None or x2 is None or y2 is None:
        return None
    first = 1.0 if own else 0.0
    return x1 - first, y1 - first, x2 - x1 + first, y2 - y1 + first


def _polygon(element: Element) -> Polygons | None:
    """Roboflow's ``<polygon><x1>..</x1><y1>..</y1><x2>...``; ``None`` where there is none of 3 points."""
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for child in element.find("polygon") or ():
        match, value = _COORDINATE.fullmatch(child.tag), number_of(child.text)
        if match and value is not None:
            found[int(match[2])][match[1]] = value
    points = [found[i] for i in sorted(found) if len(found[i]) == 2]
    return (tuple(v for point in points for v in (point["x"], point["y"])),) if len(points) > 2 else None
