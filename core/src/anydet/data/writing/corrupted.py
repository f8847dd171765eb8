"""Write a data set once for each of several corruptions: ``ROOT/fog/3`` is a data set of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from anydet.data.class_masks.dataset import MaskDataset
from anydet.data.coco.dataset import CocoDataset
from anydet.data.corruptions.corruption import Corruption
from anydet.data.corruptions.dataset import DESCRIPTION, corrupted, describe_corruption, read_description
from anydet.data.dataset.protocols import Dataset
from anydet.data.writing.class_masks import write_class_mask_labels
from anydet.data.writing.coco import write_coco_labels
from anydet.data.writing.conversion import dataset_losses, layout_like, stored
from anydet.data.writing.images import Report, check_split
from anydet.data.writing.yolo import write_yolo_labels, yolo_task
from anydet.dataclass import dataclass
from anydet.errors import OptionError
from anydet.outputs import copy_file, new_file, remove_leftovers, write_file, writing_to

LAYOUTS = ("coco", "yolo", "class-masks", "images")
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class CorruptedCopies:
    """What was written.

    Attributes:
        folders: a data set for each corruption, in the order given.
        layout: of all of them.
        resumed: images that an earlier call had written.
    """

    folders: tuple[Path, ...]
    layout: str
    resumed: int


def layout_of(dataset: Dataset) -> str:
    """The layout that is closest to the one that a data set is stored in."""
    if dataset.classes is None:
        return "images"
    return "class-masks" if isinstance(next(stored(dataset)), MaskDataset) else layout_like(dataset)


def losses_of(dataset: Dataset, layout: str) -> dict[str, int]:
    """What ``yolo`` or ``coco`` has no place for -> how many of them there are; nothing of a file copied."""
    if layout not in {"coco", "yolo"} or (layout == "coco" and _copied(dataset)):
        return {}
    return dataset_losses(dataset, layout)


def write_corrupted(
    dataset: Dataset,
    root: Path,
    corruptions: Sequence[Corruption],
    layout: str | None = None,
    *,
    workers: int = 1,
    resume: bool = False,
    report: Report | None = None,
) -> CorruptedCopies:
    """``ROOT/NAME/SEVERITY`` for each corruption: keys, sizes and labels of the data set, other pixels.

    Images are PNG files under the names that they had, so that keys stay; a COCO file is copied byte for
    byte. A data set appears under its name when it is complete. Until then it is in
    ``ROOT/NAME/SEVERITY.partial``, each of whose images is whole, and which is kept where there is one.

    Args:
        dataset: what to corrupt.
        root: where the data sets go; others may be there already.
        corruptions: each once.
        layout: one of ``LAYOUTS``; by default ``layout_of(dataset)``.
        workers: threads.
        resume: go on with what an interrupted call left, and leave out what is complete.
        report: called with the number of images that are there, or have been written.

    Raises:
        OptionError: ``root`` is in the data set; a data set is there already, unfinished or complete, and
            ``resume`` is false; or it is another one than would be written now.
        DatasetError: an image cannot be read, the data set is corrupted already, or its labels have no place
            in the layout.
    """
    layout = layout or layout_of(dataset)
    split = dataset.split or "val"
    check_split(split)
    source, target = (Path(os.path.realpath(path)) for path in (dataset.root, root))
    if dataset.root.is_dir() and (target == source or source in target.parents):
        raise OptionError(
            f"{root} is in the data set {dataset.root}: its images would become images of that",
            fix="write to a folder beside it",
        )
    folders = [root / one.name / str(one.severity) for one in corruptions]
    views = [corrupted(dataset, one) for one in corruptions]
    # Before the first image, so that a folder in the way is not found after hours.
    waiting = [
        _waits(folder, _described(view, layout), resume=resume)
        for folder, view in zip(folders, views, strict=True)
    ]
    resumed = 0
    tell = report or (lambda _count: None)
    for folder, view, waits in zip(folders, views, waiting, strict=True):
        if not waits:
            resumed += len(view)
            tell(len(view))
            continue
        unfinished = _unfinished(folder)
        with writing_to(folder, unfinished):
            unfinished.mkdir(parents=True, exist_ok=True)
            write_file(unfinished / DESCRIPTION, json.dumps(_described(view, layout), indent=1) + "\n")
            try:
                # Labels first: a fault in them is found before the work on images.
                _write_labels(dataset, unfinished, split, layout)
                resumed += _write_images(view, unfinished / "images" / split, workers, tell)
            except BaseException:
                if not any(path.is_file() for path in (unfinished / "images").rglob("*")):
                    shutil.rmtree(unfinished, ignore_errors=True)  # nothing in it is worth to be resumed
                raise
            unfinished.rename(folder)
    return CorruptedCopies(tuple(folders), layout, resumed)


def _unfinished(folder: Path) -> Path:
    return folder.with_name(folder.name + _PARTIAL)


def _described(view: Dataset, layout: str) -> dict[str, Any]:
    """What the folder of a data set says of it; equal for a call and the one that resumes it."""
    return {**(describe_corruption(view) or {}), "layout": layout, "split": view.split, "images": len(view)}


def _waits(folder: Path, described: dict[str, Any], *, resume: bool) -> bool:
    """Whether a data set is still to be written, in part or as a whole."""
    unfinished = _unfinished(folder)
    there = next((path for path in (folder, unfinished) if path.exists()), None)
    if there is None:
        return True
    if not resume:
        state = "is there already" if there == folder else "is left of an interrupted run"
        raise OptionError(
            f"{there}: {state}",
            fix="add --resume to write what is missing, or remove it, or name another --out",
        )
    if read_description(there) != described:
        raise OptionError(
            f"{there}: is of another data set, seed, split or layout than this run",
            fix="remove it, or name another --out",
        )
    return there != folder


def _write_images(view: Dataset, folder: Path, workers: int, tell: Report) -> int:
    """Write the images that are not there yet; gives how many were."""
    there = 0
    # NumPy, Pillow and zlib release the GIL while they work, so threads are enough.
    with ThreadPoolExecutor(workers, thread_name_prefix="corrupt") as pool:
        try:
            for found in pool.map(partial(_write_image, view, folder), range(len(view))):
                there += found
                tell(1)
        except BaseException:  # Ctrl-C too: what has not begun is left to the call that resumes
            pool.shutdown(cancel_futures=True)
            raise
    return there


def _write_image(view: Dataset, folder: Path, position: int) -> bool:
    """Write an image; whether it was there already."""
    target = folder / view.keys[position]
    if target.exists():
        return True
    remove_leftovers(target)
    pixels = view[position].image()
    with new_file(target) as file:
        Image.fromarray(pixels).save(file, format="PNG", compress_level=1)
    return False


def _copied(dataset: Dataset) -> Path | None:
    """The annotations file that is copied as it is, ``None`` where one is written."""
    whole = isinstance(dataset, CocoDataset) and len(dataset.annotation_files) == 1
    return dataset.annotation_files[0] if whole else None  # type: ignore[attr-defined]


def _write_labels(clean: Dataset, folder: Path, split: str, layout: str) -> None:
    if layout == "coco":
        annotations = folder / "annotations" / f"instances_{split}.json"
        source = _copied(clean)
        if source:
            annotations.parent.mkdir(exist_ok=True)
            copy_file(source, annotations)
        else:
            write_coco_labels(clean, clean, folder, split)
    elif layout == "yolo":
        write_yolo_labels(clean, clean, folder, split, task=yolo_task(clean))
    elif layout == "class-masks":
        write_class_mask_labels(clean, clean, folder, split)
