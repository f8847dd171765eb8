"""Oriented boxes: (N, 5) center, size and angle in radians, from the x axis towards the y axis."""

from __future__ import annotations

import numpy as np

from anydet.types import FloatArray, IntArray

CORNERS = ("corner_1", "corner_2", "corner_3", "corner_4")
"""Names of the corners, in the order of ``corners_of``."""
_EPSILON = 1e-7
_BLOCK = 256
"""Rows of a matrix of overlaps that are computed at once."""


def corners_of(boxes: FloatArray) -> FloatArray:
    """(N, 4, 2) corners of (N, 5) boxes, clockwise, from the upper left one of the box before its turn."""
    center, half, angle = boxes[:, :2], boxes[:, 2:4] / 2, boxes[:, 4]
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1) * half[:, :1]
    down = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * half[:, 1:]
    return np.stack(
        [center - across - down, center + across - down, center + across + down, center - across + down],
        axis=1,
    )


def enclosing_xyxy(corners: FloatArray) -> FloatArray:
    """(N, 4) smallest upright boxes around (N, K, 2) points."""
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def prob_iou(left: FloatArray, right: FloatArray) -> FloatArray:
    """(N, M) one minus the Hellinger distance of the Gaussians that (N, 5) and (M, 5) boxes stand for.

    Source: Llerena et al. 2021, "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union for Object
    Detection"; small constants as Ultralytics' ``batch_probiou`` has them.
    """
    (xx, yy, xy), (other_xx, other_yy, other_xy) = _covariance(left), _covariance(right)
    sum_xx, sum_yy = xx[:, None] + other_xx, yy[:, None] + other_yy
    sum_xy = xy[:, None] + other_xy
    determinant = sum_xx * sum_yy - sum_xy**2
    dx, dy = (left[:, i, None] - right[:, i] for i in (0, 1))
    apart = (sum_xx * dy**2 + sum_yy * dx**2 - 2 * sum_xy * dx * dy) / (determinant + _EPSILON) / 4
    own = np.clip(xx * yy - xy**2, 0, None)[:, None] * np.clip(other_xx * other_yy - other_xy**2, 0, None)
    unlike = np.log(determinant / (4 * np.sqrt(own) + _EPSILON) + _EPSILON) / 2
    distance = np.clip(apart + unlike, _EPSILON, 100)
    overlap: FloatArray = 1 - np.sqrt(1 - np.exp(-distance) + _EPSILON)
    return overlap


def suppress_oriented(
    boxes: FloatArray, scores: FloatArray, class_ids: IntArray, threshold: float, limit: int | None = None
) -> IntArray:
    """Rows that stay, best score first: those that no better one of their class overlaps.

    Better ones count even where they are dropped themselves (Bolya et al. 2019, "YOLACT", Fast NMS), as in
    Ultralytics' code for oriented boxes.

    Args:
        boxes: (N, 5).
        scores: (N,).
        class_ids: (N,).
        threshold: ``prob_iou`` from which the lesser box is dropped.
        limit: only so many of the best.
    """
    kept = [
        _undisturbed(boxes, scores, np.flatnonzero(class_ids == one), threshold)
        for one in np.unique(class_ids)
    ]
    rows = np.sort(np.concatenate([np.zeros(0, np.int64), *kept]))
    ordered: IntArray = rows[np.argsort(-scores[rows], kind="stable")][:limit]
    return ordered


def _undisturbed(boxes: FloatArray, scores: FloatArray, rows: IntArray, threshold: float) -> IntArray:
    """Those of some rows that overlap no better one of them."""
    order = rows[np.argsort(-scores[rows], kind="stable")]
    stays = np.ones(len(order), np.bool_)
    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        overlaps = prob_iou(boxes[order[: block[-1]]], boxes[order[block]]) >= threshold
        better = np.arange(block[-1])[:, None] < block
        stays[block] = ~(overlaps & better).any(axis=0)
    return order[stays]


def _covariance(boxes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(N,) variances of x and y and their covariance: those of a uniform distribution over the box."""
    (a, b), cos, sin = boxes[:, 2:4].T ** 2 / 12, np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return a * cos**2 + b * sin**2, a * sin**2 + b * cos**2, (a - b) * cos * sin
