from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import render_scene
from anydet.errors import ContractError
from anydet.geometry import masks
from anydet.report import badges
from anydet.report.files import save_png
from anydet.report.lettering import caption
from anydet.report.marks import CORNERS, DASHED, FAINT, SOLID, Mark
from anydet.report.overlay import draw, draw_marks, shown_size
from anydet.report.palette import color_of, contrast
from anydet.report.sheet import contact_sheet
from anydet.types import ClassTable, ImagePredictions, Labels

GRAY = np.full((240, 320, 3), 128, np.uint8)
CLASSES = ClassTable(("cat", "dog"))


def predict(*boxes, size_wh=(320, 240), **columns):
    count = len(boxes)
    return ImagePredictions(
        "a.png",
        size_wh,
        np.array(boxes, np.float64).reshape(-1, 4),
        np.linspace(0.9, 0.1, count),
        np.arange(count),
        **columns,
    )


def label(*boxes_xywh, **columns):
    count, boxes = len(boxes_xywh), np.array(boxes_xywh, np.float64).reshape(-1, 4)
    return Labels(np.arange(count), boxes, boxes[:, 2] * boxes[:, 3], np.zeros(count, bool), **columns)


def changed(picture, image=GRAY):
    return (picture != image).any(axis=2)


def count_of(picture, color):
    return int((picture == np.array(color, np.uint8)).all(axis=2).sum())


def test_nothing_to_draw_gives_a_copy():
    for picture in (draw(GRAY), draw(GRAY, predict()), draw(GRAY, labels=label())):
        assert picture is not GRAY
        assert np.array_equal(picture, GRAY)


def test_the_given_image_stays_as_it_was():
    image = GRAY.copy()
    draw(image, predict((10, 10, 100, 100), masks=(masks.encode(np.ones((240, 320), bool)),)))
    assert np.array_equal(image, GRAY)


def test_the_outline_is_on_the_box_and_its_inside_is_left_alone():
    picture = draw(GRAY, predict((100, 100, 200, 180)))
    assert (picture[100, 100:200] == color_of(0)).all()
    assert (picture[179, 100:200] == color_of(0)).all()
    assert (picture[100:180, 100] == color_of(0)).all()
    assert (picture[100:180, 199] == color_of(0)).all()
    assert (picture[100:180, [99, 200]] == 0).all()
    assert (picture[[99, 180], 170:200] == 0).all()
    assert not changed(picture)[104:176, 104:196].any()
    assert not changed(picture)[185:].any()


def test_ground_truth_and_predictions_of_the_same_boxes_differ_in_the_score_only():
    truth, found = draw(GRAY, labels=label((100, 100, 50, 60))), draw(GRAY, predict((100, 100, 150, 160)))
    assert np.array_equal(truth[100:160, 100:150], found[100:160, 100:150])
    assert not np.array_equal(truth, found)


def strokes(line):
    """Where the top edge of a box has its color, along its length."""
    mark = Mark(np.array([100.0, 100, 200, 180]), color_of(0), line=line)
    picture = draw_marks(GRAY, [mark]).picture
    return (picture[100, 100:200] == color_of(0)).all(axis=1), picture


def test_lines_differ_without_their_color():
    solid, dashed, corners, faint = (strokes(line) for line in (SOLID, DASHED, CORNERS, FAINT))
    assert solid[0].all()
    assert faint[0].all()
    assert count_of(faint[1], color_of(0)) < 0.7 * count_of(solid[1], color_of(0))
    for shown, _ in (dashed, corners):
        assert shown[0]
        assert shown[-1]
        assert 0.3 < shown.mean() < 0.8
    # Dashes are many, corners are two.
    edges = [int((np.diff(shown.astype(int)) == -1).sum()) for shown, _ in (dashed, corners)]
    assert edges[0] >= 3
    assert edges[1] == 1


@pytest.mark.parametrize("badge", [badges.RIGHT, badges.WRONG, badges.MISSED])
def test_badges_differ_in_shape(badge):
    image = Image.new("RGB", (20, 20))
    badges.draw_badge(ImageDraw.Draw(image), badge, (0, 0, 19, 19))
    ink = np.asarray(image).min(axis=2) < 128
    middle, side = ink[8:12, 8:12].any(), ink[8:12, :5].any()
    assert (middle, side) == {"right": (True, True), "wrong": (True, False), "missed": (False, True)}[badge]
    colors = {tuple(color) for color in np.asarray(image).reshape(-1, 3).tolist()}
    assert max(contrast(color, (255, 255, 255)) for color in colors) >= 4.5


def test_a_dark_box_has_a_light_edge():
    dark = Mark(np.array([100.0, 100, 200, 180]), (60, 0, 165))
    assert (draw_marks(GRAY, [dark]).picture[99, 100:200] == 255).all()


def test_names_are_on_tags_and_ids_where_names_are_unknown():
    named, numbered = (
        draw(GRAY, predict((100, 100, 200, 180)), CLASSES),
        draw(GRAY, predict((100, 100, 200, 180))),
    )
    assert count_of(named, color_of(0)) > count_of(numbered, color_of(0)) + 100
    beyond = replace(predict((100, 100, 200, 180)), class_ids=np.array([80]))
    assert draw(GRAY, beyond, CLASSES).shape == GRAY.shape


def test_masks_tint_their_pixels_and_no_others():
    mask = np.zeros((240, 320), bool)
    mask[130:150, 130:150] = True
    picture = draw(GRAY, predict((100, 100, 200, 180), masks=(masks.encode(mask),)))
    inside = changed(picture)[104:176, 104:196]
    assert np.array_equal(inside, mask[104:176, 104:196])
    expected = 0.55 * 128 + 0.45 * np.array(color_of(0))
    assert np.abs(picture[140, 140] - expected).max() <= 1


def test_polygons_and_missing_masks_are_drawn_as_they_are():
    labels = label(
        (100, 100, 60, 60), (10, 150, 40, 40), segmentations=(((110, 110, 150, 110, 150, 150),), None)
    )
    picture = draw(GRAY, labels=labels)
    assert changed(picture)[115, 140]
    assert not changed(picture)[140, 115]
    assert not changed(picture)[170, 30]


def test_a_mask_of_another_size_is_an_error():
    with pytest.raises(ContractError, match="5x4 on an image of 320x240"):
        draw(GRAY, predict((0, 0, 5, 4), masks=(masks.encode(np.ones((4, 5), bool)),)))


def test_keypoints_show_as_discs_rings_or_not_at_all():
    points = np.array([[[120, 120, 2], [160, 160, 1], [180, 140, 0], [np.nan, np.nan, 2]]], np.float64)
    picture = draw(GRAY, labels=label((100, 100, 100, 80), keypoints=points))
    assert picture[120, 120].tolist() == list(color_of(0))
    assert picture[160, 160].tolist() == [0, 0, 0]
    assert not changed(picture)[140, 180]


def test_predicted_keypoints_are_discs_where_sure_and_rings_where_not_unless_stated_otherwise():
    points = np.array([[[120, 120, 0.2], [160, 160, 0.9], [180, 140, np.nan]]])
    shown = draw(GRAY, predict((100, 100, 200, 180), keypoints=points))
    assert shown[120, 120].tolist() == [0, 0, 0]
    assert shown[160, 160].tolist() == shown[140, 180].tolist() == list(color_of(0))
    stated = predict((100, 100, 200, 180), keypoints=points, keypoint_visibility=np.array([[0, -1, 1]]))
    assert not changed(draw(GRAY, stated))[120, 120]
    assert draw(GRAY, stated)[160, 160].tolist() == list(color_of(0))
    assert draw(GRAY, stated)[140, 180].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "box", [(-50, -50, -10, -10), (400, 10, 500, 50), (320, 0, 330, 9), (np.nan, 0, 9, 9), (0, 0, np.inf, 9)]
)
def test_boxes_outside_the_image_are_not_drawn(box):
    assert not changed(draw(GRAY, predict(box))).any()


def test_a_box_that_leaves_the_image_ends_at_its_border():
    picture = draw(GRAY, predict((-1e9, 100, 1e9, 180)))
    assert (picture[100] == color_of(0)).all()
    assert (picture[100:180, [0, -1]] == color_of(0)).all()


@pytest.mark.parametrize(
    "corner", [(0, 0, 30, 30), (290, 0, 320, 30), (0, 210, 30, 240), (290, 210, 320, 240)]
)
def test_tags_stay_whole_inside_the_image(corner):
    middle, edge = (
        count_of(draw(GRAY, predict(b), CLASSES), (0, 0, 0)) for b in ((150, 100, 180, 130), corner)
    )
    assert edge > 0.3 * middle
    filled = count_of(draw(GRAY, predict(corner), CLASSES), color_of(0))
    assert filled > 0.8 * count_of(draw(GRAY, predict((150, 100, 180, 130)), CLASSES), color_of(0))


def test_tags_of_neighbors_do_not_hide_each_other():
    one = count_of(draw(GRAY, predict((100, 100, 200, 180)), CLASSES), color_of(0))
    twice = replace(predict((100, 100, 200, 180), (100, 100, 200, 180)), class_ids=np.array([0, 0]))
    assert count_of(draw(GRAY, twice, CLASSES), color_of(0)) > 1.2 * one


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 500), (500, 3), (4000, 3000)])
def test_every_size_of_image_can_be_drawn_on(size_wh):
    width, height = size_wh
    image = np.full((height, width, 3), 60, np.uint8)
    found = predict((0, 0, width, height), size_wh=size_wh)
    picture = draw(image, found, CLASSES)
    assert picture.shape == image.shape
    assert changed(picture, image).any()


def test_lines_grow_with_the_image():
    thick = []
    for scale in (1, 8):
        image = np.full((240 * scale, 320 * scale, 3), 128, np.uint8)
        box = tuple(np.array([100, 100, 200, 180]) * scale)
        picture = draw(image, predict(box, size_wh=(320 * scale, 240 * scale)))
        thick.append(int((picture[140 * scale, : 150 * scale] == color_of(0)).all(axis=1).sum()))
    assert thick[1] > 3 * thick[0] > 0


@settings(max_examples=60, deadline=None)
@given(
    boxes=st.lists(st.tuples(*[st.floats(-200, 200)] * 4), max_size=6),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
)
def test_no_boxes_crash_it(boxes, width, height):
    image = np.zeros((height, width, 3), np.uint8)
    labels = label(*[(x, y, w, h) for x, y, w, h in boxes])
    for picture in (
        draw(image, predict(*boxes, size_wh=(width, height)), CLASSES),
        draw(image, labels=labels),
    ):
        assert picture.shape == image.shape


def test_scenes_and_real_images_are_drawn_with_all_they_have():
    scene = render_scene(0, 1)
    assert changed(draw(scene.image, labels=scene.labels), scene.image).mean() > 0.05


def test_real_ground_truth_is_drawn(coco128):
    dataset = open_dataset(coco128)
    record = max(list(dataset)[:20], key=lambda record: len(record.labels))
    picture = draw(record.image(), labels=record.labels, classes=dataset.classes)
    assert picture.shape == record.image().shape
    assert changed(picture, record.image()).mean() > 0.02


def test_a_contact_sheet_holds_every_image_in_rows():
    images = [np.full((20, 30, 3), value, np.uint8) for value in (10, 20, 30)] + [
        np.full((10, 10, 3), 40, np.uint8)
    ]
    sheet = contact_sheet(images, columns=3, gap_px=2)
    assert sheet.shape == (2 + 2 * 22, 2 + 3 * 32, 3)
    for value, pixels in ((10, 600), (20, 600), (30, 600), (40, 100)):
        assert count_of(sheet, (value, value, value)) == pixels
    assert contact_sheet(images[:1], columns=5, gap_px=0).shape == (20, 30, 3)


def test_a_contact_sheet_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([], columns=2)


def test_a_caption_stands_above_the_image():
    picture = caption(GRAY, "ground truth")
    assert np.array_equal(picture[-240:], GRAY)
    assert count_of(picture[:-240], (0, 0, 0)) > 10


def test_a_saved_picture_is_read_back(tmp_path):
    path = tmp_path / "new" / "picture.png"
    save_png(GRAY, path)
    save_png(GRAY[:10], path)
    assert np.array_equal(np.asarray(Image.open(path)), GRAY[:10])
    assert [p.name for p in path.parent.iterdir()] == ["picture.png"]


def test_a_failed_save_leaves_the_old_picture(tmp_path, monkeypatch):
    def fill_the_disk(_image, path, **_options):
        path.write(b"half a picture")
        raise OSError("no space left on device")

    path = tmp_path / "picture.png"
    save_png(GRAY, path)
    monkeypatch.setattr(Image.Image, "save", fill_the_disk)
    with pytest.raises(OSError, match="no space"):
        save_png(GRAY[:10], path)
    assert np.array_equal(np.asarray(Image.open(path)), GRAY)
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


def test_small_images_are_enlarged_and_large_ones_are_not():
    assert shown_size((50, 50)) == (480, 480)
    assert shown_size((6000, 4000)) == (6000, 4000)
    assert shown_size((1000, 10), 100) == (100, 1)


@pytest.mark.parametrize("name", ["\x1b[2J\u202e", "two\nlines", "x" * 5_000_000])
def test_names_of_any_text_are_drawn(name):
    picture = draw(GRAY, predict((100, 100, 200, 180)), classes=ClassTable((name,)))
    assert changed(picture).any()
    assert caption(picture, name).shape[1] == 320
