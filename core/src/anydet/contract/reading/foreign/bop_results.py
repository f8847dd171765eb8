"""Results of the BOP Challenge: CSV with ``scene_id,im_id,obj_id,score,R,t,time``.

R is nine numbers, row by row, t three in millimeters, both from the object's frame to the camera's; time is
seconds of the image. Source: "BOP: Benchmark for 6D Object Pose Estimation", format of results, 2019.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.reading.foreign.assembling import Kind
from anydet.contract.reading.foreign.given import Found, Given
from anydet.errors import ContractError
from anydet.geometry.boxes import clip_xyxy, xyxy_to_xywh
from anydet.geometry.pose_errors import project
from anydet.inputs import recoded
from anydet.types import FloatArray, GroundTruthColumns, Intrinsics, Poses, Size

BOP = Kind("xywh_abs", labels="category", any_score=True)
HEADER = ("scene_id", "im_id", "obj_id", "score", "R", "t", "time")
MILLIMETERS = 1000.0
_KEY = re.compile(r"(?:.*/)?(\d+)/(?:rgb|gray)/(\d+)\.\w+")


def is_bop(path: Path) -> bool:
    """Whether a CSV file begins as BOP's do."""
    try:
        with path.open("rb") as file:
            head = file.read(400)
    except OSError:
        return False
    text = (recoded(head) or head).decode("utf-8", "replace")
    return tuple(name.strip() for name in text.partition("\n")[0].split(",")) == HEADER


def image_numbers(truth: GroundTruthColumns) -> dict[tuple[int, int], int]:
    """(scene_id, im_id) -> position, of the images of a BOP data set."""
    found = ((i, _KEY.fullmatch(key)) for i, key in enumerate(truth.images))
    return {(int(match[1]), int(match[2])): i for i, match in found if match}


def read_bop(given: Given) -> Iterator[Found]:
    """Poses by image; boxes are those around the projected models of the data set.

    Raises ``ContractError`` where the data set is none of BOP's, or states no models or cameras.
    """
    truth = given.need_truth("results of BOP name scenes, images and objects by number")
    images = image_numbers(truth)
    if not images or not truth.objects:
        raise ContractError(
            f"{given.path}: results of BOP, and the data set has no scenes with models",
            fix="give the folder of the BOP data set, with models/, as the data set",
        )
    rows: dict[int, list[tuple[str, int, FloatArray, FloatArray, float, float]]] = {}
    for place, row in _rows(given):
        found = _pose(given, place, row)
        if found is None:
            continue
        at = images.get(found[0])
        if at is None:
            given.blame(place, f"scene {found[0][0]}, image {found[0][1]} is not in the data set")
            continue
        rows.setdefault(at, []).append((place, *found[1:]))
    objects = {source: truth.objects.get(i) for i, source in enumerate(truth.classes.source_ids)}
    for at, listed in rows.items():
        yield _found(given, truth, at, listed, objects)


def _found(
    given: Given, truth: GroundTruthColumns, at: int, rows: list[Any], objects: Mapping[int, Any]
) -> Found:
    camera = None if truth.about is None or truth.about.cameras is None else truth.about.cameras[at]
    if camera is None or np.isnan(camera).any():
        raise ContractError(
            f"{given.path}: the data set states no camera of image {truth.images[at]}",
            fix="add scene_camera.json to its scene",
        )
    width, height = truth.sizes_wh[at].tolist()
    kept, boxes = [], []
    for row in rows:
        model = objects.get(row[1])
        if model is None and row[1] in objects:
            given.blame(row[0], f"object {row[1]} has no model in the data set, from which its box is made")
            continue
        kept.append(row)
        # Of an object that the data set does not know, the class is refused later.
        boxes.append(
            np.zeros(4) if model is None else _box(model.points_m, row[2], row[3], camera, (width, height))
        )
    return Found(
        truth.images[at],
        truth.images[at],
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array([row[4] for row in kept], np.float64),
        [row[1] for row in kept],
        rows=[row[0] for row in kept],
        poses=Poses(
            rotations=np.array([row[2] for row in kept], np.float64).reshape(-1, 3, 3),
            translations_m=np.array([row[3] for row in kept], np.float64).reshape(-1, 3),
        ),
        extra=[{"time": row[5]} if row[5] >= 0 else None for row in kept],
    )


def _box(
    points_m: FloatArray, rotation: FloatArray, translation_m: FloatArray, camera: FloatArray, size: Size
) -> FloatArray:
    """(4,) x, y, width, height around the projected vertices, cut off at the image's edges."""
    moved = points_m @ rotation.T + translation_m
    if moved[:, 2].min() <= 0:  # it surrounds the camera, or is behind it
        return np.zeros(4)
    spots = project(moved, Intrinsics(*camera.tolist()))
    corners = np.concatenate([spots.min(axis=0), spots.max(axis=0)])[None]
    box: FloatArray = xyxy_to_xywh(clip_xyxy(corners, size) if min(size) > 0 else corners)[0]
    return box


def _rows(given: Given) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with given.open_text(given.path) as file:
            reader = csv.DictReader(file, restval="", fieldnames=HEADER)
            next(reader)
            for row in reader:
                yield f"line {reader.line_num}", row
    except (OSError, csv.Error) as exc:
        raise ContractError(
            f"{given.path}: cannot be read as CSV: {exc}", fix="write it as UTF-8 CSV"
        ) from exc


def _pose(
    given: Given, place: str, row: Mapping[str, str]
) -> tuple[tuple[int, int], int, FloatArray, FloatArray, float, float] | None:
    try:
        ids = [int(row[name]) for name in HEADER[:3]]
        rotation = np.array(row["R"].split(), np.float64).reshape(3, 3)
        translation = np.array(row["t"].split(), np.float64).reshape(3) / MILLIMETERS
        score, seconds = float(row["score"]), float(row["time"] or -1)
    except ValueError:
        given.blame(
            place, "a row is three whole numbers, a score, nine numbers R, three numbers t, and a time"
        )
        return None
    if not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
        given.blame(place, "R or t has a number that is not finite")
        return None
    return (ids[0], ids[1]), ids[2], rotation, translation, score, seconds
