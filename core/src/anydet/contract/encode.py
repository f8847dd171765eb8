"""One image's predictions as one JSON object of the contract."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from anydet.errors import ContractError
from anydet.geometry.boxes import xyxy_to_cxcywh_norm
from anydet.types import RLE, FloatArray, ImagePredictions, Poses

POSE_FIELDS = {
    "log_z": "log_z",
    "rot6d": "rot6d",
    "R": "rotations",
    "t": "translations_m",
    "offsets": "offsets_px",
    "k_delta": "k_delta",
    "log_sigma_z": "log_sigma_z",
    "log_sigma_rot": "log_sigma_rot",
}
"""Field of a detection in the file -> attribute of ``Poses``."""


def encode_entry(predictions: ImagePredictions) -> bytes:
    """The image's entry as one JSON object without line end; only fields that have a value are written.

    Boxes become ``cxcywh_norm`` and keypoints are divided by the image's size. A keypoint that is missing
    among others is written as COCO does: x, y, score and v all 0. Floats are written so that reading gives
    the same bits.

    Raises:
        ContractError: a value is not finite or out of range, naming the image and the detection.
    """
    entry: dict[str, Any] = {"image": predictions.image}
    width, height = predictions.size_wh
    if width > 0 and height > 0:
        entry["image_size"] = {"width": int(width), "height": int(height)}
    elif len(predictions):
        raise ContractError(
            f"{predictions.image}: detections, but no image size to divide them by",
            fix="give the result its size_wh, as record.image() has it",
        )
    if not predictions.image:
        raise ContractError(
            "a result without an image key cannot be written", fix="give it the key of its record"
        )
    _check(predictions)
    entry["detections"] = _detections(predictions)
    entry.update(_image_fields(predictions))
    return encode_json(entry, where=predictions.image)


def encode_json(value: Any, *, where: str) -> bytes:
    """Compact JSON of free data; numpy scalars and arrays become numbers and lists.

    Raises:
        ContractError: something in it is not finite or has no JSON form, naming ``where`` and the path.
    """
    for path in _not_finite(value, ()):
        raise ContractError(
            f"{where}: {'.'.join(path) or 'value'} is not a finite number", fix="leave it out, or correct it"
        )
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ContractError(
            f"{where}: cannot be written as JSON: {exc}", fix="use numbers, text, lists and objects"
        ) from exc


def _check(predictions: ImagePredictions) -> None:
    """Refuse what the schema would refuse, a column at a time."""
    boxes = predictions.boxes_xyxy_px
    finite = np.isfinite(boxes).all(axis=1)
    _refuse(predictions, ~finite, "box is not finite", boxes)
    _refuse(predictions, (boxes[:, 2:] < boxes[:, :2]).any(axis=1), "box has a negative size", boxes)
    inside = (predictions.scores >= 0) & (predictions.scores <= 1)
    _refuse(predictions, ~inside, "score is not in [0, 1]", predictions.scores)
    _refuse(predictions, predictions.class_ids < 0, "class id is negative", predictions.class_ids)
    if predictions.state_scores is not None:
        scores = predictions.state_scores
        wrong = ~(np.isnan(scores) | ((scores >= 0) & (scores <= 1))).all(axis=1)
        _refuse(predictions, wrong, "state score is not in [0, 1]", scores)
    if predictions.keypoints is not None:
        points = predictions.keypoints
        wrong = np.isinf(points).any(axis=(1, 2)) | ((points[..., 2] < 0) | (points[..., 2] > 1)).any(axis=1)
        _refuse(predictions, wrong, "keypoint is infinite, or its score is not in [0, 1]", points)


def _refuse(predictions: ImagePredictions, wrong: Any, what: str, column: Any) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ContractError(
            f"{predictions.image}: detections[{row}]: {what}: {column[row].tolist()}",
            fix="correct what made the result",
        )


def _detections(predictions: ImagePredictions) -> list[dict[str, Any]]:
    size = predictions.size_wh
    # Without detections the size may be unknown: (0, 0), by which nothing can be divided.
    boxes = xyxy_to_cxcywh_norm(predictions.boxes_xyxy_px, size).tolist() if len(predictions) else []
    rows: list[dict[str, Any]] = [
        {"class_id": class_id, "score": score, "bbox": {"cx": box[0], "cy": box[1], "w": box[2], "h": box[3]}}
        for class_id, score, box in zip(
            predictions.class_ids.tolist(), predictions.scores.tolist(), boxes, strict=True
        )
    ]
    for name, values in _optional_columns(predictions):
        for row, value in zip(rows, values, strict=True):
            if value is not None:
                row[name] = value
    return rows


def _optional_columns(p: ImagePredictions) -> Iterator[tuple[str, Sequence[Any]]]:
    """(field, one value a detection) with ``None`` where a detection has none."""
    if p.states is not None:
        yield "state", [state if state >= 0 else None for state in p.states.tolist()]
    if p.state_scores is not None:
        yield "state_scores", [_without_padding(row) for row in p.state_scores]
    if p.masks is not None:
        yield "mask", [None if mask is None else _rle(mask) for mask in p.masks]
    if p.keypoints is not None:
        yield "keypoints", _keypoints(p)
    if p.poses is not None:
        for name, attribute in POSE_FIELDS.items():
            yield name, _pose_column(p.poses, attribute, len(p))
    if p.detection_extra is not None:
        yield "extra", [dict(extra) if extra else None for extra in p.detection_extra]


def _without_padding(row: FloatArray) -> list[float] | None:
    known = np.flatnonzero(~np.isnan(row))
    return row[: known[-1] + 1].tolist() if len(known) else None


def _keypoints(p: ImagePredictions) -> list[list[dict[str, Any]] | None]:
    assert p.keypoints is not None
    width, height = p.size_wh
    # A size of 0 is unknown and comes without detections only, so that nothing is divided by the 1.
    points = (p.keypoints / np.array([width or 1, height or 1, 1.0])).tolist()
    visible = p.keypoint_visibility
    shown = np.full(p.keypoints.shape[:2], -1) if visible is None else visible
    return [
        None if all(math.isnan(x) or math.isnan(y) for x, y, _ in row) else list(map(_keypoint, row, flags))
        for row, flags in zip(points, shown.tolist(), strict=True)
    ]


def _keypoint(point: list[float], visibility: int) -> dict[str, Any]:
    x, y, score = point
    if math.isnan(x) or math.isnan(y):
        return {"x": 0.0, "y": 0.0, "score": 0.0, "v": 0}
    keypoint: dict[str, Any] = {"x": x, "y": y}
    if not math.isnan(score):
        keypoint["score"] = score
    if visibility >= 0:
        keypoint["v"] = visibility
    return keypoint


def _pose_column(poses: Poses, attribute: str, rows: int) -> list[Any]:
    column = getattr(poses, attribute)
    if column is None:
        return [None] * rows
    missing = np.isnan(column.reshape(rows, -1)).all(axis=1) if rows else np.zeros(0, np.bool_)
    return [None if gone else value for gone, value in zip(missing.tolist(), column.tolist(), strict=True)]


def _image_fields(p: ImagePredictions) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if p.classification is not None:
        fields["classification"] = {"class_id": p.classification.class_id, "score": p.classification.score}
        if p.classification.scores is not None:
            fields["classification"]["scores"] = list(p.classification.scores)
    if p.semantic_mask is not None:
        fields["semantic_mask"] = {str(int(i)): _rle(mask) for i, mask in p.semantic_mask.items()}
    if p.intrinsics is not None:
        camera = p.intrinsics
        fields["intrinsics"] = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    if p.preprocess is not None:
        fields["preprocess"] = dict(p.preprocess)
    if p.extra:
        fields["extra"] = dict(p.extra)
    return fields


def _rle(mask: RLE) -> dict[str, Any]:
    return {"size": [int(side) for side in mask.size_hw], "counts": mask.counts}


def _plain(value: Any) -> Any:
    """What msgspec doesn't know: numpy's scalars and arrays, kinds of ``str`` and mappings, paths."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) or hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def _not_finite(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths of NaN and infinity, which JSON does not have."""
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_finite(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _not_finite(item, (*path, str(i)))
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
        yield path
