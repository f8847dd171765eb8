"""What each kind of file can hold, and a tally of what did not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from anydet.types import ImagePredictions

HOLDS: Mapping[str, frozenset[str]] = {
    "CSV": frozenset({"image sizes", "images without detections"}),
    "COCO results": frozenset({"masks", "keypoints", "image sizes"}),
    "YOLO labels": frozenset({"image sizes", "images without detections"}),
    "BOP results": frozenset({"poses", "image sizes", "extras of detections"}),
}
"""Fields beside image, class, score and box that a kind of file has a place for; the contract has all.

Of COCO results, YOLO labels and BOP results, the data set they belong to holds the sizes and the names of
classes. BOP results have no boxes: reading them makes boxes of the models."""

UNSCORED = "keypoints without score (written with score 1)"


def _rows(column: Any) -> int:
    """Rows of a float column that have a value."""
    return 0 if column is None else int((~np.isnan(column.reshape(len(column), -1))).any(axis=1).sum())


def _poses(p: ImagePredictions) -> int:
    """Detections with any field of a pose."""
    if p.poses is None or not len(p):
        return 0
    columns = [getattr(p.poses, field.name) for field in fields(p.poses)]
    known = [~np.isnan(c.reshape(len(p), -1)).all(axis=1) for c in columns if c is not None]
    return int(np.any(known, axis=0).sum()) if known else 0


def _visibilities(p: ImagePredictions) -> int:
    """Detections with a visibility that says more than that an unlabeled point is missing."""
    if p.keypoint_visibility is None or p.keypoints is None:
        return 0
    missing = np.isnan(p.keypoints[..., :2]).any(axis=2)
    stated = (p.keypoint_visibility > 0) | ((p.keypoint_visibility == 0) & ~missing)
    return int(stated.any(axis=1).sum())


def _unscored(p: ImagePredictions) -> int:
    """Detections with a point that has a place but no score."""
    if p.keypoints is None:
        return 0
    lacks = np.isnan(p.keypoints[..., 2]) & ~np.isnan(p.keypoints[..., :2]).any(axis=2)
    return int(lacks.any(axis=1).sum())


COUNTS: Mapping[str, Callable[[ImagePredictions], int]] = {
    "states": lambda p: 0 if p.states is None else int((p.states >= 0).sum()),
    "state scores": lambda p: _rows(p.state_scores),
    "masks": lambda p: sum(mask is not None for mask in p.masks or ()),
    "keypoints": lambda p: _rows(p.keypoints),
    "keypoint visibilities": _visibilities,
    "poses": _poses,
    "extras of detections": lambda p: sum(bool(extra) for extra in p.detection_extra or ()),
    "classifications": lambda p: int(p.classification is not None),
    "semantic masks": lambda p: int(p.semantic_mask is not None),
    "intrinsics": lambda p: int(p.intrinsics is not None),
    "preprocess": lambda p: int(p.preprocess is not None),
    "extras of images": lambda p: int(bool(p.extra)),
    "image sizes": lambda p: int(p.size_wh[0] > 0),
    "images without detections": lambda p: int(not len(p)),
}
"""Field -> how many detections (or images) of one result have it."""

CHANGES: Mapping[str, Mapping[str, Callable[[ImagePredictions], int]]] = {
    "CSV": {},
    "COCO results": {UNSCORED: _unscored},
    "YOLO labels": {},
    "BOP results": {"boxes": len},
}
"""What a kind of file has a place for, but not as it is: counted like what it cannot hold."""


def tally(images: Iterable[ImagePredictions], kind: str, lost: Counter[str]) -> Iterator[ImagePredictions]:
    """The images unchanged; what ``kind`` has no place for is counted in ``lost`` on the way."""
    counts = {name: count for name, count in COUNTS.items() if name not in HOLDS[kind]}
    counts.update(CHANGES[kind])
    for image in images:
        lost.update({name: found for name, count in counts.items() if (found := count(image))})
        yield image


def round_trip_table() -> str:
    """Format x field as a Markdown table: whether a file of that format can hold the field."""
    fields_ = ["boxes, scores, classes", *COUNTS, "meta"]
    kept = {
        "list": set(fields_) - {"meta"},
        "wrapped": set(fields_),
        "JSON Lines": set(fields_),
        "Parquet": set(fields_),
        **{kind: {fields_[0], *held} for kind, held in HOLDS.items() if kind != "BOP results"},
    }
    lines = [f"| field | {' | '.join(kept)} |", "|---" * (len(kept) + 1) + "|"]
    for name in fields_:
        lines.append(f"| {name} | {' | '.join('yes' if name in held else '-' for held in kept.values())} |")
    return "\n".join(lines) + "\n"
