"""The picture of each item: a crop around it, and what is on that, for the page to draw as lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from itertools import groupby
from typing import Any

import numpy as np
from PIL import Image, features

from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.errors import ImageError
from anydet.evaluation.pose_matches import camera_table
from anydet.geometry import masks
from anydet.geometry.boxes import iou_xyxy, xywh_to_xyxy
from anydet.geometry.outlines import outlines
from anydet.geometry.poses import axes_px
from anydet.report.marks import SURE_KEYPOINT
from anydet.report.page.outcomes import Judgements
from anydet.report.page.sampling import TRUTH, Item
from anydet.types import (
    RLE,
    ByteImage,
    DetectionColumns,
    FloatArray,
    GroundTruthColumns,
    IntArray,
    Intrinsics,
    Poses,
    Size,
)

LONGEST_PX = 224
"""Longer side of a picture; smaller crops keep their pixels."""
_AROUND = 1.9
"""Side of a crop by the longer side of its box."""
_SMALLEST_PX = 56
_SMALLEST_FRACTION = 0.12
"""Of the longer side of the image: a crop shows where it is."""
_MOST_MARKS = 12
"""Of each side; those beside the item that overlap the crop."""
_MASK_PX = 96
"""Longer side at which a mask is traced."""
_WEBP: dict[str, Any] = {"format": "WEBP", "quality": 70, "method": 4}
_JPEG: dict[str, Any] = {"format": "JPEG", "quality": 75}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A crop and its marks.

    Attributes:
        item: what it is of.
        content: the encoded image; empty where the image could not be read.
        size_wh: of the encoded image.
        marks: plain data, in pixels of the encoded image; the item's own mark is the first.
        iou: highest IoU of a detection with an annotation, or of an annotation with each model's detections.
        marks_left_out: what overlaps the crop and is not among the marks.
    """

    item: Item
    content: bytes
    size_wh: Size
    marks: list[dict[str, Any]]
    iou: list[float]
    marks_left_out: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The rows of one model or of the ground truth, sorted for looking up an image's.

    Attributes:
        model: position of the model, or ``TRUTH``.
        rows: (N,) rows by image.
        edges: (I + 1,) where those of each image begin in ``rows``.
        boxes_xyxy_px: (N, 4).
        classes: (N,).
        cameras: (I, 4).
        scores: (N,) or ``None``.
        masks: segmentations or ``None``.
        keypoints: (N, K, 3) with visibility 0, 1, 2, or ``None``.
        states: (N,) or ``None``.
        poses: poses or ``None``.
    """

    model: int
    rows: IntArray
    edges: IntArray
    boxes_xyxy_px: FloatArray
    classes: IntArray
    cameras: FloatArray
    scores: FloatArray | None = None
    masks: Sequence[Any] | None = None
    keypoints: FloatArray | None = None
    states: IntArray | None = None
    poses: Poses | None = None

    def of(self, image: int) -> IntArray:
        """Rows on an image."""
        return self.rows[self.edges[image] : self.edges[image + 1]]


def media_type() -> str:
    """Of all pictures: WebP where Pillow has it."""
    return "image/webp" if features.check("webp") else "image/jpeg"


def sides_of(ground_truth: GroundTruthColumns, found: Sequence[DetectionColumns]) -> list[Side]:
    """The ground truth, and then each model."""
    labels, count = ground_truth.labels, len(ground_truth.images)
    cameras = [camera_table(one, ground_truth) for one in found]
    truth = Side(
        TRUTH,
        *_by_image(ground_truth.image_index, count),
        xywh_to_xyxy(labels.boxes_xywh_px),
        labels.class_ids,
        cameras[0][1],
        masks=labels.segmentations,
        keypoints=labels.keypoints,
        states=labels.states,
        poses=labels.poses,
    )
    return [truth, *(_predicted(m, one, cameras[m][0], count) for m, one in enumerate(found))]


def draw_items(
    items: Sequence[Item],
    dataset: Dataset,
    sides: Sequence[Side],
    judged: Sequence[Judgements],
    *,
    skip: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[list[Picture], list[str]]:
    """A picture of each item, and the keys of images that could not be read.

    Args:
        items: by image, so that each image is decoded once.
        dataset: has the images.
        sides: of ``sides_of``.
        judged: what became of the detections of each model.
        skip: leave the picture of an image that cannot be read empty, instead of raising.
        advance: called with the number of items done.

    Raises:
        ImageError: an image cannot be read, and ``skip`` is not set.
    """
    pictures: list[Picture] = []
    unread: list[str] = []
    for image, group in groupby(items, lambda item: item.image):
        record, mine = dataset[image], list(group)
        try:
            pixels: ByteImage | None = record.image()
        except ImageError:
            if not skip:
                raise
            pixels = None
            unread.append(record.key)
        pictures += [_draw(item, pixels, sides, judged) for item in mine]
        advance(len(mine))
    return pictures, unread


def _by_image(image_index: IntArray, count: int) -> tuple[IntArray, IntArray]:
    rows = np.argsort(image_index, kind="stable")
    return rows, np.searchsorted(image_index[rows], np.arange(count + 1))


def _predicted(model: int, one: DetectionColumns, cameras: FloatArray, count: int) -> Side:
    points = one.keypoints
    if points is not None:
        points = points.copy()
        likely = np.where(points[..., 2] < SURE_KEYPOINT, 1.0, 2.0)
        stated = one.keypoint_visibility
        points[..., 2] = likely if stated is None else np.where(stated < 0, likely, stated)
    return Side(
        model,
        *_by_image(one.image_index, count),
        xywh_to_xyxy(one.boxes_xywh_px),
        one.class_ids,
        cameras,
        scores=one.scores,
        masks=one.masks,
        keypoints=points,
        states=one.states,
        poses=one.poses,
    )


def _draw(
    item: Item, pixels: ByteImage | None, sides: Sequence[Side], judged: Sequence[Judgements]
) -> Picture:
    own = sides[item.model + 1]
    box = own.boxes_xyxy_px[item.row]
    if pixels is None:
        return Picture(item, b"", (0, 0), [], [])
    window = _window(box, (pixels.shape[1], pixels.shape[0]))
    left, top, right, bottom = window
    scale = min(1.0, LONGEST_PX / max(right - left, bottom - top))
    size_wh = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    crop = Image.fromarray(pixels).resize(size_wh, Image.Resampling.BOX if scale < 1 else None, box=window)
    place = _Place(window, size_wh, (pixels.shape[1], pixels.shape[0]))
    partners = _partners(item, judged)
    marks, left_out = [_mark(own, item.row, item.image, place, whole=True)], 0
    for side in sides:
        rows = _overlapping(side, item, window)
        first = [row for row in partners.get(side.model, ()) if row in set(rows.tolist())]
        rest = [row for row in rows.tolist() if row not in first]
        shown = (first + rest)[:_MOST_MARKS]
        left_out += len(rows) - len(shown)
        marks += [_mark(side, row, item.image, place, whole=row in first) for row in shown]
    return Picture(item, _encode(crop), size_wh, marks, _best_iou(item, sides), left_out)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a crop is in its image, and how large its picture is."""

    window: tuple[int, int, int, int]
    size_wh: Size
    image_wh: Size

    def points(self, xy: FloatArray) -> FloatArray:
        """(..., 2) pixels of the image as pixels of the picture, to a tenth."""
        left, top, right, bottom = self.window
        scale = np.array([self.size_wh[0] / (right - left), self.size_wh[1] / (bottom - top)])
        placed: FloatArray = np.round((xy - (left, top)) * scale, 1)
        return placed


def _window(box: FloatArray, image_wh: Size) -> tuple[int, int, int, int]:
    """A square around the box, moved and cut so that it is inside the image."""
    box = np.clip(box, 0, np.tile(np.array(image_wh, np.float64), 2))
    longest = max(image_wh)
    side = max(_AROUND * float((box[2:] - box[:2]).max()), _SMALLEST_PX, _SMALLEST_FRACTION * longest)
    corners = []
    for axis in (0, 1):
        length = min(round(side), image_wh[axis])
        start = round(float(box[axis] + box[axis + 2]) / 2 - length / 2)
        start = min(max(0, start), image_wh[axis] - length)
        corners.append((start, start + max(1, length)))
    (left, right), (top, bottom) = corners
    return left, top, right, bottom


def _partners(item: Item, judged: Sequence[Judgements]) -> Mapping[int, list[int]]:
    """Rows that the item is matched to, by model."""
    if item.model != TRUTH:
        target = int(judged[item.model].pairs.annotations[item.row])
        return {} if target < 0 else {TRUTH: [target]}
    return {m: np.flatnonzero(one.pairs.annotations == item.row).tolist()[:1] for m, one in enumerate(judged)}


def _overlapping(side: Side, item: Item, window: tuple[int, int, int, int]) -> IntArray:
    """Rows of a side that lie on the crop, without the item; those that count most first."""
    rows = side.of(item.image)
    boxes = side.boxes_xyxy_px[rows]
    inside = (np.minimum(boxes[:, 2:], window[2:]) > np.maximum(boxes[:, :2], window[:2])).all(axis=1)
    if side.model == item.model:
        inside &= rows != item.row
    rows, boxes = rows[inside], boxes[inside]
    rank = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) if side.scores is None else side.scores[rows]
    return rows[np.argsort(-rank, kind="stable")]


def _best_iou(item: Item, sides: Sequence[Side]) -> list[float]:
    """Highest IoU with an annotation, or of an annotation with the detections of each model."""
    box = sides[item.model + 1].boxes_xyxy_px[item.row][None]
    against = sides[:1] if item.model != TRUTH else sides[1:]
    found = [iou_xyxy(box, side.boxes_xyxy_px[side.of(item.image)]).max(initial=0.0) for side in against]
    return [round(float(value), 3) for value in found]


def _mark(side: Side, row: int, image: int, place: _Place, *, whole: bool) -> dict[str, Any]:
    """One object as plain data; with its mask where it is wanted ``whole``."""
    corners = place.points(side.boxes_xyxy_px[row].reshape(2, 2))
    mark: dict[str, Any] = {
        "m": side.model,
        "c": int(side.classes[row]),
        "b": [*corners[0].tolist(), *(corners[1] - corners[0]).round(1).tolist()],
    }
    if side.scores is not None:
        mark["s"] = round(float(side.scores[row]), 4)
    if side.states is not None and side.states[row] >= 0:
        mark["t"] = int(side.states[row])
    if side.keypoints is not None:
        points = side.keypoints[row]
        seen = np.isfinite(points).all(axis=1) & (points[:, 2] > 0)
        xy = place.points(points[seen, :2])
        mark["k"] = [[x, y, int(v)] for (x, y), v in zip(xy.tolist(), points[seen, 2], strict=True)]
    axes = _axes(side, row, image, place)
    if axes is not None:
        mark["a"] = axes
    if whole and side.masks is not None and side.masks[row]:
        rle = masks.as_rle(side.masks[row], place.image_wh)
        mark["p"] = [] if rle is None else _polygons(rle, place)
    return mark


def _axes(side: Side, row: int, image: int, place: _Place) -> list[list[float]] | None:
    camera = side.cameras[image]
    if side.poses is None or not np.isfinite(camera).all():
        return None
    at = np.array([row])
    points = axes_px(side.poses.take(at), side.boxes_xyxy_px[at], Intrinsics(*camera.tolist()))[0]
    return place.points(points).tolist() if np.isfinite(points).all() else None


def _polygons(rle: RLE, place: _Place) -> list[list[float]]:
    """Outlines of the part of a mask that is on the crop, smoothed to the middles of the steps of pixels."""
    left, top, right, bottom = place.window
    mask = masks.decode(rle)[top:bottom, left:right]
    if not mask.any():
        return []
    scale = min(1.0, _MASK_PX / max(mask.shape))
    size_wh = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    small = np.asarray(Image.fromarray(mask).resize(size_wh, Image.Resampling.NEAREST))
    to_picture = np.array(place.size_wh) / size_wh
    rings = []
    for ring in outlines(small)[0]:
        corners = np.array(ring).reshape(-1, 2)
        middles = (corners + np.roll(corners, -1, axis=0)) / 2
        rings.append(np.round(middles * to_picture, 1).ravel().tolist())
    return rings


def _encode(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, **(_WEBP if media_type() == "image/webp" else _JPEG))
    return buffer.getvalue()
