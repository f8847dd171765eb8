"""Ultralytics' pose, oriented-box and classification exports against plain loops; which file is which."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image

from anydet import api
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.geometry import masks
from anydet.runtime.errors import ModelError

CELLS = 84  # of 64x64
METADATA = {"stride": "32", "imgsz": "[64, 64]", "names": "{0: 'cat', 1: 'dog'}"}
POSE = {**METADATA, "task": "pose", "kpt_shape": "[3, 3]"}
OBB = {**METADATA, "task": "obb"}


def record(width=64, height=64):
    return Record("a.png", ImageArray(np.zeros((height, width, 3), np.uint8)))


def back(points, image_wh):
    """Of a 64x64 letterbox, one point at a time."""
    width, height = image_wh
    ratio = max(width, height) / 64
    left, top = (64 - round(width / ratio)) // 2, (64 - round(height / ratio)) // 2
    return [((x - left) * ratio, (y - top) * ratio) for x, y in points]


def pose_rows(numbers=3):
    """Two rows that score, far from each other: center and size, two scores, three keypoints."""
    rng = np.random.default_rng(0)
    found = []
    for box, scores in (([20, 30, 22, 12], [0.9, 0]), ([44, 36, 24, 16], [0, 0.8])):
        points = np.concatenate([rng.uniform(18, 46, (3, 2)), rng.random((3, 1))], axis=1)[:, :numbers]
        found.append((box, scores, points.tolist()))
    return found


@pytest.mark.parametrize("image_wh", [(64, 64), (96, 48)])
@pytest.mark.parametrize("numbers", [2, 3])
@pytest.mark.parametrize("nms_inside", [False, True])
def test_keypoints_are_what_a_loop_over_rows_gives(nms_inside, numbers, image_wh, build, load):
    rows = pose_rows(numbers)
    if nms_inside:
        out = np.zeros((5, 6 + 3 * numbers))
        for i, ((cx, cy, w, h), scores, points) in enumerate(rows):
            best = int(np.argmax(scores))
            corners = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
            out[i] = [*corners, scores[best], best, *np.ravel(points)]
    else:
        out = np.zeros((6 + 3 * numbers, CELLS))
        for i, (box, scores, points) in zip((7, 60), rows, strict=True):
            out[:, i] = [*box, *scores, *np.ravel(points)]
    adapter = load(build([out[None]], metadata={**POSE, "kpt_shape": f"[3, {numbers}]"}), score_floor=0.5)
    assert adapter.notes.details["preset"] == f"ultralytics-pose{'-end2end' if nms_inside else ''}"
    (result,) = adapter.predict([record(*image_wh)])
    assert result.class_ids.tolist() == [0, 1]
    for i, ((cx, cy, w, h), scores, points) in enumerate(rows):
        assert result.scores[i] == pytest.approx(max(scores))
        (x1, y1), (x2, y2) = back([(cx - w / 2, cy - h / 2), (cx + w / 2, cy + h / 2)], image_wh)
        assert result.boxes_xyxy_px[i] == pytest.approx([x1, y1, x2, y2], abs=1e-4)
        expected = back([point[:2] for point in points], image_wh)
        np.testing.assert_allclose(result.keypoints[i, :, :2], expected, atol=1e-4)
        found = [point[2] if numbers == 3 else math.nan for point in points]
        np.testing.assert_allclose(result.keypoints[i, :, 2], found, atol=1e-6)


def test_names_of_keypoints_are_the_files_own_else_cocos_where_there_are_17(build, load):
    named = {**POSE, "kpt_names": "{0: ['tip', 'neck', 'tail'], 1: ['tip', 'neck', 'tail']}"}
    assert load(build([np.zeros((1, 15, CELLS))], metadata=named)).notes.keypoint_names == (
        "tip",
        "neck",
        "tail",
    )
    assert load(build([np.zeros((1, 15, CELLS))], metadata=POSE)).notes.keypoint_names == ()
    person = {**POSE, "kpt_shape": "[17, 3]", "names": "{0: 'person'}"}
    names = load(build([np.zeros((1, 56, CELLS))], metadata=person)).notes.keypoint_names
    assert names[0] == "nose"
    assert names[5:7] == ("left_shoulder", "right_shoulder")
    assert names[-2:] == ("left_ankle", "right_ankle")
    assert len(set(names)) == 17


def test_a_person_model_without_metadata_is_named_where_values_exclude_boxes_alone(build, load):
    out = np.zeros((56, CELLS))
    out[:4] = [[20], [30], [10], [12]]
    out[5:] = np.random.default_rng(0).uniform(0, 1, (51, CELLS))
    out[5::3] *= 64
    with pytest.raises(OptionError, match=r"Presets that fit: ultralytics-pose\n") as error:
        load(build([out[None]]))
    (line,) = error.value.details
    assert line.startswith("  not ultralytics: scores run")
    rows = np.zeros((5, 57))
    rows[:, 2:4] = 9
    with pytest.raises(OptionError, match=r"Presets that fit: ultralytics-pose-end2end\n"):
        load(build([rows[None]]))


def test_scores_of_keypoints_that_are_none_are_refused(build, load):
    out = np.zeros((15, CELLS))
    out[:, 5] = [20, 30, 10, 10, 0.9, 0, *[20, 30, 7.0] * 3]
    with pytest.raises(ModelError, match="scores run from"):
        list(load(build([out[None]], metadata=POSE)).predict([record()]))


def corners(cx, cy, w, h, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return [
        (cx + x * cos - y * sin, cy + x * sin + y * cos)
        for x, y in ((-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2))
    ]


def inside(polygon, x, y):
    """Whether a point is on the right of all edges of a polygon that goes clockwise on the screen."""
    edges = zip(polygon, [*polygon[1:], polygon[0]], strict=True)
    return all((bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0 for (ax, ay), (bx, by) in edges)


TURNED = [((22, 30, 28, 8, 0.7), 0, 0.9), ((42, 34, 30, 12, -0.4), 1, 0.8)]
"""Center, size and angle; class; score."""


@pytest.mark.parametrize("image_wh", [(64, 64), (96, 48)])
@pytest.mark.parametrize("nms_inside", [False, True])
def test_oriented_boxes_become_polygons_and_enclosing_boxes(nms_inside, image_wh, build, load):
    if nms_inside:
        out = np.zeros((5, 7))
        for i, ((*box, angle), class_id, score) in enumerate(TURNED):
            out[i] = [*box, score, class_id, angle]
    else:
        out = np.zeros((7, CELLS))
        for i, ((*box, angle), class_id, score) in zip((7, 60), TURNED, strict=True):
            out[:, i] = [*box, *(score if c == class_id else 0 for c in range(2)), angle]
    adapter = load(build([out[None]], metadata=OBB), score_floor=0.5)
    assert adapter.notes.details["preset"] == f"ultralytics-obb{'-end2end' if nms_inside else ''}"
    (warning,) = adapter.notes.warnings
    assert "oriented" in warning
    (result,) = adapter.predict([record(*image_wh)])
    assert result.class_ids.tolist() == [0, 1]
    for i, (box, _, score) in enumerate(TURNED):
        polygon = back(corners(*box), image_wh)
        assert result.scores[i] == pytest.approx(score)
        np.testing.assert_allclose(result.keypoints[i, :, :2], polygon, atol=1e-4)
        xs, ys = zip(*polygon, strict=True)
        clipped = [max(0, min(xs)), max(0, min(ys)), min(image_wh[0], max(xs)), min(image_wh[1], max(ys))]
        assert result.boxes_xyxy_px[i] == pytest.approx(clipped, abs=1e-4)
        mask = masks.decode(result.masks[i])
        expected = [
            [inside(polygon, x + 0.5, y + 0.5) for x in range(image_wh[0])] for y in range(image_wh[1])
        ]
        # COCO's own painting is off by half a pixel at some edges.
        assert (mask ^ np.array(expected)).sum() < 0.2 * np.sum(expected)
    assert adapter.notes.keypoint_names == ("corner_1", "corner_2", "corner_3", "corner_4")


def test_turned_boxes_whose_upright_ones_overlap_do_not_suppress_each_other(build, load):
    """A cross: upright boxes are the same, and neither is over the other."""
    out = np.zeros((7, CELLS))
    out[:, 3] = [32, 32, 50, 6, 0.9, 0, math.pi / 4]
    out[:, 9] = [32, 32, 50, 6, 0.8, 0, -math.pi / 4]
    out[:, 20] = [33, 32, 50, 6, 0.7, 0, math.pi / 4]
    (result,) = load(build([out[None]], metadata=OBB), score_floor=0.5).predict([record()])
    assert result.scores == pytest.approx([0.9, 0.8])


def test_angles_that_are_none_are_refused(build, load):
    out = np.zeros((7, CELLS))
    out[:, 3] = [32, 32, 50, 6, 0.9, 0, 45.0]
    with pytest.raises(ModelError, match="angles run from 45"):
        list(load(build([out[None]], metadata=OBB)).predict([record()]))


def test_a_file_without_metadata_is_upright_where_its_values_may_be(build, load):
    with pytest.raises(OptionError, match=r"Presets that fit: ultralytics\n"):
        load(build([np.zeros((1, 7, CELLS))]))
    out = np.zeros((7, CELLS))
    out[6] = -0.5
    with pytest.raises(OptionError, match=r"Presets that fit: ultralytics-obb\n"):
        load(build([out[None]]))


def test_oriented_boxes_reach_a_file_that_is_valid(tmp_path, build, load):
    out = np.zeros((5, 7))
    out[0] = [22, 30, 28, 8, 0.9, 1, 0.7]
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "images" / "a.png")
    with load(build([out[None]], metadata=OBB)) as adapter:
        api.export_predictions(adapter, api.open_dataset(tmp_path / "images"), tmp_path / "p.json", wrap=True)
    assert api.validate(tmp_path / "p.json").ok
    written = json.loads((tmp_path / "p.json").read_text("utf-8"))
    assert written["meta"]["extra"]["keypoint_names"][0] == "corner_1"
    assert "oriented" in written["meta"]["extra"]["warnings"][0]
    assert "mask" in written["predictions"][0]["detections"][0]


CLASSIFY = {**METADATA, "task": "classify"}


def test_a_classifier_gives_the_class_of_the_image(tmp_path, build, load):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (50, 30)).save(tmp_path / "images" / "a.png")
    with load(build([np.array([[0.25, 0.75]])], metadata=CLASSIFY)) as adapter:
        assert adapter.notes.details["preset"] == "ultralytics-classify"
        (result,) = adapter.predict([record(50, 30)])
        api.export_predictions(adapter, api.open_dataset(tmp_path / "images"), tmp_path / "p.json", wrap=True)
    assert len(result) == 0
    assert result.size_wh == (50, 30)
    assert (result.classification.class_id, result.classification.score) == (1, 0.75)
    assert result.classification.scores == (0.25, 0.75)
    assert api.validate(tmp_path / "p.json").ok


def test_a_classifier_without_its_softmax_is_refused(build, load):
    with pytest.raises(ModelError, match=r"add up to 1\.5 where 1"):
        list(load(build([np.array([[0.75, 0.75]])], metadata=CLASSIFY)).predict([record()]))


def test_the_image_of_a_classifier_is_torchvisions_resize_and_center_crop(build, load):
    """Written out, as its import takes longer than all tests of this file."""
    path = build([np.array([[0.5, 0.5]])], metadata={**CLASSIFY, "imgsz": "[32, 32]"}, input_wh=(32, 32))
    stages = load(path).stages
    for height, width in ((50, 91), (64, 33), (7, 5), (32, 32), (33, 32)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        long = int(32 * max(height, width) / min(height, width))
        size = (32, long) if height > width else (long, 32)
        whole = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        top, left = (round((side - 32) / 2.0) for side in size[::-1])
        expected = whole[top : top + 32, left : left + 32].transpose(2, 0, 1) / np.float32(255)
        np.testing.assert_allclose(stages.prepare(image).tensor, expected, atol=1e-6)


@pytest.mark.parametrize("family", ["ultralytics", "yolov5"])
def test_yolov3_tiny_has_two_strides_and_its_metadata_say_what_it_is(family, build, load):
    """Ultralytics' exports have a task; those of the repository of YOLOv3 have stride and names alone."""
    cells = 4 * 4 + 2 * 2
    box, where = [30, 34, 20, 12], 11
    if family == "ultralytics":
        out, metadata = np.zeros((6, cells)), {**METADATA, "task": "detect"}
        out[:, where] = [*box, 0, 0.9]
    else:
        out, metadata = np.zeros((3 * cells, 7)), METADATA
        out[where] = [*box, 0.9, 0, 1.0]
    adapter = load(build([out[None]], metadata=metadata), score_floor=0.5)
    assert adapter.notes.details["preset"] == family
    (result,) = adapter.predict([record()])
    assert result.class_ids.tolist() == [1]
    assert result.boxes_xyxy_px.tolist() == [[20, 28, 40, 40]]


def test_yolov5_s_own_metadata_choose_its_preset_or_that_of_yolov9(build, load):
    assert load(build([np.zeros((1, 3 * CELLS, 7))], metadata=METADATA)).notes.details["preset"] == "yolov5"
    notes = load(build([np.zeros((1, 6, CELLS))], metadata=METADATA)).notes
    assert notes.details["preset"] == "ultralytics"
    assert notes.image_size == (64, 64)
