"""Differences of matched detections: one column of numbers for each thing that both sides state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from pycocotools import mask as coco_mask

from anydet.columns import row_count
from anydet.crosscheck.matching import Pairs, iou_of_rows
from anydet.crosscheck.tolerances import Tolerances
from anydet.dataclass import dataclass
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.masks import to_coco
from anydet.geometry.pose_errors import rotation_error_deg
from anydet.geometry.rotations import rot6d_to_matrix
from anydet.mask_columns import MaskColumn
from anydet.types import RLE, DetectionColumns, FloatArray, ImageColumns, IntArray, Poses


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """How far pairs differ in one thing.

    Attributes:
        name: of the thing.
        unit: of the difference; "" where it has none.
        tolerance: largest difference that counts as equal.
        values: (P,) float64 at least 0; NaN where neither side states it, infinity where one does.
    """

    name: str
    unit: str
    tolerance: float
    values: FloatArray

    @property
    def known(self) -> FloatArray:
        """(K,) differences of the pairs that state it."""
        known: FloatArray = self.values[~np.isnan(self.values)]
        return known

    @property
    def beyond(self) -> IntArray:
        """Rows beyond the tolerance."""
        # The slack of decimal numbers, as in `matching.match_equal`.
        return np.flatnonzero(self.values > self.tolerance + 1e-9 * max(1.0, self.tolerance))


def differences(
    a: DetectionColumns, b: DetectionColumns, pairs: Pairs, limits: Tolerances
) -> tuple[Quantity, ...]:
    """Everything that pairs of detections differ in; what neither side has is left out.

    Args:
        a: one side.
        b: the other, over the same images.
        pairs: rows that belong together.
        limits: tolerances.
    """
    boxes = xywh_to_xyxy(a.boxes_xywh_px[pairs.a]), xywh_to_xyxy(b.boxes_xywh_px[pairs.b])
    sides = np.abs(boxes[0] - boxes[1]).max(axis=1, initial=0)
    scores = np.abs(a.scores[pairs.a] - b.scores[pairs.b])
    found = [
        Quantity("box", "px", limits.box_px, sides),
        Quantity("score", "", limits.score, scores),
        *_states(a, b, pairs, limits),
        *_masks(a, b, pairs, limits),
        *_keypoints(a, b, pairs, limits),
        *_poses(a.poses, b.poses, pairs, limits),
    ]
    return tuple(one for one in found if one.name in {"box", "score"} or not np.isnan(one.values).all())


def image_differences(
    a: ImageColumns | None, b: ImageColumns | None, limits: Tolerances
) -> tuple[Quantity, ...]:
    """What the predictions of whole images differ in, one row an image."""
    if a is None and b is None:
        return ()
    count = max(_height(a), _height(b))
    rows = np.arange(count)
    whole = Pairs(rows, rows, np.zeros(count))

    def column(name: str) -> tuple[FloatArray | None, FloatArray | None]:
        one, other = (None if c is None else getattr(c, name) for c in (a, b))
        return one, other

    masks = [None if c is None else c.semantic_masks for c in (a, b)]
    found = [
        Quantity("image class", "", 0.0, _unequal(*column("class_ids"), whole)),
        Quantity("image class score", "", limits.score, _apart(*column("confidences"), whole)),
        Quantity("image class scores", "", limits.score, _apart(*column("class_scores"), whole)),
        Quantity("semantic mask", "1 - IoU", limits.mask, _semantic(masks[0], masks[1], count)),
        Quantity("camera", "px", limits.box_px, _apart(*column("cameras"), whole)),
    ]
    return tuple(one for one in found if not np.isnan(one.values).all())


def mean_shift_px(a: DetectionColumns, b: DetectionColumns, pairs: Pairs) -> FloatArray:
    """(4,) mean of B - A of the left, upper, right and lower sides: what all boxes have in common."""
    if not len(pairs):
        return np.zeros(4)
    shift: FloatArray = (
        xywh_to_xyxy(b.boxes_xywh_px[pairs.b]) - xywh_to_xyxy(a.boxes_xywh_px[pairs.a])
    ).mean(axis=0)
    return shift


def least_iou(a: DetectionColumns, b: DetectionColumns, pairs: Pairs) -> float:
    """The smallest IoU of a pair; 1 without pairs."""
    boxes = xywh_to_xyxy(a.boxes_xywh_px[pairs.a]), xywh_to_xyxy(b.boxes_xywh_px[pairs.b])
    return float(iou_of_rows(*boxes).min(initial=1.0))


def _states(a: DetectionColumns, b: DetectionColumns, pairs: Pairs, limits: Tolerances) -> Iterator[Quantity]:
    yield Quantity("state", "", 0.0, _unequal(a.states, b.states, pairs))
    yield Quantity("state scores", "", limits.score, _apart(a.state_scores, b.state_scores, pairs))


def _masks(a: DetectionColumns, b: DetectionColumns, pairs: Pairs, limits: Tolerances) -> Iterator[Quantity]:
    if a.masks is None and b.masks is None:
        return
    columns = [
        MaskColumn.empty(len(side)) if side.masks is None else MaskColumn.of(side.masks) for side in (a, b)
    ]
    one, other = columns[0].take(pairs.a), columns[1].take(pairs.b)
    values = np.where(
        one.missing, np.where(other.missing, np.nan, np.inf), np.where(other.missing, np.inf, 0.0)
    )
    for row in np.flatnonzero(values == 0).tolist():
        values[row] = _mask_difference(one.row(row), other.row(row))
    yield Quantity("mask", "1 - IoU", limits.mask, values)


def _mask_difference(one: RLE | None, other: RLE | None) -> float:
    assert one is not None
    assert other is not None
    if one == other:
        return 0.0
    if one.size_hw != other.size_hw:
        return np.inf
    coded = to_coco(one), to_coco(other)
    union = float(coco_mask.area(coco_mask.merge(list(coded))))
    inter = float(coco_mask.area(coco_mask.merge(list(coded), intersect=True)))
    return 1 - inter / union if union else 0.0


def _keypoints(
    a: DetectionColumns, b: DetectionColumns, pairs: Pairs, limits: Tolerances
) -> Iterator[Quantity]:
    points = [None if side.keypoints is None else side.keypoints for side in (a, b)]
    places = [None if p is None else p[..., :2] for p in points]
    yield Quantity("keypoint", "px", limits.keypoint_px, _distance(places[0], places[1], pairs))
    scores = [None if p is None else p[..., 2] for p in points]
    yield Quantity("keypoint score", "", limits.score, _apart(scores[0], scores[1], pairs))
    yield Quantity(
        "keypoint visibility", "", 0.0, _unequal(a.keypoint_visibility, b.keypoint_visibility, pairs)
    )


def _poses(a: Poses | None, b: Poses | None, pairs: Pairs, limits: Tolerances) -> Iterator[Quantity]:
    if a is None and b is None:
        return

    def column(name: str) -> tuple[FloatArray | None, FloatArray | None]:
        one, other = (None if c is None else getattr(c, name) for c in (a, b))
        return one, other

    yield Quantity("rotation", "degrees", limits.rotation_deg, _angles(a, b, pairs))
    yield Quantity("translation", "m", limits.translation_m, _distance(*column("translations_m"), pairs))
    yield Quantity("depth", "log", limits.depth, _apart(*column("log_z"), pairs))
    yield Quantity("offset", "px", limits.box_px, _apart(*column("offsets_px"), pairs))
    yield Quantity("camera correction", "", limits.depth, _apart(*column("k_delta"), pairs))
    for name, label in (("log_sigma_z", "depth uncertainty"), ("log_sigma_rot", "rotation uncertainty")):
        yield Quantity(label, "log", limits.score, _apart(*column(name), pairs))


def _angles(a: Poses | None, b: Poses | None, pairs: Pairs) -> FloatArray:
    """(P,) degrees between rotations; those as matrices where a row has one, else the 6-D ones."""
    one, other = (rotation_matrices(side, rows) for side, rows in ((a, pairs.a), (b, pairs.b)))
    known = [np.isfinite(m).all(axis=(1, 2)) for m in (one, other)]
    angles = np.full(len(pairs), np.nan)
    angles[known[0] != known[1]] = np.inf
    both = known[0] & known[1]
    angles[both] = rotation_error_deg(one[both], other[both])
    # Arc cosine turns rounding at one into a thousandth of a degree.
    angles[both & (one == other).all(axis=(1, 2))] = 0.0
    return angles


def rotation_matrices(poses: Poses | None, rows: IntArray) -> FloatArray:
    """(len(rows), 3, 3) rotations as they are stated, else of their 6-D form; NaN where neither is."""
    found = np.full((len(rows), 3, 3), np.nan)
    if poses is not None and poses.rot6d is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            found = rot6d_to_matrix(poses.rot6d[rows])
    if poses is not None and poses.rotations is not None:
        stated = poses.rotations[rows]
        whole = np.flatnonzero(np.isfinite(stated).all(axis=(1, 2)))
        found[whole] = stated[whole]
    return found


def _rows_of(column: FloatArray | IntArray | None, rows: IntArray, like: FloatArray | IntArray) -> FloatArray:
    """Rows as floats, (P, K); what is missing is NaN."""
    if column is None:
        shape = (len(rows), *like.shape[1:])
        return np.full(shape, np.nan).reshape(len(rows), -1)
    taken = column[rows].astype(np.float64)
    if column.dtype.kind == "i":
        taken[taken < 0] = np.nan
    return taken.reshape(len(rows), -1)


def _both(
    one: FloatArray | IntArray | None, other: FloatArray | IntArray | None, pairs: Pairs
) -> tuple[FloatArray, FloatArray] | None:
    like = one if one is not None else other
    if like is None:
        return None
    left, right = _rows_of(one, pairs.a, like), _rows_of(other, pairs.b, like)
    width = max(left.shape[1], right.shape[1])
    padded = [np.pad(c, ((0, 0), (0, width - c.shape[1])), constant_values=np.nan) for c in (left, right)]
    return padded[0], padded[1]


def _worst(gaps: FloatArray, left: FloatArray, right: FloatArray) -> FloatArray:
    """(P,) largest of (P, K) gaps; NaN where no number is known, infinity where one side alone knows one."""
    here, there = np.isfinite(left), np.isfinite(right)
    gaps = np.where(here & there, gaps, -np.inf)
    worst = np.where((here != there).any(axis=1), np.inf, gaps.max(axis=1, initial=-np.inf))
    found: FloatArray = np.where(worst < 0, np.nan, worst)
    return found


def _apart(one: FloatArray | None, other: FloatArray | None, pairs: Pairs) -> FloatArray:
    """(P,) largest absolute difference of a row's numbers."""
    both = _both(one, other, pairs)
    if both is None:
        return np.full(len(pairs), np.nan)
    with np.errstate(invalid="ignore"):
        return _worst(np.abs(both[0] - both[1]), *both)


def _unequal(
    one: IntArray | FloatArray | None, other: IntArray | FloatArray | None, pairs: Pairs
) -> FloatArray:
    """(P,) 1 where any number differs, else 0."""
    gaps = _apart(one, other, pairs)  # type: ignore[arg-type]
    return np.where(np.isfinite(gaps), (gaps > 0).astype(np.float64), gaps)


def _distance(one: FloatArray | None, other: FloatArray | None, pairs: Pairs) -> FloatArray:
    """(P,) largest distance of a row's points, whose coordinates are the last axis."""
    both = _both(one, other, pairs)
    if both is None:
        return np.full(len(pairs), np.nan)
    like = one if one is not None else other
    assert like is not None
    last = like.shape[-1]
    left, right = (c.reshape(len(pairs), -1, last) for c in both)
    return _worst(np.linalg.norm(left - right, axis=2), left[..., 0], right[..., 0])


_Semantic: TypeAlias = Sequence[Mapping[int, RLE] | None] | None


def _semantic(one: _Semantic, other: _Semantic, count: int) -> FloatArray:
    """(I,) largest 1 - IoU of a class's mask on each image."""
    values = np.full(count, np.nan)
    for i in range(count) if one is not None or other is not None else ():
        left, right = (None if c is None else c[i] for c in (one, other))
        if left is None and right is None:
            continue
        if left is None or right is None:
            values[i] = np.inf
            continue
        classes = set(left) | set(right)
        gaps = [_mask_difference(left[c], right[c]) if c in left and c in right else np.inf for c in classes]
        values[i] = max(gaps, default=0.0)
    return values


def _height(columns: ImageColumns | None) -> int:
    return 0 if columns is None else row_count(columns)
