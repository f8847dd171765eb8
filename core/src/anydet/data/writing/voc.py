"""Write any ``Dataset`` as Pascal VOC: images, an XML file for each, and the list of the split."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.data.writing.images import (
    Report,
    check_split,
    named_classes,
    require_own_places,
    write_images,
)
from anydet.data.writing.splits import split_folder
from anydet.data.yolo.data_yaml import read_name_list
from anydet.types import Labels


def write_voc(
    dataset: Dataset, root: Path, split: str = "val", *, copy: bool = False, report: Report | None = None
) -> None:
    """``Annotations/*.xml``, ``JPEGImages/``, ``ImageSets/Main/<split>.txt`` and ``classes.txt``.

    Boxes are edges in pixels, as labelImg writes them; crowds are ``difficult``. Folders within keys become
    parts of the names, as VOC has none.

    Args:
        dataset: what to write.
        root: new or empty folder, or one that was written so and lacks this split and its images.
        split: name of the split.
        copy: copy image files byte for byte instead of writing pixels as PNG.
        report: called with 1 after each image.

    Raises:
        OptionError: ``root`` is a folder of something else, of other classes, or has the split or an image.
        DatasetError: two images would need the same XML file, or the data set has no class names.
    """
    names = named_classes(dataset).names
    check_split(split)
    require_own_places([flat_name(key) for key in dataset.keys], ".xml")
    stems: list[str] = []
    files = [PurePosixPath(flat_name(key)) for key in dataset.keys]
    parts = [
        *(f"Annotations/{name.stem}.xml" for name in files),
        *(f"JPEGImages/{name}" for name in files),
        f"ImageSets/Main/{split}.txt",
    ]
    there = partial(_names_there, root)
    with split_folder(root, parts, names, there, common=("classes.txt",)) as folder:
        annotations, lists = folder / "Annotations", folder / "ImageSets" / "Main"
        annotations.mkdir()
        lists.mkdir(parents=True)
        for record in write_images(dataset, folder / "JPEGImages", report, copy, name=flat_name):
            name = PurePosixPath(flat_name(record.key))
            stems.append(name.stem)
            document = _document(record, name.name, names)
            (annotations / f"{name.stem}.xml").write_bytes(tostring(document, "utf-8", xml_declaration=True))
        (lists / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems), "utf-8")
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")


def _names_there(root: Path) -> tuple[str, ...] | None:
    """Classes of a folder that was written so."""
    if not (root / "ImageSets" / "Main").is_dir() or not (root / "classes.txt").is_file():
        return None
    there = read_name_list(root / "classes.txt").classes
    return () if there is None else there.names


def flat_name(key: str) -> str:
    """The name of an image's file: its key with ``_`` for ``/``."""
    return key.replace("/", "_")


def _document(record: Record, name: str, classes: tuple[str, ...]) -> Element:
    root = Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", name)
    size = SubElement(root, "size")
    for tag, value in zip(("width", "height", "depth"), (*record.size_wh, 3), strict=True):
        _add(size, tag, value)
    _add(root, "segmented", 0)
    for element in _objects(record.labels, classes):
        root.append(element)
    indent(root)
    return root


def _objects(labels: Labels | None, classes: tuple[str, ...]) -> Iterator[Element]:
    if labels is None:
        return
    rows = zip(labels.class_ids.tolist(), labels.boxes_xywh_px.tolist(), labels.iscrowd.tolist(), strict=True)
    for class_id, (x, y, width, height), crowd in rows:
        element = Element("object")
        _add(element, "name", classes[class_id])
        _add(element, "pose", "Unspecified")
        _add(element, "truncated", 0)
        _add(element, "difficult", int(crowd))
        box = SubElement(element, "bndbox")
        edges = (x, y, x + width, y + height)
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True):
            _add(box, tag, f"{value:.10g}")
        yield element


def _add(parent: Element, tag: str, value: object) -> None:
    SubElement(parent, tag).text = str(value)
