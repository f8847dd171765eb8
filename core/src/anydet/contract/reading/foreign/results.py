"""One image's result after another: torchvision, transformers, MMDetection, Ultralytics, Roboflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anydet.contract.locations import MEMORY
from anydet.contract.reading.foreign.assembling import Kind
from anydet.contract.reading.foreign.given import FileName, Found, Given, Ref, finite, numbers
from anydet.contract.segmentations import mask_of
from anydet.errors import ContractError
from anydet.types import RLE, FloatArray, Size

TORCHVISION = Kind("xyxy_abs", labels="model")
MMDETECTION = Kind("xyxy_abs", labels="class")
TRANSFORMERS = Kind("xyxy_abs", labels="model")
ROBOFLOW = Kind("cxcywh_abs", labels="class")
_NAMES = ("image", "image_id", "file_name", "filename", "image_path", "img_path", "path")
_SIDES = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_SUFFIXES = (".json", ".bbox", ".predictions")


def images_of(given: Given, value: Any) -> Iterator[tuple[Ref, str, Any]]:
    """Each image's name, place and result, however they stand in the document.

    A map has them by name; a result says its own; of a document with one result, the file's name is that of
    its image; a list of as many results as the data set has images is in its order.

    Raises ``ContractError`` where nothing says which images they are.
    """
    if isinstance(value, Mapping) and isinstance(value.get("predictions"), list) and not is_one(value):
        value = value["predictions"]
    if isinstance(value, Mapping):
        if is_one(value):
            yield _name(value) or stem(given), "the result", value
        else:
            for name, result in value.items():
                yield str(name), str(name), result
        return
    if _is_rows(value):
        yield stem(given), "the result", value
        return
    stated = [_name(result) for result in value]
    names: list[Any] = in_order(given, len(stated)) if None in stated else stated
    for i, (name, result) in enumerate(zip(names, value, strict=True)):
        yield name, f"[{i}]", result


def read_arrays(given: Given) -> Iterator[Found]:
    """``boxes`` (``bboxes`` of MMDetection), ``scores`` and ``labels``: corners in pixels."""
    for image, where, result in images_of(given, given.value):
        if not isinstance(result, Mapping):
            given.blame(where, "a result is an object with boxes, scores and labels")
            continue
        named = "bboxes" if "bboxes" in result else "boxes"
        boxes, scores = numbers(result.get(named), (4,)), numbers(result.get("scores"))
        labels = result.get("labels")
        if boxes is None or scores is None or not isinstance(labels, Sequence | np.ndarray):
            given.blame(where, f"{named} are not lists of 4 numbers, or scores and labels not lists")
            continue
        labels = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
        if not len(boxes) == len(scores) == len(labels):
            text = f"{len(boxes)} {named}, {len(scores)} scores and {len(labels)} labels"
            given.blame(where, text)
            continue
        found = Found(image, where, boxes, scores, labels, size_wh=given.size_wh(image))
        yield replace(
            found,
            masks=_masks(given, found, result.get("masks")),
            keypoints=_keypoints(given, found, result),
        )


def read_boxes(given: Given) -> Iterator[Found]:
    """Lists of detections with ``score``, ``label`` and ``box`` by name: pipelines of transformers.

    Those of Ultralytics' ``to_json`` have ``confidence`` and ``name``, and may have ``segments``.
    """
    for image, where, rows in images_of(given, given.value):
        if not isinstance(rows, list | tuple):
            given.blame(where, "a result is a list of detections")
            continue
        kept = []
        for i, row in enumerate(rows):
            box = row.get("box") if isinstance(row, Mapping) else None
            sides = next((s for s in _SIDES if isinstance(box, Mapping) and set(s) <= box.keys()), None)
            score = None if sides is None else row.get("score", row.get("confidence"))
            label = None if sides is None else row.get("label", row.get("name"))
            if sides is None or not _is_number(score) or not isinstance(label, str | int):
                given.blame(
                    f"{where}[{i}]", "a detection has score, label and box with xmin, ymin, xmax, ymax"
                )
                continue
            corners = [row["box"][side] for side in sides]
            if not all(map(_is_number, corners)):
                given.blame(f"{where}[{i}]", "the sides of its box are not numbers")
                continue
            kept.append((i, corners, score, label))
        yield Found(
            image,
            where,
            np.array([row[1] for row in kept], np.float64).reshape(-1, 4),
            np.array([row[2] for row in kept], np.float64),
            [row[3] for row in kept],
            rows=[f"{where}[{row[0]}]" for row in kept],
        )


def read_roboflow(given: Given) -> Iterator[Found]:
    """``predictions`` with x, y (the center), width, height, confidence and class: Roboflow's inference."""
    for image, where, result in _roboflow_images(given):
        size = _roboflow_size(result.get("image"))
        kept = []
        for i, row in enumerate(result["predictions"]):
            sides = [finite(row.get(k)) for k in ("x", "y", "width", "height", "confidence")] if row else []
            label = row.get("class", row.get("class_id")) if row else None
            place = f"{where}.predictions[{i}]"
            if None in sides or not sides or not isinstance(label, str | int):
                given.blame(place, "a prediction has x, y, width, height, confidence (numbers) and class")
                continue
            ring = [v for point in row.get("points") or () for v in (point.get("x"), point.get("y"))]
            mask, problem = mask_of([ring] if ring else None, size or given.size_wh(image))
            if problem:
                given.blame(place, f"points: {problem}")
                continue
            kept.append((place, sides, label, mask))
        yield Found(
            image,
            where,
            np.array([row[1][:4] for row in kept], np.float64).reshape(-1, 4),
            np.array([row[1][4] for row in kept], np.float64),
            [row[2] for row in kept],
            rows=[row[0] for row in kept],
            size_wh=size,
            masks=[row[3] for row in kept],
        )


def _roboflow_images(given: Given) -> Iterator[tuple[Ref, str, Mapping[str, Any]]]:
    value = given.value
    while isinstance(value, Mapping) and isinstance(value.get("predictions"), Mapping):
        value = value["predictions"]  # a workflow's output has one more level
    for image, where, result in images_of(given, value):
        inner = result
        while isinstance(inner, Mapping) and isinstance(inner.get("predictions"), Mapping):
            inner = inner["predictions"]
        rows = inner.get("predictions") if isinstance(inner, Mapping) else None
        if isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows):
            yield image, where, inner
        else:
            given.blame(where, "a result is an object with predictions, a list of objects")


def _roboflow_size(image: Any) -> Size | None:
    """The hosted service writes sizes as text."""
    if not isinstance(image, Mapping):
        return None
    sides = [str(image.get(name)) for name in ("width", "height")]
    good = all(side.isascii() and side.isdecimal() and len(side) < 10 for side in sides)
    return (int(sides[0]), int(sides[1])) if good and min(map(int, sides)) > 0 else None


def is_one(value: Mapping[Any, Any]) -> bool:
    """Whether an object is the result of one image, and not a map of images."""
    if {"scores", "labels"} <= value.keys():
        return True
    rows = value.get("predictions")
    first = next((row for row in rows if row), None) if isinstance(rows, list) else None
    if isinstance(first, Mapping):
        return {"x", "y", "width", "height"} <= first.keys()
    return rows == [] and "image" in value


def _is_rows(value: Any) -> bool:
    """Whether a list holds the detections of one image."""
    first = next((one for one in value if one), None)
    return isinstance(first, Mapping) and "box" in first


def _name(result: Any) -> Ref | None:
    """What a result says of its image."""
    if not isinstance(result, Mapping):
        return None
    for name in _NAMES:
        value = result.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return value
    rows = result.get("predictions")
    first = rows[0] if isinstance(rows, list) and rows else None
    return _name(first) if isinstance(first, Mapping) and "image_path" in first else None


def stem(given: Given) -> str:
    """The name of the image that a file of its own is for: ``0001.json`` or ``0001.jpg.json``."""
    name = given.path.name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return FileName(name)


def in_order(given: Given, count: int) -> list[Any]:
    """The images of so many results that name none: those of a data set of as many; else an error."""
    truth = given.truth
    if truth is not None and len(truth.images) == count:
        if str(given.path) != MEMORY:  # a list in the data set's order is what a loop has
            given.notes.append(f"{given.path} names no images: its {count} results are taken in their order")
        return list(truth.images)
    beside = "" if truth is None else f"; the data set has {len(truth.images)} images"
    raise ContractError(
        f"{given.path}: {count} results that do not say which images they are of{beside}",
        fix="write an object of results by image name, or image (a file name) into each result",
    )


def _masks(given: Given, found: Found, masks: Any) -> list[RLE | None] | None:
    if masks is None:
        return None
    if isinstance(masks, np.ndarray):
        return _painted(given, found, masks)
    if not isinstance(masks, Sequence) or len(masks) != len(found.scores):
        given.blame(found.where, "masks are not a list with one for each box")
        return None
    made = []
    for i, value in enumerate(masks):
        mask, problem = mask_of(value, found.size_wh)
        if problem:
            given.blame(found.row(i), f"mask: {problem}")
        made.append(mask)
    return made


def _painted(given: Given, found: Found, masks: Any) -> list[RLE | None] | None:
    """Arrays (N, H, W), or (N, 1, H, W) of probabilities as torchvision gives them."""
    from anydet.geometry.masks import encode

    planes = masks[:, 0] if masks.ndim == 4 and masks.shape[1] == 1 else masks
    if planes.ndim != 3 or len(planes) != len(found.scores):
        given.blame(found.where, f"masks of shape {masks.shape}, where (N, height, width) belongs")
        return None
    # torchvision's probabilities are cut at one half, as in its own references.
    inside = planes > 0.5 if planes.dtype.kind == "f" else planes != 0
    return [encode(plane) if plane.any() else None for plane in inside]


def _keypoints(given: Given, found: Found, result: Mapping[str, Any]) -> FloatArray | None:
    """(N, K, 3) x, y and score: torchvision gives visibilities in the third place, and scores apart."""
    if result.get("keypoints") is None:
        return None
    try:
        points = np.asarray(result["keypoints"], np.float64)
        scores = result.get("keypoints_scores")
        third = np.full(points.shape[:2], np.nan) if scores is None else np.asarray(scores, np.float64)
        whole = np.concatenate([points[..., :2], third[..., None]], axis=2)
    except (TypeError, ValueError, IndexError):
        given.blame(found.where, "keypoints are not lists of x, y and visibility for each box")
        return None
    if scores is not None:
        # torchvision's are logits.
        with np.errstate(over="ignore"):
            whole[..., 2] = 1 / (1 + np.exp(-whole[..., 2]))
        note = "a sigmoid was applied to keypoints_scores, which are logits in torchvision"
        given.notes += [note] if note not in given.notes else []
    return whole if len(whole) == len(found.scores) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
