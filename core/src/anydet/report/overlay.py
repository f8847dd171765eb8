"""Pictures of predictions and ground truth: boxes, names, scores, masks and keypoints on the image."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anydet.errors import ContractError
from anydet.geometry import masks
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.poses import axes_px
from anydet.types import (
    RLE,
    ByteImage,
    ClassTable,
    FloatArray,
    ImagePredictions,
    IntArray,
    Intrinsics,
    Labels,
    Poses,
    Size,
)

Colour = tuple[int, int, int]
Corners = tuple[int, int, int, int]
"""left, top, right, bottom in pixels, right and bottom inclusive as Pillow draws them."""

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Colours that colour-blind people can tell apart (Okabe and Ito 2008, "Color Universal Design"), without
black; class i has colour i modulo their number."""

AXIS_COLOURS: tuple[Colour, ...] = ((213, 94, 0), (0, 158, 115), (86, 180, 233))
"""x reddish, y green, z bluish, of the same set; letters at the tips say it again."""

MASK_OPACITY = 0.45
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One object to draw.

    Attributes:
        box_xyxy_px: (4,) corners.
        colour: of box, mask and keypoints.
        text: on its tag; "" for no tag.
        mask: its pixels, or ``None``.
        keypoints: (K, 3) x, y and visibility as in ``Labels``; ``None`` for none.
        dashed: whether the outline is dashed.
        axes_px: (4, 2) origin and tips of the x, y and z axes of its pose, or ``None``.
    """

    box_xyxy_px: FloatArray
    colour: Colour
    text: str = ""
    mask: RLE | None = None
    keypoints: FloatArray | None = None
    dashed: bool = False
    axes_px: FloatArray | None = None


def draw(
    image: ByteImage,
    predictions: ImagePredictions | None = None,
    classes: ClassTable | None = None,
    labels: Labels | None = None,
) -> ByteImage:
    """(H, W, 3) uint8 picture of predictions, ground truth, or both.

    Alone, either gets solid boxes, names, masks and keypoints. Together, predictions look like that, and
    ground truth is white dashes on top, without names: where both agree, the dashes run along the box.

    Args:
        image: (H, W, 3) uint8 RGB; not changed.
        predictions: detections in pixels of ``image``.
        classes: names; without them tags show class ids.
        labels: ground truth in pixels of ``image``.

    Raises:
        ContractError: where a mask is not of the image's size.
    """
    marks = [] if predictions is None else mark_predictions(predictions, classes)
    if labels is not None and predictions is None:
        marks = mark_labels(labels, classes, image.shape[:2])
    elif labels is not None:
        marks += [Mark(box, _LIGHT, dashed=True) for box in xywh_to_xyxy(labels.boxes_xywh_px)]
    return draw_marks(image, marks)


def mark_predictions(
    predictions: ImagePredictions, classes: ClassTable | None = None, states: Sequence[str] = ()
) -> list[Mark]:
    """A mark for each detection, the least sure first, so that the surest end on top.

    Args:
        predictions: with ``intrinsics`` where pose axes are wanted.
        classes: names; without them tags show class ids.
        states: names of states; without them tags show numbers.
    """
    points = _predicted_points(predictions)
    axes = _axes(predictions.poses, predictions.boxes_xyxy_px, predictions.intrinsics)
    return [
        Mark(
            box_xyxy_px=predictions.boxes_xyxy_px[row],
            colour=colour_of(int(predictions.class_ids[row])),
            text=class_name(int(predictions.class_ids[row]), classes)
            + f"{_state(predictions.states, row, states)} {predictions.scores[row]:.2f}",
            mask=None if predictions.masks is None else predictions.masks[row],
            keypoints=None if points is None else points[row],
            axes_px=None if axes is None else axes[row],
        )
        for row in np.argsort(predictions.scores, kind="stable").tolist()
    ]


def mark_labels(
    labels: Labels,
    classes: ClassTable | None,
    size_hw: tuple[int, int],
    states: Sequence[str] = (),
    camera: Intrinsics | None = None,
) -> list[Mark]:
    """A mark for each annotation, the largest first, so that the smallest end on top."""
    boxes = xywh_to_xyxy(labels.boxes_xywh_px)
    axes = _axes(labels.poses, boxes, camera)
    return [
        Mark(
            box_xyxy_px=boxes[row],
            colour=colour_of(int(labels.class_ids[row])),
            text=class_name(int(labels.class_ids[row]), classes)
            + _state(labels.states, row, states)
            + " (crowd)" * bool(labels.iscrowd[row]),
            mask=masks.as_rle(labels.segmentations[row], (size_hw[1], size_hw[0]))
            if labels.segmentations
            else None,
            keypoints=None if labels.keypoints is None else labels.keypoints[row],
            axes_px=None if axes is None else axes[row],
        )
        for row in np.argsort(-labels.areas, kind="stable").tolist()
    ]


def draw_marks(image: ByteImage, marks: Sequence[Mark]) -> ByteImage:
    """(H, W, 3) copy of the image with marks, later ones on top; all masks below all lines below all tags."""
    height, width = image.shape[:2]
    side = float(np.sqrt(height * width))
    line_px, font_px = max(2, round(0.004 * side)), max(11, round(6 + 0.02 * side))
    shown = [(mark, _corners(mark.box_xyxy_px, width, height)) for mark in marks]
    picture = Image.fromarray(_blend_masks(image, marks))
    pen = ImageDraw.Draw(picture)
    for mark, corners in shown:
        if corners is not None:
            _draw_box(pen, mark, corners, line_px)
    for mark in marks:
        _draw_keypoints(pen, mark, radius_px=round(1.5 * line_px))
        _draw_axes(pen, mark, line_px, _font(font_px))
    _draw_tags(
        pen, [(m.text, m.colour, c) for m, c in shown if m.text and c], _font(font_px), (width, height)
    )
    return np.array(picture)


def draw_scaled(image: ByteImage, marks: Sequence[Mark], size_wh: Size) -> ByteImage:
    """The image at another size, its lines and text drawn at that size, so that they stay legible.

    Raises:
        ContractError: where a mask is not of the image's size.
    """
    scale = np.array(size_wh, np.float64) / (image.shape[1], image.shape[0])
    if (scale == 1).all():
        return draw_marks(image, marks)
    picture = Image.fromarray(_blend_masks(image, marks)).resize(size_wh, Image.Resampling.BILINEAR)
    return draw_marks(np.array(picture), [_scaled(mark, scale) for mark in marks])


def colour_of(class_id: int) -> Colour:
    """The colour of a class."""
    return PALETTE[class_id % len(PALETTE)]


def class_name(class_id: int, classes: ClassTable | None) -> str:
    """The name of a class, or its number where the table does not have it."""
    if classes is None or not 0 <= class_id < len(classes):
        return str(class_id)
    return classes.names[class_id]


def caption(image: ByteImage, text: str) -> ByteImage:
    """The image under a strip with a line of text."""
    height, width = image.shape[:2]
    font = _font(max(13, round(8 + 0.02 * float(np.sqrt(height * width)))))
    strip_px = round(font.size * 1.7)
    picture = Image.new("RGB", (width, height + strip_px), _LIGHT)
    picture.paste(Image.fromarray(image), (0, strip_px))
    ImageDraw.Draw(picture).text((width / 2, strip_px / 2), text, _DARK, font, anchor="mm")
    return np.array(picture)


def contact_sheet(images: Sequence[ByteImage], columns: int, gap_px: int = 8) -> ByteImage:
    """One picture of many, row by row, each centred in a cell of the largest one's size, on white.

    Raises:
        ValueError: without images or columns.
    """
    if not images or columns < 1:
        raise ValueError("a contact sheet needs at least one image and one column")
    columns = min(columns, len(images))
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    rows = -(-len(images) // columns)
    size_hw = rows * (height + gap_px) + gap_px, columns * (width + gap_px) + gap_px
    sheet = np.full((*size_hw, 3), 255, np.uint8)
    for position, image in enumerate(images):
        row, column = divmod(position, columns)
        top = gap_px + row * (height + gap_px) + (height - image.shape[0]) // 2
        left = gap_px + column * (width + gap_px) + (width - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def save_png(array: ByteImage, path: Path) -> None:
    """Write (H, W, 3) uint8 as PNG; the file is there whole or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        Image.fromarray(array).save(partial, format="PNG")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@lru_cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    return cast(
        "ImageFont.FreeTypeFont", ImageFont.load_default(size=size_px)
    )  # scalable, since it has a size


def _predicted_points(predictions: ImagePredictions) -> FloatArray | None:
    """Keypoints with visibility in the place of scores; all visible where nobody says."""
    if predictions.keypoints is None:
        return None
    points: FloatArray = predictions.keypoints.copy()
    stated = predictions.keypoint_visibility
    points[..., 2] = 2.0 if stated is None else np.where(stated < 0, 2, stated)
    return points


def _axes(poses: Poses | None, boxes: FloatArray, camera: Intrinsics | None) -> FloatArray | None:
    return None if poses is None or camera is None else axes_px(poses, boxes, camera)


def _state(column: IntArray | None, row: int, names: Sequence[str]) -> str:
    """What a tag says of the state: its name, its number, or nothing where it is unknown."""
    state = -1 if column is None else int(column[row])
    if state < 0:
        return ""
    return f" {names[state]}" if state < len(names) else f" state {state}"


def _scaled(mark: Mark, scale: FloatArray) -> Mark:
    """The mark of a resized image, without its mask, which is in the picture already."""
    return replace(
        mark,
        box_xyxy_px=mark.box_xyxy_px * np.concatenate([scale, scale]),
        mask=None,
        keypoints=None if mark.keypoints is None else mark.keypoints * np.array([*scale, 1.0]),
        axes_px=None if mark.axes_px is None else mark.axes_px * scale,
    )


def _corners(box_xyxy_px: FloatArray, width: int, height: int) -> Corners | None:
    """The box's pixels inside the image, at least one; ``None`` where it lies outside or is not finite."""
    left, top, right, bottom = box_xyxy_px.tolist()
    if not (np.isfinite(box_xyxy_px).all() and left < width and top < height and right > 0 and bottom > 0):
        return None
    x1, y1 = min(max(round(left), 0), width - 1), min(max(round(top), 0), height - 1)
    return x1, y1, max(x1, min(round(right), width) - 1), max(y1, min(round(bottom), height) - 1)


def _blend_masks(image: ByteImage, marks: Sequence[Mark]) -> ByteImage:
    """A copy of the image with each mask laid over it, half transparent."""
    picture: ByteImage = image.copy()
    for mark in marks:
        if mark.mask is None:
            continue
        if mark.mask.size_hw != image.shape[:2]:
            raise ContractError(
                f"a mask is {mark.mask.size_hw[1]}x{mark.mask.size_hw[0]} on an image of "
                f"{image.shape[1]}x{image.shape[0]}: {mark.text or 'no name'}",
                fix="run 'anydet validate-predictions' on the file, with --dataset",
            )
        inside = masks.decode(mark.mask)
        ink = MASK_OPACITY * np.array(mark.colour)
        picture[inside] = (picture[inside] * (1 - MASK_OPACITY) + ink).astype(np.uint8)
    return picture


def _draw_box(pen: ImageDraw.ImageDraw, mark: Mark, corners: Corners, line_px: int) -> None:
    """An outline on the box's own pixels, with a dark edge that shows it on every background."""
    left, top, right, bottom = corners
    strokes = [corners]
    if mark.dashed:
        across, down = _dashes(left, right, 6 * line_px), _dashes(top, bottom, 6 * line_px)
        strokes = [(a, y, b, y) for a, b in across for y in (top, bottom)]
        strokes += [(x, a, x, b) for a, b in down for x in (left, right)]
    for x1, y1, x2, y2 in strokes:
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_DARK, width=line_px + 2)
    for stroke in strokes:
        pen.rectangle(stroke, outline=mark.colour, width=line_px)


def _dashes(start: int, stop: int, length: int) -> Iterator[tuple[int, int]]:
    """Every other of the equal parts of about ``length``, the first and the last among them."""
    parts = 2 * max(0, round((stop - start + 1) / length / 2)) + 1
    edges = np.linspace(start, stop + 1, parts + 1).round().astype(int).tolist()
    return ((low, max(low, high - 1)) for low, high in list(pairwise(edges))[::2])


def _draw_keypoints(pen: ImageDraw.ImageDraw, mark: Mark, radius_px: int) -> None:
    """A disc for a visible point, a ring for a hidden one."""
    for x, y, visibility in [] if mark.keypoints is None else mark.keypoints.tolist():
        if visibility > 0 and np.isfinite([x, y]).all():
            ring = (x - radius_px, y - radius_px, x + radius_px, y + radius_px)
            fill, outline = (mark.colour, _DARK) if visibility > 1 else (_DARK, mark.colour)
            pen.ellipse(ring, fill=fill, outline=outline, width=max(1, radius_px // 2))


def _draw_axes(pen: ImageDraw.ImageDraw, mark: Mark, line_px: int, font: ImageFont.FreeTypeFont) -> None:
    """The pose's axes with their letters, dark-edged; far away tips are left out."""
    if mark.axes_px is None:
        return
    origin, *tips = mark.axes_px.tolist()
    for tip, colour, letter in zip(tips, AXIS_COLOURS, "xyz", strict=True):
        if np.isfinite([origin, tip]).all() and np.abs([origin, tip]).max() < 1e6:
            pen.line([*origin, *tip], fill=_DARK, width=2 * line_px + 2)
            pen.line([*origin, *tip], fill=colour, width=2 * line_px)
            pen.text(tip, letter, _LIGHT, font, anchor="mm", stroke_width=2, stroke_fill=_DARK)


def _draw_tags(
    pen: ImageDraw.ImageDraw,
    tags: Sequence[tuple[str, Colour, Corners]],
    font: ImageFont.FreeTypeFont,
    size_wh: tuple[int, int],
) -> None:
    """Names on their colour, inside the image; the last tag chooses its place first and is on top."""
    placed: list[tuple[Corners, str, Colour]] = []
    font_px = round(font.size)
    pad = max(1, font_px // 6)
    for text, colour, corners in reversed(tags):
        tag_wh = round(font.getlength(text)) + 2 * pad, font_px + 2 * pad
        place = _place(corners, tag_wh, size_wh, [taken for taken, _, _ in placed])
        placed.append((place, text, colour))
    for place, text, colour in reversed(placed):
        pen.rectangle(place, fill=colour)
        ink = _DARK if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else _LIGHT
        pen.text((place[0] + pad, (place[1] + place[3] + 1) / 2), text, ink, font, anchor="lm")


def _place(
    corners: Corners, tag_wh: tuple[int, int], size_wh: tuple[int, int], taken: Sequence[Corners]
) -> Corners:
    """Where a tag hides least of other tags: above the box, below it, or in it; at its left or its right."""
    (left, top, right, bottom), (width, height) = corners, tag_wh
    places = [
        _keep_inside(x, y, tag_wh, size_wh)
        for y in (top - height, bottom + 1, top, bottom + 1 - height)
        for x in (left, right + 1 - width)
    ]
    return min(places, key=lambda place: sum(_overlap(place, other) for other in taken))


def _keep_inside(x: int, y: int, tag_wh: tuple[int, int], size_wh: tuple[int, int]) -> Corners:
    left, top = (max(0, min(at, size - tag)) for at, size, tag in zip((x, y), size_wh, tag_wh, strict=True))
    return left, top, left + tag_wh[0] - 1, top + tag_wh[1] - 1


def _overlap(a: Corners, b: Corners) -> int:
    """Shared pixels."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1) * max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
