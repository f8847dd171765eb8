"""Results as ``supervision.Detections`` and back, complete.

What ``Detections`` has no attribute for goes to its ``data`` (one row a detection, under the names of the
contract's fields) and ``metadata`` (of the image), so that nothing is lost; what other programs put there
comes back as ``extra``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from anydet.errors import AnydetError
from anydet.geometry.masks import decode, encode
from anydet.types import ClassTable, ImagePredictions, Poses, Size

_COLUMNS = ("states", "state_scores", "keypoints", "keypoint_visibility")
_POSES = tuple(field.name for field in fields(Poses))
_IMAGE = ("classification", "semantic_mask", "intrinsics", "preprocess", "extra")
_OWN = frozenset({*_COLUMNS, *_POSES, "class_name", "detection_extra"})


def to_supervision(predictions: ImagePredictions, classes: ClassTable | None = None) -> Any:
    """A ``supervision.Detections``; masks become (N, H, W) bool, empty where a detection has none.

    Args:
        predictions: one image's result.
        classes: names, for ``data["class_name"]``, which supervision's annotators show.

    Raises:
        AnydetError: the package supervision is not installed.
    """
    try:
        import supervision
    except ImportError as exc:
        raise AnydetError(
            "supervision is not installed", fix="install the package supervision of Roboflow"
        ) from exc
    masks = None
    if predictions.masks is not None and len(predictions):
        width, height = predictions.size_wh
        empty = np.zeros((height, width), np.bool_)
        masks = np.stack([empty if m is None else decode(m).astype(np.bool_) for m in predictions.masks])
    return supervision.Detections(
        xyxy=predictions.boxes_xyxy_px.copy(),
        confidence=predictions.scores.copy(),
        class_id=predictions.class_ids.copy(),
        mask=masks,
        data=_data(predictions, classes),
        metadata={"image": predictions.image, "size_wh": predictions.size_wh}
        | {name: getattr(predictions, name) for name in _IMAGE if getattr(predictions, name)},
    )


def from_supervision(
    detections: Any, image: str | None = None, size_wh: Size | None = None
) -> ImagePredictions:
    """A result from a ``supervision.Detections``; a score that is missing is 1, a class that is missing 0.

    ``tracker_id`` and columns of ``data`` that are not the contract's become ``detection_extra``.

    Args:
        detections: of one image.
        image: its key; by default that of ``to_supervision``.
        size_wh: its size in pixels; by default that of ``to_supervision``.

    Raises:
        AnydetError: neither an argument nor ``detections`` says which image it is, or how large.
    """
    count, data, metadata = len(detections), dict(detections.data), dict(detections.metadata)
    key, size = image or metadata.pop("image", None), size_wh or metadata.pop("size_wh", None)
    if key is None or size is None:
        raise AnydetError("the detections have no image key", fix="pass from_supervision image and size_wh")
    scores, class_ids = detections.confidence, detections.class_id
    poses = {name: np.asarray(data[name], np.float64) for name in _POSES if name in data}
    return ImagePredictions(
        key,
        size,
        np.asarray(detections.xyxy, np.float64).reshape(-1, 4),
        np.ones(count) if scores is None else np.asarray(scores, np.float64),
        np.zeros(count, np.int64) if class_ids is None else np.asarray(class_ids, np.int64),
        masks=_masks(detections.mask),
        poses=Poses(**poses) if poses else None,
        detection_extra=_extras(detections, data),
        **_columns(data),
        **_of_image(metadata),
    )


def _data(p: ImagePredictions, classes: ClassTable | None) -> dict[str, Any]:
    """Columns that ``Detections`` has no attribute for."""
    columns = {name: getattr(p, name) for name in _COLUMNS}
    columns |= {name: getattr(p.poses, name) for name in _POSES} if p.poses is not None else {}
    if p.detection_extra is not None:
        columns["detection_extra"] = np.array([*p.detection_extra, None], np.object_)[:-1]
    if classes is not None:
        columns["class_name"] = np.array([classes.names[i] for i in p.class_ids.tolist()], np.str_)
    return {name: column.copy() for name, column in columns.items() if column is not None}


def _columns(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(data[name]) for name in _COLUMNS if name in data}


def _masks(masks: Any) -> tuple[Any, ...] | None:
    return (
        None if masks is None else tuple(encode(m) if m.any() else None for m in np.asarray(masks, np.bool_))
    )


def _extras(detections: Any, data: Mapping[str, Any]) -> tuple[dict[str, Any] | None, ...] | None:
    """Our own column back, with what others added."""
    own = data.get("detection_extra", [None] * len(detections))
    rows: list[dict[str, Any]] = [dict(extra) if extra else {} for extra in own]
    foreign = {name: column for name, column in data.items() if name not in _OWN}
    if detections.tracker_id is not None:
        foreign["tracker_id"] = detections.tracker_id
    for name, column in foreign.items():
        for row, value in zip(rows, column, strict=True):
            row[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return tuple(row or None for row in rows) if any(rows) else None


def _of_image(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the image; unknown ones go to its ``extra``."""
    found = {name: metadata[name] for name in _IMAGE if name in metadata}
    foreign = {key: value for key, value in metadata.items() if key not in (*_IMAGE, "image", "size_wh")}
    return found | {"extra": {**found.get("extra", {}), **foreign}}
