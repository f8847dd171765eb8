"""Pictures put together: panels side by side, and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anydet.report.lettering import caption_strip, legend_strip, strip_font_px
from anydet.report.marks import image_class, mark_predictions, regions_of
from anydet.report.overlay import Drawing, draw_scaled, shown_size
from anydet.report.tags import LegendLine
from anydet.types import ByteImage, ClassTable, ImagePredictions


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A drawing under its caption; its legends stand below it.

    Attributes:
        drawing: the picture, and what its own legends name.
        caption: "" for none.
        legend: what signs on the picture stand for, under ``legend_title``.
        legend_title: "" for none.
    """

    drawing: Drawing
    caption: str = ""
    legend: tuple[LegendLine, ...] = ()
    legend_title: str = ""


def draw_panel(
    image: ByteImage, predictions: ImagePredictions, classes: ClassTable | None = None
) -> ByteImage:
    """Predictions on their image, small ones enlarged, and beside it what has no place on it.

    Above stands the class of the image as a whole; below, semantic classes and objects whose tags are numbers
    or have no place.

    Raises:
        ContractError: where a mask is not of the image's size.
    """
    size_wh = shown_size((image.shape[1], image.shape[0]))
    marks, regions = mark_predictions(predictions, classes), regions_of(predictions, classes)
    drawing = draw_scaled(image, marks, size_wh, regions)
    return put_beside([Panel(drawing, image_class(predictions, classes))])


def put_beside(panels: Sequence[Panel], gap_px: int = 8) -> ByteImage:
    """Panels of one size side by side, so that their pictures are level; what has no tag is counted below."""
    columns = [_strips(panel) for panel in panels]
    heights = [max(len(column[part]) for column in columns) for part in range(3)]
    rows = []
    for above, picture, below in columns:
        top = _white(heights[0] - len(above), picture.shape[1])
        bottom = _white(heights[2] - len(below), picture.shape[1])
        rows.append(np.concatenate([top, above, picture, below, bottom]))
    gap = _white(sum(heights), gap_px)
    return np.concatenate([part for row in rows for part in (gap, row)][1:], axis=1)


def contact_sheet(images: Sequence[ByteImage], columns: int, gap_px: int = 8) -> ByteImage:
    """One picture of many, row by row, each centered in a cell of the largest one's size, on white.

    Raises:
        ValueError: without images or columns.
    """
    if not images or columns < 1:
        raise ValueError("a contact sheet needs at least one image and one column")
    columns = min(columns, len(images))
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    rows = -(-len(images) // columns)
    sheet = _white(rows * (height + gap_px) + gap_px, columns * (width + gap_px) + gap_px)
    for position, image in enumerate(images):
        row, column = divmod(position, columns)
        top = gap_px + row * (height + gap_px) + (height - image.shape[0]) // 2
        left = gap_px + column * (width + gap_px) + (width - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def _strips(panel: Panel) -> tuple[ByteImage, ByteImage, ByteImage]:
    """What stands above the picture, the picture, and what stands below it."""
    picture = panel.drawing.picture
    height, width = picture.shape[:2]
    font_px = strip_font_px((width, height))
    above = caption_strip(panel.caption, width, font_px) if panel.caption else _white(0, width)
    drawing = panel.drawing
    named = (
        (panel.legend_title, panel.legend),
        ("regions:", drawing.regions),
        ("numbers:", drawing.numbered),
        ("without tag:", drawing.untagged),
    )
    below = [legend_strip(title, lines, width, round(0.8 * font_px)) for title, lines in named if lines]
    # Starts with an empty strip, because there may be no legend to concatenate.
    return above, picture, np.concatenate([_white(0, width), *below])


def _white(height: int, width: int) -> ByteImage:
    return np.full((height, width, 3), 255, np.uint8)
