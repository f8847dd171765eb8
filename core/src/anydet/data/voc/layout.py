"""Where the files of a VOC data set are, in the layouts that it comes in.

- ``Annotations/*.xml``, ``JPEGImages/``, ``ImageSets/Main/<split>.txt`` and
  ``ImageSets/Segmentation/<split>.txt``, as VOC is published;
- ``annotations/*.xml``, ``xmls/`` or ``labels/`` beside ``images/``, perhaps with a folder for each split;
- ``*.xml`` beside their images, in one folder (labelImg) or in ``train/``, ``valid/``, ``test/`` (Roboflow).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from anydet.data.dataset.splits import SPLITS, UNSPLIT, Split, choose_split
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.inputs import first_files, there_is

_FOLDERS = ("Annotations", "annotations", "xmls", "labels")
_IMAGES = ("JPEGImages", "images")
_LISTS = ("ImageSets/Main", "ImageSets")
_SEGMENTATION = "ImageSets/Segmentation"
_FEW = 8
"""Files of a folder that are looked into: others may lie beside the annotations."""


@dataclass(frozen=True, slots=True)
class VocLayout:
    """Where the files of one split are.

    Attributes:
        root: folder of the data set.
        split: the split, or ``UNSPLIT``.
        annotations: folder of the XML files of the split.
        images: folder of the images of the split.
        listed: file that lists the images of the split, or ``None`` for all.
        everything: folders of the XML files of all splits, which name the classes.
    """

    root: Path
    split: Split
    annotations: Path
    images: Path
    listed: Path | None
    everything: tuple[Path, ...]


def find_layout(path: Path, wanted: str | None, images: Path | None) -> VocLayout:
    """The files of the split that is wanted."""
    found = releases(path)
    if len(found) > 1:
        raise DatasetError(
            f"{path}: several data sets: {', '.join(one.name for one in found)}",
            fix=f"name one of them, such as {found[-1]}",
        )
    root = found[0] if found else path
    folders_there = list(placed(root))
    everything = tuple(folder for folder, _, _ in folders_there)
    folders = {name: (folder, beside) for folder, name, beside in folders_there}
    if set(folders) != {""}:
        chosen = choose_split(path, folders, wanted)
        annotations, beside = folders[chosen.name]
        return VocLayout(root, chosen, annotations, images or beside, None, everything)
    annotations, beside = folders[""]
    lists = _lists(annotations.parent) or _lists(root)
    # Without a list of a split, the whole is one.
    chosen = choose_split(path, lists, wanted) if lists or wanted is not None else UNSPLIT
    return VocLayout(root, chosen, annotations, images or beside, lists.get(chosen.name), everything)


def placed(root: Path) -> Iterator[tuple[Path, str, Path]]:
    """Folders of XML files, each with its split ("" for none) and the folder of its images."""
    for folder in (root / name for name in _FOLDERS):
        if _has_xml(folder):
            yield folder, "", _images_of(root, "", folder)
            return
        inner = [one for one in _subfolders(folder) if _has_xml(one)]
        if inner:
            yield from ((one, one.name, _images_of(root, one.name, one)) for one in inner)
            return
    if _has_xml(root):
        # The folder may be ``Annotations`` itself, whose images are beside it.
        beside = root.name in _FOLDERS and any((root.parent / name).is_dir() for name in _IMAGES)
        yield root, "", _images_of(root.parent, "", root) if beside else root
        return
    for one in _subfolders(root):
        named = one.name in {*SPLITS, "test"}
        for folder in (one, one / "annotations", one / "labels") if named else ():
            if _has_xml(folder):
                yield folder, one.name, _images_of(one, "", folder)
                break


def _images_of(root: Path, split: str, annotations: Path) -> Path:
    folders = [root / name / split for name in _IMAGES] + [root / split] * bool(split)
    return next((folder for folder in folders if folder.is_dir()), annotations)


def releases(root: Path) -> list[Path]:
    """The ``VOC2007`` and the like of a devkit."""
    if any((root / name).is_dir() for name in _FOLDERS):
        return []
    return [one for one in _subfolders(root) if one.name.startswith("VOC") and _has_xml(one / "Annotations")]


def _lists(root: Path) -> dict[str, Path]:
    """Split -> file with an image a line; those of one class, with a second column, are no splits.

    Lists of images with masks are splits of their own beside those of images with boxes.
    """
    masked = _lists_in(root / _SEGMENTATION)
    for folder in (root / name for name in _LISTS):
        if found := _lists_in(folder):
            return found | {f"segmentation-{name}": file for name, file in masked.items()}
    return masked


def _lists_in(folder: Path) -> dict[str, Path]:
    return {file.stem: file for file in sorted(folder.glob("*.txt")) if _lists_images(file)}


def _lists_images(file: Path) -> bool:
    from anydet.inputs import read_text

    try:
        first = read_text(file).strip().partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return False
    return len(first.split()) == 1


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _has_xml(folder: Path) -> bool:
    """Whether one of the first XML files of a folder is an annotation."""
    return any(map(is_voc, first_files(folder, {".xml"}, _FEW)))


def is_voc(file: Path) -> bool:
    """Whether an XML file begins as VOC's annotations do."""
    from anydet.data.xml import begins_with

    return begins_with(file, "annotation")


def has_label_files(folder: Path) -> bool:
    """Whether there are label files of YOLO, in the folder or in those of its splits."""
    for one in (folder, *_subfolders(folder)):
        try:
            with os.scandir(one) as entries:
                if any(
                    (name := entry.name.lower()).endswith(".txt") and name != "classes.txt"
                    for entry in entries
                ):
                    return True
        except OSError:
            continue
    return there_is(folder.parent / "data.yaml") and folder.is_dir()
