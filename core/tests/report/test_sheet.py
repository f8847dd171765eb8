from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.geometry import masks
from anydet.report.lettering import caption_strip, legend_strip
from anydet.report.marks import mark_predictions, regions_of
from anydet.report.overlay import Drawing, draw_marks
from anydet.report.palette import color_of
from anydet.report.sheet import Panel, draw_panel, put_beside
from anydet.report.tags import LegendLine
from anydet.types import Classification, ClassTable, ImagePredictions

GRAY = np.full((240, 320, 3), 128, np.uint8)
CLASSES = ClassTable(("cat", "dog"))


def predict(boxes, **columns):
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return ImagePredictions(
        "a.png", (320, 240), boxes, np.full(len(boxes), 0.5), np.zeros(len(boxes), np.int64), **columns
    )


def count_of(picture, color):
    return int((picture == np.array(color, np.uint8)).all(axis=2).sum())


@pytest.mark.slow
def test_a_crowd_of_small_boxes_stays_visible_and_what_has_no_tag_is_numbered_or_counted():
    crowd = [(x, y, x + 10, y + 10) for x in range(4, 310, 14) for y in range(4, 230, 14)]
    drawing = draw_marks(GRAY, mark_predictions(predict(crowd), CLASSES))
    (line,) = drawing.untagged
    assert line.color == color_of(0)
    assert int(line.text.split()[0]) + len(drawing.numbered) > 0.7 * len(crowd)
    outlined = [
        (drawing.picture[int(y), int(x) : int(x) + 10] == color_of(0)).all(axis=1).mean()
        for x, y, _, _ in crowd
    ]
    assert np.mean(np.array(outlined) > 0.9) > 0.9
    page = put_beside([Panel(drawing)])
    assert np.array_equal(page[:240], drawing.picture)
    assert count_of(page[240:], color_of(0)) > 50


def test_a_semantic_mask_is_laid_over_and_explained_below():
    sky = np.zeros((240, 320), bool)
    sky[:60] = True
    found = predict([], semantic_mask={1: masks.encode(sky), 7: masks.encode(~sky)})
    drawing = draw_marks(GRAY, [], regions_of(found, CLASSES))
    assert [line.text for line in drawing.regions] == ["dog 25%", "7 75%"]
    assert np.abs(drawing.picture[10, 10] - (0.55 * 128 + 0.45 * np.array(color_of(1)))).max() <= 1
    assert np.abs(drawing.picture[200, 10] - (0.55 * 128 + 0.45 * np.array(color_of(7)))).max() <= 1
    assert count_of(draw_panel(GRAY, found, CLASSES)[360:], color_of(1)) > 50


def test_the_class_of_the_whole_image_stands_above_it():
    found = predict([], classification=Classification(1, 0.93))
    page = draw_panel(GRAY, found, CLASSES)
    assert (page[-360:] == 128).all()
    assert count_of(page[:-360], (0, 0, 0)) > 20
    other = draw_panel(GRAY, replace(found, classification=Classification(0, 0.93)), CLASSES)
    assert not np.array_equal(page, other)
    # Small images are enlarged.
    assert draw_panel(GRAY, predict([]), CLASSES).shape == (360, 480, 3)


def test_panels_with_and_without_legend_are_level():
    left = Panel(Drawing(GRAY, untagged=(LegendLine("3 cat", color_of(0)),)), "a caption " * 12)
    row = put_beside([left, Panel(Drawing(GRAY), "short")], gap_px=10)
    assert row.shape[1] == 650
    gray = (row == 128).all(axis=2)
    assert np.array_equal(np.flatnonzero(gray[:, 5]), np.flatnonzero(gray[:, 335]))
    assert gray[:, 5].sum() == 240


@pytest.mark.parametrize("width", [60, 120, 400])
def test_a_caption_is_never_cut(width):
    text = "12 predicted: 3 right, 4 wrong, 15 missed"
    ink = (caption_strip(text, width, 18) < 128).all(axis=2)
    assert ink.any()
    assert not ink[:, [0, -1]].any()
    rows = np.flatnonzero(ink.any(axis=1))
    lines = 1 + int((np.diff(rows) > 2).sum())
    assert lines == {60: 5, 120: 2, 400: 1}[width]


def test_a_legend_wraps_and_shows_every_color():
    lines = [LegendLine(f"{i} of these", color_of(i)) for i in range(6)]
    strip = legend_strip("without tag:", lines, 200, 13)
    assert strip.shape[1] == 200
    assert all(count_of(strip, color_of(i)) > 50 for i in range(6))
