"""COCO as it is downloaded -> YOLO labels and a ``dataset.json`` that points at both."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from anydet.data.coco.dataset import FORMAT as COCO
from anydet.data.coco.folders import FORMAT as FOLDER
from anydet.data.coco.folders import find_files
from anydet.data.dataset.protocols import Dataset
from anydet.data.dataset.splits import choose_split
from anydet.data.writing.images import require_own_places
from anydet.data.writing.yolo import box_losses, yolo_lines
from anydet.errors import DatasetError
from anydet.outputs import copy_file, new_parts, write_file


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was written.

    Attributes:
        dataset_json: the descriptor.
        images, labels: how many images and label files it leads to.
        lost: what label files have no place for -> how many there are of it.
    """

    dataset_json: Path
    images: int
    labels: int
    lost: Mapping[str, int]


def prepare_coco_yolo(coco_root: Path, split: str, out: Path, *, copy_images: bool = False) -> Prepared:
    """Write ``out/labels/<split>``, ``out/data.yaml`` with the class names, and ``out/dataset.json``.

    Args:
        coco_root: folder with ``annotations/instances_<split>.json`` and ``<split>/`` or ``images/<split>/``,
            or with COCO files where other tools put them (``coco.folders``).
        split: such as ``val2017``.
        out: folder to write into; its labels of that split are replaced.
        copy_images: copy the images to ``out/images/<split>``, byte for byte.

    Raises:
        DatasetError: the annotations or an image folder are not there, an image to be copied is missing, or
            two images need the same label file.
    """
    dataset, annotations, images_dir = _opened(coco_root, split)
    require_own_places(dataset.keys, ".txt")
    written, lost = 0, Counter[str]()
    labels, copies = out / "labels" / split, out / "images" / split
    with new_parts(out) as partial:
        for record in dataset:
            _write(partial / "labels" / Path(record.key).with_suffix(".txt"), yolo_lines(record))
            written += 1
            lost.update(box_losses(record))
            if copy_images:
                _copy(images_dir / record.key, partial / "images" / record.key)
        (partial / "labels").mkdir(parents=True, exist_ok=True)
        _replace(partial / "labels", labels)
        if copy_images:
            (partial / "images").mkdir(exist_ok=True)
            _replace(partial / "images", copies)
    names = dataset.classes.names if dataset.classes else ()
    write_file(out / "data.yaml", yaml.safe_dump({"names": dict(enumerate(names))}, sort_keys=False))
    described = {
        "images_dir": os.path.realpath(copies if copy_images else images_dir),
        "labels_dir": os.path.realpath(labels),
        "split": split,
        "annotations": os.path.realpath(annotations),
    }
    write_file(out / "dataset.json", json.dumps(described, indent=2) + "\n")
    return Prepared(
        out / "dataset.json", len(dataset), written, {name: count for name, count in lost.items() if count}
    )


def _opened(coco_root: Path, split: str) -> tuple[Dataset, Path, Path]:
    """The split, its annotations file and its image folder."""
    annotations = coco_root / "annotations" / f"instances_{split}.json"
    if annotations.is_file():
        usual = [coco_root / split, coco_root / "images" / split]
        images_dir = next((folder for folder in usual if folder.is_dir()), None)
        if images_dir is None:
            raise DatasetError(
                f"no image folder {' or '.join(map(str, usual))}", fix=f"put the images into {usual[0]}"
            )
        return COCO.open(annotations, None, images_dir), annotations, images_dir
    others = find_files(coco_root)
    if not others:
        raise DatasetError(
            f"{annotations}: no such file, and no COCO file of another tool",
            fix="give --coco-root the folder that holds annotations/, or that of the splits (Roboflow)",
        )
    opened = FOLDER.open(coco_root, split, None)
    return opened, others[choose_split(coco_root, others, split).name], opened.images_dir


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        copy_file(source, target)
    except OSError as exc:
        raise DatasetError(
            f"{source}: cannot be copied: {exc.strerror}", fix="complete the download of the images"
        ) from exc


def _replace(folder: Path, target: Path) -> None:
    """``folder`` takes the place of what was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    folder.rename(target)
