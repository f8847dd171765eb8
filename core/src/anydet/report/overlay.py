"""Pictures of predictions and ground truth: boxes, names, scores, masks and keypoints on the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from anydet.errors import ContractError
from anydet.geometry import masks
from anydet.report.badges import draw_badge
from anydet.report.fonts import draw_text, font_of, text_px
from anydet.report.marks import (
    CORNERS,
    DASHED,
    FAINT,
    Mark,
    Region,
    mark_labels,
    mark_predictions,
    regions_of,
)
from anydet.report.palette import AXIS_COLORS, DARK, LIGHT, Color, ink_on
from anydet.report.room import Corners
from anydet.report.tags import LegendLine, PlacedTag, Tag, badge_px, legend_lines, padding_px, place_tags
from anydet.types import RLE, ByteImage, ClassTable, FloatArray, ImagePredictions, Labels, Size

MASK_OPACITY = 0.45
SMALL_BOX = 8
"""Widths of a line below which a box's shorter side gets a thinner line."""
SMALLEST_PX = 480
"""Longer side below which pictures are enlarged, so that tags leave something to see."""
_CORNER = 0.22
"""Part of a side that a corner alone has."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A picture, and what its legend has to name.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        numbered: what the numbers stand for that objects have where there was no room for more.
        untagged: names of objects for which there was not even that, with their counts.
        regions: names of the regions of a semantic mask, with their fraction of the pixels.
    """

    picture: ByteImage
    numbered: tuple[LegendLine, ...] = ()
    untagged: tuple[LegendLine, ...] = ()
    regions: tuple[LegendLine, ...] = ()


def draw(
    image: ByteImage,
    predictions: ImagePredictions | None = None,
    classes: ClassTable | None = None,
    labels: Labels | None = None,
) -> ByteImage:
    """(H, W, 3) uint8 picture of predictions or of ground truth: boxes, names, masks and keypoints.

    Args:
        image: (H, W, 3) uint8 RGB; not changed.
        predictions: detections in pixels of ``image``.
        classes: names; without them tags show class ids.
        labels: ground truth in pixels of ``image``, drawn where there are no predictions.

    Raises:
        ContractError: where a mask is not of the image's size.
    """
    if predictions is not None:
        return draw_marks(
            image, mark_predictions(predictions, classes), regions_of(predictions, classes)
        ).picture
    return draw_marks(image, [] if labels is None else mark_labels(labels, classes, image.shape[:2])).picture


def draw_marks(image: ByteImage, marks: Sequence[Mark], regions: Sequence[Region] = ()) -> Drawing:
    """A copy of the image with marks, later ones on top; all masks below all lines below all tags.

    A tag goes where it hides neither another tag nor small boxes, at its box or with a line to it; where
    there is no such place, a number stands for it, or it is left out and counted.

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


def shown_size(size_wh: Size, longest_px: int | None = None) -> Size:
    """Size of an image's picture: its own, small ones enlarged, or with a longer side of ``longest_px``."""
    width, height = size_wh
    scale = (longest_px or max(SMALLEST_PX, width, height)) / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


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
        _draw_axes(pen, mark, line_px, font_px)
    # Reversed, as marks on top come last and tags that choose first come first.
    tags = [
        Tag(mark.text, mark.name, mark.color, corners, mark.short, mark.badge)
        for mark, corners in reversed(shown)
        if corners and (mark.text or mark.badge)
    ]
    boxes = [corners for mark, corners in shown if corners and (mark.text or mark.badge)]
    places = place_tags(tags, boxes, (width, height), font_px, text_px)
    for tag in places.placed:
        _draw_leader(pen, tag, line_px)
    for tag in places.placed:
        _draw_tag(pen, tag)
    fractions = [
        masks.area(region.mask) / (region.mask.size_hw[0] * region.mask.size_hw[1]) for region in regions
    ]
    lines = [
        LegendLine(f"{region.name} {fraction:.0%}", region.color)
        for region, fraction in zip(regions, fractions, strict=True)
    ]
    untagged = tuple(legend_lines([tag for tag in places.left_over if tag.text]))
    return Drawing(np.array(picture), places.numbered, untagged, tuple(lines))


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
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    # Of 256 values each, instead of a product a pixel.
    shades = np.arange(256)[:, None] * (1 - MASK_OPACITY) + MASK_OPACITY * np.array(color)
    part, within = picture[window], inside[window]
    part[within] = shades.astype(np.uint8)[part[within], np.arange(3)]


def _draw_box(pen: ImageDraw.ImageDraw, mark: Mark, corners: Corners, line_px: int) -> None:
    """An outline on the box's own pixels, with an edge that shows it on every background."""
    line_px = max(1, line_px // 2) if mark.line == FAINT else line_px
    strokes = list(_strokes(corners, mark.line, line_px))
    edge_px = 1 if line_px == 1 else line_px + 2  # a thin line gets its edge outside only
    # All edges first: they are wider than the colored lines, which they would cut into.
    for x1, y1, x2, y2 in strokes:
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=ink_on(mark.color), width=edge_px)
    for stroke in strokes:
        pen.rectangle(stroke, outline=mark.color, width=line_px)


def _strokes(corners: Corners, line: str, line_px: int) -> Iterator[Corners]:
    """The box whole, in dashes, or its corners alone; strokes are rectangles without area."""
    if line not in (DASHED, CORNERS):
        yield corners
        return
    left, top, right, bottom = corners
    if line == DASHED:
        across, down = _dashes(left, right, 6 * line_px), _dashes(top, bottom, 6 * line_px)
    else:
        across, down = _ends(left, right, line_px), _ends(top, bottom, line_px)
    # Strokes have the line's width, inward as that of a whole box.
    deep = line_px - 1
    for a, b in across:
        yield a, top, b, min(bottom, top + deep)
        yield a, max(top, bottom - deep), b, bottom
    for a, b in down:
        yield left, a, min(right, left + deep), b
        yield max(left, right - deep), a, right, b


def _ends(start: int, stop: int, line_px: int) -> list[tuple[int, int]]:
    """Both ends of a side."""
    length = min(max(2 * line_px, round(_CORNER * (stop - start + 1))), (stop - start) // 2)
    return [(start, start + length), (stop - length, stop)]


def _dashes(start: int, stop: int, length: int) -> list[tuple[int, int]]:
    """Every other of the equal pieces of about ``length``, the first and the last among them."""
    pieces = 2 * max(0, round((stop - start + 1) / length / 2)) + 1
    edges = np.linspace(start, stop + 1, pieces + 1).round().astype(int).tolist()
    return [(low, max(low, high - 1)) for low, high in list(pairwise(edges))[::2]]


def _draw_keypoints(pen: ImageDraw.ImageDraw, mark: Mark, radius_px: int) -> None:
    """A disc for a visible point, a ring for a hidden or unsure one."""
    for x, y, visibility in [] if mark.keypoints is None else mark.keypoints.tolist():
        if visibility > 0 and np.isfinite([x, y]).all():
            ring = (x - radius_px, y - radius_px, x + radius_px, y + radius_px)
            fill, outline = (mark.color, DARK) if visibility > 1 else (DARK, mark.color)
            pen.ellipse(ring, fill=fill, outline=outline, width=max(1, radius_px // 2))


def _draw_axes(pen: ImageDraw.ImageDraw, mark: Mark, line_px: int, font_px: int) -> None:
    """The pose's axes with their letters, dark-edged; far away tips are left out."""
    if mark.axes_px is None:
        return
    origin, *tips = mark.axes_px.tolist()
    for tip, color, letter in zip(tips, AXIS_COLORS, "xyz", strict=True):
        if np.isfinite([origin, tip]).all() and np.abs([origin, tip]).max() < 1e6:
            pen.line([*origin, *tip], fill=DARK, width=2 * line_px + 2)
            pen.line([*origin, *tip], fill=color, width=2 * line_px)
            pen.text(tip, letter, LIGHT, font_of(font_px), anchor="mm", stroke_width=2, stroke_fill=DARK)


def _draw_leader(pen: ImageDraw.ImageDraw, placed: PlacedTag, line_px: int) -> None:
    """The line from a tag to its box, with a dot there."""
    if placed.leader_px is None:
        return
    thin, color = max(1, line_px // 2), placed.tag.color
    x, y = placed.leader_px[2:]
    for grown, ink in ((1, ink_on(color)), (0, color)):
        radius = line_px + grown
        pen.line(placed.leader_px, fill=ink, width=thin + 2 * grown)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


def _draw_tag(pen: ImageDraw.ImageDraw, placed: PlacedTag) -> None:
    left, top, right, bottom = placed.place
    color = placed.tag.color
    pen.rectangle(placed.place, fill=color)
    # A number has no room for a badge; its legend has it.
    badge = placed.tag.badge if placed.text in (placed.tag.text, placed.tag.short) else ""
    side = badge_px(placed.font_px, badge)
    if badge:
        draw_badge(pen, badge, (left, top, min(right, left + side - 1), bottom))
        pen.rectangle(placed.place, outline=color)
    at = left + side + padding_px(placed.font_px), (top + bottom + 1) / 2
    draw_text(pen, at, placed.text, ink_on(color), placed.font_px)
