"""The picture of each item: a crop around it, and what is on that, for the page to draw as lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from io import BytesIO
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, features

from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.errors import ImageError
from anydet.evaluation.greedy_matching import Pairs
from anydet.evaluation.pose_matches import camera_table
from anydet.geometry import masks
from anydet.geometry.boxes import iou_xyxy, xywh_to_xyxy
from anydet.geometry.outlines import outlines
from anydet.geometry.poses import axes_px
from anydet.report.marks import SURE_KEYPOINT
from anydet.report.page.sampling import IMAGE, TRUTH, Item
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

Window: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom of a crop, in pixels of its image."""
LONGEST_PX = 224
"""Longer side of a picture; smaller crops keep their pixels."""
_AROUND = 1.9
"""Side of a crop by the longer side of its box."""
_SMALLEST_PX = 56
_SMALLEST_FRACTION = 0.12
"""Of the longer side of the image: a crop shows where it is."""
_MOST_MARKS = 12
"""Of each side; those beside the item that overlap the crop."""
_MOST_ON_IMAGE = 300
"""Of each side, on an image as a whole."""
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
        marks: plain data, in pixels of the encoded image; the item's own mark is the first, unless it is an
            image as a whole.
        iou: highest IoU of a detection with an annotation, or of an annotation with each model's detections.
        marks_left_out: what overlaps the crop and is not among the marks.
    """

    item: Item
    content: bytes
    size_wh: Size
    marks: list[dict[str, Any]]
    iou: list[float]
    marks_left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """What the page knows of it beside its content."""
        return {
            "m": self.item.model,
            "r": self.item.row,
            "wh": self.size_wh,
            "marks": self.marks,
            "iou": self.iou,
            "more": self.marks_left_out,
        }


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
        partners: which row of another side each row is matched to, or -1, by the model of that side.
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
    partners: Mapping[int, IntArray] = field(default_factory=dict)

    def of(self, image: int) -> IntArray:
        """Rows on an image."""
        return self.rows[self.edges[image] : self.edges[image + 1]]


def media_type() -> str:
    """Of all pictures: WebP where Pillow has it."""
    return "image/webp" if features.check("webp") else "image/jpeg"


def sides_of(
    ground_truth: GroundTruthColumns, found: Sequence[DetectionColumns], matched: Sequence[Pairs]
) -> list[Side]:
    """The ground truth, and then each model.

    Args:
        ground_truth: the annotations.
        found: detections of each model.
        matched: what they were matched to.
    """
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
        partners={m: _first_matches(pairs, len(ground_truth)) for m, pairs in enumerate(matched)},
    )
    models = zip(found, cameras, matched, strict=True)
    return [truth, *(_predicted(m, one, own, count, to) for m, (one, (own, _), to) in enumerate(models))]


def draw_items(
    items: Sequence[Item],
    dataset: Dataset,
    sides: Sequence[Side],
    *,
    skip: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[list[Picture], list[str]]:
    """A picture of each item, and the keys of images that could not be read.

    Args:
        items: by image, so that each image is decoded once.
        dataset: has the images.
        sides: of ``sides_of``.
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
        pictures += [_draw(item, pixels, sides) for item in mine]
        advance(len(mine))
    return pictures, unread


def _draw(item: Item, pixels: ByteImage | None, sides: Sequence[Side]) -> Picture:
    if pixels is None:
        return Picture(item, b"", (0, 0), [], [])
    image_wh = pixels.shape[1], pixels.shape[0]
    return describe(item, image_wh, sides, crop(pixels, window_of(item, image_wh, sides), image_wh))


def describe(item: Item, image_wh: Size, sides: Sequence[Side], content: bytes = b"") -> Picture:
    """The overlay of an item's crop; no image is read.

    Args:
        item: what it is of.
        image_wh: size of its image, in whose pixels boxes are.
        sides: of ``sides_of``.
        content: its picture, where there is one already.
    """
    window = window_of(item, image_wh, sides)
    place = _Place(window, picture_wh(window), image_wh)
    whole = item.model == IMAGE
    partners = {} if whole else {m: int(to[item.row]) for m, to in sides[item.model + 1].partners.items()}
    marks = [] if whole else [_mark(sides[item.model + 1], item.row, item.image, place, whole=True)]
    left_out = 0
    for side in sides:
        rows = _overlapping(side, item, window).tolist()
        partner = partners.get(side.model, -1)
        # What it is matched to is drawn however many there are.
        if partner in rows:
            rows = [partner, *(row for row in rows if row != partner)]
        shown = rows[: _MOST_ON_IMAGE if whole else _MOST_MARKS]
        left_out += len(rows) - len(shown)
        drawn = [_mark(side, row, item.image, place, whole=whole or row == partner) for row in shown]
        # Of an image as a whole, any may be the one that is looked at.
        marks += [{**mark, "r": row} for mark, row in zip(drawn, shown, strict=True)] if whole else drawn
    return Picture(item, content, place.size_wh, marks, _best_iou(item, sides), left_out)


def window_of(item: Item, image_wh: Size, sides: Sequence[Side]) -> Window:
    """Left, top, right and bottom of an item's crop, in pixels of its image."""
    if item.model == IMAGE:
        return 0, 0, *image_wh
    return _window(sides[item.model + 1].boxes_xyxy_px[item.row], image_wh)


def picture_wh(window: Window, longest_px: int = LONGEST_PX) -> Size:
    """Width and height of the picture of a crop; smaller crops keep their pixels."""
    left, top, right, bottom = window
    scale = min(1.0, longest_px / max(right - left, bottom - top))
    return max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))


def crop(pixels: ByteImage, window: Window, image_wh: Size, longest_px: int = LONGEST_PX) -> bytes:
    """The encoded picture of a part of an image.

    Args:
        pixels: (H, W, 3).
        window: left, top, right and bottom.
        image_wh: size of the image in whose pixels the window is; that of ``pixels``, unless the data set
            states another.
        longest_px: longer side of the picture; smaller crops keep their pixels.
    """
    size_wh = picture_wh(window, longest_px)
    shrinks = size_wh != (window[2] - window[0], window[3] - window[1])
    factors = [pixels.shape[1] / image_wh[0], pixels.shape[0] / image_wh[1]] * 2
    box = tuple(edge * factor for edge, factor in zip(window, factors, strict=True))
    method = Image.Resampling.BOX if shrinks else None
    return _encode(Image.fromarray(pixels).resize(size_wh, method, box=box))


def _by_image(image_index: IntArray, count: int) -> tuple[IntArray, IntArray]:
    rows = np.argsort(image_index, kind="stable")
    return rows, np.searchsorted(image_index[rows], np.arange(count + 1))


def _first_matches(pairs: Pairs, annotations: int) -> IntArray:
    """(G,) the first detection that is matched to each annotation, or -1."""
    first = np.full(annotations, -1, np.int64)
    # Of equal positions the last one assigned stays.
    rows = np.flatnonzero(pairs.annotations >= 0)[::-1]
    first[pairs.annotations[rows]] = rows
    return first


def _predicted(model: int, one: DetectionColumns, cameras: FloatArray, count: int, matched: Pairs) -> Side:
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
        partners={TRUTH: matched.annotations},
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a crop is in its image, and how large its picture is."""

    window: Window
    size_wh: Size
    image_wh: Size

    def points(self, xy: FloatArray) -> FloatArray:
        """(..., 2) pixels of the image as pixels of the picture, to a tenth."""
        left, top, right, bottom = self.window
        scale = np.array([self.size_wh[0] / (right - left), self.size_wh[1] / (bottom - top)])
        placed: FloatArray = np.round((xy - (left, top)) * scale, 1)
        return placed


def _window(box: FloatArray, image_wh: Size) -> Window:
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


def _overlapping(side: Side, item: Item, window: Window) -> IntArray:
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
    if item.model == IMAGE:
        return []
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
