"""Predictions made of labels: some missed, moved, of another class or state, twice, or of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from anydet.data.dataset.protocols import Dataset
from anydet.geometry import masks
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.poses import resolve
from anydet.types import Intrinsics, Labels


def noisy_predictions(dataset: Dataset, seed: int = 0, missed: float = 0.15) -> list[dict[str, Any]]:
    """Entries of the contract, as its JSON has them.

    Args:
        dataset: with labels.
        seed: of what is wrong.
        missed: fraction of the labels that are not found.
    """
    rng = np.random.default_rng(seed)
    classes = len(dataset.classes or ())
    entries = []
    for i in range(len(dataset)):
        record = dataset[i]
        size, labels = record.size_wh, record.labels
        assert labels is not None
        found = []
        for row in range(len(labels)):
            if rng.random() > missed:
                found.append(_detection(labels, row, size, record.intrinsics, classes, rng))
                if rng.random() < 0.08:
                    found.append({**found[-1], "score": round(float(found[-1]["score"]) * 0.6, 4)})
        while rng.random() < 0.5:
            found.append(
                {
                    "class_id": int(rng.integers(classes)),
                    "score": _score(rng, 0.3),
                    "bbox": _box(rng.random(4) * 0.4, rng, 0),
                }
            )
        entries.append(
            {"image": record.key, "image_size": {"width": size[0], "height": size[1]}, "detections": found}
        )
    return entries


def _detection(
    labels: Labels,
    row: int,
    size: tuple[int, int],
    camera: Intrinsics | None,
    classes: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    x, y, w, h = (labels.boxes_xywh_px[row] / np.tile(size, 2)).tolist()
    class_id = int(labels.class_ids[row])
    found: dict[str, Any] = {
        "class_id": int(rng.integers(classes)) if rng.random() < 0.1 else class_id,
        "score": _score(rng, 0.75),
        "bbox": _box(np.array([x, y, w, h]), rng, 0.06 if rng.random() < 0.8 else 0.3),
    }
    if labels.states is not None and labels.states[row] >= 0:
        found["state"] = int(labels.states[row]) if rng.random() < 0.85 else 0
    if labels.segmentations is not None and labels.segmentations[row]:
        rle = masks.as_rle(labels.segmentations[row], size)
        assert rle is not None
        found["mask"] = {"size": list(rle.size_hw), "counts": rle.counts}
    if labels.keypoints is not None:
        points = labels.keypoints[row, :, :2] / size + rng.normal(0, 0.01, labels.keypoints[row, :, :2].shape)
        found["keypoints"] = [{"x": px, "y": py, "score": 0.9} for px, py in np.clip(points, 0, 1).tolist()]
    if labels.poses is not None and camera is not None:
        at = np.array([row])
        rotation, translation = resolve(labels.poses.take(at), xywh_to_xyxy(labels.boxes_xywh_px[at]), camera)
        if np.isfinite(rotation).all() and np.isfinite(translation).all():
            angle = rng.normal(0, 0.2)
            turn = np.array(
                [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
            )
            found["R"], found["t"] = (turn @ rotation[0]).tolist(), (translation[0] * 1.02).tolist()
    return found


def _box(xywh: np.ndarray, rng: np.random.Generator, noise: float) -> dict[str, float]:
    x, y, w, h = (xywh + rng.normal(0, noise, 4) * np.tile(xywh[2:], 2)).tolist()
    w, h = max(w, 0.01), max(h, 0.01)
    return {"cx": x + w / 2, "cy": y + h / 2, "w": w, "h": h}


def _score(rng: np.random.Generator, mean: float) -> float:
    return round(float(np.clip(rng.normal(mean, 0.18), 0.01, 0.999)), 4)
