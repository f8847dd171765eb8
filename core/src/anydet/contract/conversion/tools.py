"""Writers of other tools' predictions: YOLO's label files with confidences, results of the BOP Challenge."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from anydet.contract.join import join_keys
from anydet.contract.reading.foreign.bop_results import HEADER, MILLIMETERS, image_numbers
from anydet.errors import ContractError
from anydet.geometry.boxes import xyxy_to_cxcywh_norm
from anydet.outputs import new_folder
from anydet.types import GroundTruthColumns, ImagePredictions

UNPOSED = "detections without R and t (left out)"


def write_yolo(images: Sequence[ImagePredictions], root: Path) -> None:
    """A folder with a ``.txt`` file an image: class, box in fractions of the image, confidence.

    Raises:
        ContractError: two images would have one file, or an image's size is not known.
    """
    files: dict[str, str] = {}
    for image in images:
        name = PurePosixPath(image.image.replace("\\", "/")).with_suffix(".txt").as_posix()
        if files.setdefault(name, image.image) != image.image:
            raise ContractError(
                f"{files[name]} and {image.image} would both be written as {name}",
                fix="rename one of the images, or write another format",
            )
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ContractError(
                f"image {image.image} would be written outside of {root}",
                fix="write image keys as paths relative to the split's image folder",
            )
    with new_folder(root) as folder:
        for name, image in zip(files, images, strict=True):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_lines(image), "utf-8")


def _lines(image: ImagePredictions) -> str:
    if not len(image):
        return ""
    boxes = xyxy_to_cxcywh_norm(image.boxes_xyxy_px, image.size_wh).tolist()
    rows = zip(image.class_ids.tolist(), boxes, image.scores.tolist(), strict=True)
    # Numbers are written so that reading gives the same bits.
    return "".join(f"{class_id} {' '.join(map(repr, box))} {score!r}\n" for class_id, box, score in rows)


def write_bop(
    images: Iterable[ImagePredictions], file: IO[bytes], truth: GroundTruthColumns, lost: Counter[str]
) -> None:
    """Rows of ``scene_id,im_id,obj_id,score,R,t,time``; -1 is the time that is not known.

    Raises ``ContractError`` where the images or classes are not those of a BOP data set.
    """
    numbers = {at: ids for ids, at in image_numbers(truth).items()}
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for image in images:
        at = int(join_keys([image.image], truth.images)[0])
        if at not in numbers:
            raise ContractError(
                f"{image.image}: not a key of a BOP data set (000001/rgb/000002.png)",
                fix="give the BOP data set of the predictions: --dataset",
            )
        rows = _posed(image)
        lost[UNPOSED] += len(image) - len(rows)
        for row in rows:
            writer.writerow([*numbers[at], *_cells(image, row, truth)])
    text.detach()


def _posed(image: ImagePredictions) -> list[int]:
    poses = image.poses
    if poses is None or poses.rotations is None or poses.translations_m is None:
        return []
    known = ~(np.isnan(poses.rotations).any(axis=(1, 2)) | np.isnan(poses.translations_m).any(axis=1))
    found: list[int] = np.flatnonzero(known).tolist()
    return found


def _cells(image: ImagePredictions, row: int, truth: GroundTruthColumns) -> list[object]:
    class_id = int(image.class_ids[row])
    if class_id >= len(truth.classes):
        raise ContractError(
            f"{image.image}: detections[{row}]: class_id {class_id} where the data set has "
            f"{len(truth.classes)} classes",
            fix="give the data set that the predictions were made for",
        )
    assert image.poses is not None
    assert image.poses.rotations is not None
    assert image.poses.translations_m is not None
    rotation = " ".join(map(repr, image.poses.rotations[row].ravel().tolist()))
    translation = " ".join(map(repr, (image.poses.translations_m[row] * MILLIMETERS).tolist()))
    extra = (image.detection_extra or (None,) * len(image))[row] or {}
    seconds = extra.get("time", -1)
    return [
        truth.classes.source_ids[class_id],
        repr(float(image.scores[row])),
        rotation,
        translation,
        seconds,
    ]
