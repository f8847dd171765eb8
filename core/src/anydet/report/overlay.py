"""Pictures of predictions and ground truth: boxes, names, scores, masks and keypoints on the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anydet.errors import ContractError
from anydet.geometry import masks
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.report.lettering import font_of
from anydet.report.marks import Mark, Region, mark_labels, mark_predictions, regions_of
from anydet.report.palette import AXIS_COLORS, DARK, LIGHT, Color, ink_on
from anydet.report.tags import Corners, LegendLine, PlacedTag, Tag, legend_lines, padding_px, place_tags
from anydet.types import RLE, ByteImage, ClassTable, FloatArray, ImagePredictions, Labels, Size

MASK_OPACITY = 0.45
SMALL_BOX = 8
"""Widths of a line below which a box's shorter side gets a thinner line."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A picture, and what its legend has to name.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        untagged: names of objects for whose tags there was no room, with their counts.
        regions: names of the regions of a semantic mask, with their fraction of the pixels.
    """

    picture: ByteImage
    untagged: tuple[LegendLine, ...] = ()
    regions: tuple[LegendLine, ...] = ()


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
        marks += [Mark(box, LIGHT, dashed=True) for box in xywh_to_xyxy(labels.boxes_xywh_px)]
    regions = [] if predictions is None else regions_of(predictions, classes)
    return draw_marks(image, marks, regions).picture


def draw_marks(image: ByteImage, marks: Sequence[Mark], regions: Sequence[Region] = ()) -> Drawing:
    """A copy of the image with marks, later ones on top; all masks below all lines below all tags.

    A tag goes where it hides neither another tag nor small boxes; where there is no such place, it is left
    out and counted.

    Raises:
        ContractError: where a mask is not of the image's size.
    """
    return _draw_lines(_blend_masks(image, marks, regions), marks, regions)


def draw_scaled(
    image: ByteImage, marks: Sequence[Mark], size_wh: Size, regions: Sequence[Region] = ()
) -> Drawing:
    """The image at another size, its lines and text drawn at that size, so that they stay legible.

    Raises:
        ContractError: where a mask is not of the image's size.
    """
    scale = np.array(size_wh, np.float64) / (image.shape[1], image.shape[0])
    # Masks before resizing, as run-length codes have the image's own size.
    picture = _blend_masks(image, marks, regions)
    if (scale != 1).any():
        picture = np.array(Image.fromarray(picture).resize(size_wh, Image.Resampling.BILINEAR))
        marks = [mark.scaled(scale) for mark in marks]
    return _draw_lines(picture, marks, regions)


def _draw_lines(image: ByteImage, marks: Sequence[Mark], regions: Sequence[Region]) -> Drawing:
    """Everything but masks."""
    height, width = image.shape[:2]
    side = float(np.sqrt(height * width))
    line_px, font_px = max(2, round(0.004 * side)), max(11, round(6 + 0.02 * side))
    shown = [(mark, _corners(mark.box_xyxy_px, width, height)) for mark in marks]
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    for mark, corners in shown:
        if corners is not None:
            _draw_box(pen, mark, corners, _thin(corners, line_px))
    for mark, corners in shown:
        # After all boxes, so that no box covers the keypoints of another object.
        _draw_keypoints(pen, mark, round(1.5 * (_thin(corners, line_px) if corners else line_px)))
        _draw_axes(pen, mark, line_px, font_of(font_px))
    # Reversed, as marks on top come last and tags that choose first come first.
    tags = [Tag(mark.text, mark.name, mark.color, c) for mark, c in reversed(shown) if mark.text and c]
    boxes = [corners for mark, corners in shown if corners and not mark.dashed]
    placed, left_over = place_tags(tags, boxes, (width, height), font_px, _text_px)
    for tag in placed:
        _draw_tag(pen, tag)
    fractions = [
        masks.area(region.mask) / (region.mask.size_hw[0] * region.mask.size_hw[1]) for region in regions
    ]
    lines = [
        LegendLine(f"{region.name} {fraction:.0%}", region.color)
        for region, fraction in zip(regions, fractions, strict=True)
    ]
    return Drawing(np.array(picture), tuple(legend_lines(left_over)), tuple(lines))


def _text_px(text: str, font_px: int) -> int:
    return round(font_of(font_px).getlength(text))


def _thin(corners: Corners, line_px: int) -> int:
    """The width of a box's line: less for small boxes, so that something of the object is seen."""
    side = min(corners[2] - corners[0], corners[3] - corners[1]) + 1
    return max(1, min(line_px, side // SMALL_BOX))


def _corners(box_xyxy_px: FloatArray, width: int, height: int) -> Corners | None:
    """The box's pixels inside the image, at least one; ``None`` where it is outside or is not finite."""
    left, top, right, bottom = box_xyxy_px.tolist()
    if not (np.isfinite(box_xyxy_px).all() and left < width and top < height and right > 0 and bottom > 0):
        return None
    x1, y1 = min(max(round(left), 0), width - 1), min(max(round(top), 0), height - 1)
    return x1, y1, max(x1, min(round(right), width) - 1), max(y1, min(round(bottom), height) - 1)


def _blend_masks(image: ByteImage, marks: Sequence[Mark], regions: Sequence[Region]) -> ByteImage:
    """A copy of the image with each region and then each mask laid over it, half transparent."""
    picture: ByteImage = image.copy()
    for region in regions:
        _blend(picture, region.mask, region.color, region.name)
    for mark in marks:
        if mark.mask is not None:
            _blend(picture, mark.mask, mark.color, mark.text)
    return picture


def _blend(picture: ByteImage, mask: RLE, color: Color, name: str) -> None:
    if mask.size_hw != picture.shape[:2]:
        raise ContractError(
            f"a mask is {mask.size_hw[1]}x{mask.size_hw[0]} on an image of "
            f"{picture.shape[1]}x{picture.shape[0]}: {name or 'no name'}",
            fix="run 'anydet validate-predictions FILE --dataset DATASET'",
        )
    inside = masks.decode(mask)
    ink = MASK_OPACITY * np.array(color)
    picture[inside] = (picture[inside] * (1 - MASK_OPACITY) + ink).astype(np.uint8)


def _draw_box(pen: ImageDraw.ImageDraw, mark: Mark, corners: Corners, line_px: int) -> None:
    """An outline on the box's own pixels, with a dark edge that shows it on every background."""
    left, top, right, bottom = corners
    strokes = [corners]
    if mark.dashed:
        across, down = _dashes(left, right, 6 * line_px), _dashes(top, bottom, 6 * line_px)
        strokes = [(a, y, b, y) for a, b in across for y in (top, bottom)]
        strokes += [(x, a, x, b) for a, b in down for x in (left, right)]
    edge_px = 1 if line_px == 1 else line_px + 2  # a thin line gets its dark edge outside only
    # All dark edges first: they are wider than the colored lines, which they would cut into.
    for x1, y1, x2, y2 in strokes:
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=DARK, width=edge_px)
    for stroke in strokes:
        pen.rectangle(stroke, outline=mark.color, width=line_px)


def _dashes(start: int, stop: int, length: int) -> Iterator[tuple[int, int]]:
    """Every other of the equal pieces of about ``length``, the first and the last among them."""
    pieces = 2 * max(0, round((stop - start + 1) / length / 2)) + 1
    edges = np.linspace(start, stop + 1, pieces + 1).round().astype(int).tolist()
    return ((low, max(low, high - 1)) for low, high in list(pairwise(edges))[::2])


def _draw_keypoints(pen: ImageDraw.ImageDraw, mark: Mark, radius_px: int) -> None:
    """A disc for a visible point, a ring for a hidden or unsure one."""
    for x, y, visibility in [] if mark.keypoints is None else mark.keypoints.tolist():
        if visibility > 0 and np.isfinite([x, y]).all():
            ring = (x - radius_px, y - radius_px, x + radius_px, y + radius_px)
            fill, outline = (mark.color, DARK) if visibility > 1 else (DARK, mark.color)
            pen.ellipse(ring, fill=fill, outline=outline, width=max(1, radius_px // 2))


def _draw_axes(pen: ImageDraw.ImageDraw, mark: Mark, line_px: int, font: ImageFont.FreeTypeFont) -> None:
    """The pose's axes with their letters, dark-edged; far away tips are left out."""
    if mark.axes_px is None:
        return
    origin, *tips = mark.axes_px.tolist()
    for tip, color, letter in zip(tips, AXIS_COLORS, "xyz", strict=True):
        if np.isfinite([origin, tip]).all() and np.abs([origin, tip]).max() < 1e6:
            pen.line([*origin, *tip], fill=DARK, width=2 * line_px + 2)
            pen.line([*origin, *tip], fill=color, width=2 * line_px)
            pen.text(tip, letter, LIGHT, font, anchor="mm", stroke_width=2, stroke_fill=DARK)


def _draw_tag(pen: ImageDraw.ImageDraw, placed: PlacedTag) -> None:
    left, top, _, bottom = placed.place
    pen.rectangle(placed.place, fill=placed.tag.color)
    at = left + padding_px(placed.font_px), (top + bottom + 1) / 2
    pen.text(at, placed.tag.text, ink_on(placed.tag.color), font_of(placed.font_px), anchor="lm")
