"""Exports of RF-DETR, LW-DETR, RT-DETR, D-FINE and DEIM by their own code's conventions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.geometry import masks
from anydet.runtime.loaded import TensorInfo

BOXES = np.array([[0.3, 0.4, 0.2, 0.3], [0.6, 0.5, 0.4, 0.6], [0.5, 0.5, 0.1, 0.1]])
LOGITS = np.array([[2.0, -9, -9, -1], [-9, 1.0, -9, -2], [-9, -9, -9, 4.0]])
"""Of three classes and the background, which scores in the last row."""


def record(width=64, height=64):
    return Record("a", ImageArray(np.zeros((height, width, 3), np.uint8)))


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


@pytest.mark.parametrize("order", [("dets", "labels"), ("labels", "dets")])
def test_rfdetr_is_found_by_its_names_also_of_three_classes_where_both_outputs_are_four_wide(
    order, build, load
):
    outputs = {"dets": BOXES, "labels": LOGITS}
    adapter = load(
        build([outputs[name][None] for name in order], names=order), names="a,b,c", score_floor=0.3
    )
    assert adapter.notes.details == {"preset": "rfdetr", "layout": "rfdetr"}
    assert adapter.classes.names == ("a", "b", "c")
    (result,) = adapter.predict([record(96, 48)])
    assert result.class_ids.tolist() == [0, 1]
    np.testing.assert_allclose(result.scores, sigmoid(np.array([2.0, 1.0])), atol=1e-6)
    expected = [
        [(cx - w / 2) * 96, (cy - h / 2) * 48, (cx + w / 2) * 96, (cy + h / 2) * 48]
        for cx, cy, w, h in BOXES[:2].tolist()
    ]
    np.testing.assert_allclose(result.boxes_xyxy_px, expected, atol=1e-4)


def test_the_background_of_rfdetr_is_no_class_whether_names_are_known_or_not(build, load):
    path = build([BOXES[None], LOGITS[None]], names=("dets", "labels"))
    for names, count in (({}, 2), ({"names": "a,b,c"}, 2), ({"names": "a,b,c,d"}, 3)):
        (result,) = load(path, score_floor=0.3, **names).predict([record()])
        assert len(result) == count
    with pytest.raises(OptionError, match="gives 2 names, and the model has 4 classes"):
        load(path, names="a,b")


def test_cocos_91_columns_of_rfdetr_are_its_own_ids(build, load):
    logits = np.full((3, 91), -9.0)
    logits[0, 90], logits[1, 1] = 3, 2
    adapter = load(build([BOXES[None], logits[None]], names=("dets", "labels")), score_floor=0.3)
    (result,) = adapter.predict([record()])
    assert [adapter.classes.names[i] for i in result.class_ids] == ["toothbrush", "person"]


def test_masks_of_rfdetr_are_where_its_logits_are_positive_beyond_the_box_too(build, load):
    rng = np.random.default_rng(0)
    logits = cv2.resize(rng.normal(0, 3, (4, 4, 3)), (16, 16)).transpose(2, 0, 1).astype(np.float32)
    path = build([BOXES[None], LOGITS[None], logits[None]], names=("dets", "labels", "masks"))
    (result,) = load(path, names="a,b,c", score_floor=0.3).predict([record()])
    for row, rle in enumerate(result.masks):
        whole = cv2.resize(logits[row], (64, 64), interpolation=cv2.INTER_LINEAR)
        mask = masks.decode(rle)
        np.testing.assert_array_equal(mask[np.abs(whole) > 1e-4], (whole > 0)[np.abs(whole) > 1e-4])
        x1, y1, x2, y2 = result.boxes_xyxy_px[row].astype(int)
        assert mask.sum() > mask[y1:y2, x1:x2].sum()


PICTURE = np.random.default_rng(3).integers(0, 256, (75, 130, 3), dtype=np.uint8)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def pillow(size):
    """T.Resize of a picture, as RT-DETR, D-FINE, DEIM and LW-DETR have it."""
    return np.asarray(Image.fromarray(PICTURE).resize((size, size), Image.Resampling.BILINEAR)) / 255


def floats(size):
    """F.resize(antialias=False) of a tensor, as rfdetr 1.11 has it."""
    return cv2.resize(PICTURE.astype(np.float32) / 255, (size, size), interpolation=cv2.INTER_LINEAR)


QUERIES = [BOXES[None], LOGITS[None]]
DEPLOYED = [np.array([[1, 0]]), np.array([[[1, 2, 30, 40], [9, 9, 20, 20.0]]]), np.array([[0.9, 0.1]])]


@pytest.mark.parametrize(
    ("preset", "outputs", "names", "stated", "expected"),
    [
        ("rfdetr", QUERIES, ("dets", "labels"), {}, (floats(64) - MEAN) / STD),
        ("lwdetr", QUERIES, ("dets", "labels"), {"preset": "lwdetr"}, (pillow(64) - MEAN) / STD),
        ("rtdetr", QUERIES, ("pred_boxes", "pred_logits"), {"preset": "rtdetr"}, pillow(64)),
        ("rtdetr-deploy", DEPLOYED, ("labels", "boxes", "scores"), {}, pillow(64)),
    ],
)
def test_images_become_inputs_as_the_familys_own_code_makes_them(
    preset, outputs, names, stated, expected, build, load
):
    sizes = [TensorInfo("orig_target_sizes", (1, 2), "int64")] if preset == "rtdetr-deploy" else []
    adapter = load(build(outputs, names=names, extra_inputs=sizes), **stated)
    assert adapter.notes.details["preset"] == preset
    tensor = adapter.stages.prepare(PICTURE).tensor
    np.testing.assert_allclose(tensor, expected.transpose(2, 0, 1), atol=1e-5)
