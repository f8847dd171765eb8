"""Each layout against the plainest reading of it: loops over cells and classes, one box at a time."""

from __future__ import annotations

import json
import math
from importlib.resources import files

import numpy as np
import pytest

from anydet.data.images import ImageArray
from anydet.data.record import Record
from anydet.geometry.boxes import nms_by_class
from anydet_onnxruntime.layouts import LAYOUTS
from anydet_onnxruntime.presets import PRESETS

STRIDES = (8, 16, 32)
INPUT_WH = (96, 64)
CLASSES = 5
FLOOR = 0.3
QUERIES = 20


def cells(strides=STRIDES):
    width, height = INPUT_WH
    return [(x, y, s) for s in strides for y in range(height // s) for x in range(width // s)]


def corners(cx, cy, w, h):
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def softmax(values):
    weights = [math.exp(v) for v in values]
    return [w / sum(weights) for w in weights]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def yolox():
    rng, count = np.random.default_rng(1), len(cells())
    out = np.concatenate([rng.normal(0, 0.7, (count, 4)), rng.random((count, 1 + CLASSES))], 1)
    rows = [
        (corners((x + tx) * s, (y + ty) * s, math.exp(tw) * s, math.exp(th) * s), [o * c for c in cls])
        for (x, y, s), (tx, ty, tw, th, o, *cls) in zip(cells(), out.astype(np.float32).tolist(), strict=True)
    ]
    return [out[None]], rows


def decoded(count):
    rng = np.random.default_rng(2)
    boxes = np.concatenate([rng.random((count, 2)) * 60, 2 + rng.random((count, 2)) * 30], 1)
    out = np.concatenate([boxes, rng.random((count, 1 + CLASSES))], 1)
    rows = [
        (corners(cx, cy, w, h), [o * c for c in cls])
        for cx, cy, w, h, o, *cls in out.astype(np.float32).tolist()
    ]
    return [out[None]], rows


def ultralytics():
    rng, count = np.random.default_rng(3), len(cells())
    boxes = np.concatenate([rng.random((count, 2)) * 60, 2 + rng.random((count, 2)) * 30], 1)
    out = np.concatenate([boxes, rng.random((count, CLASSES)) ** 4], 1)
    rows = [(corners(*row[:4]), row[4:]) for row in out.astype(np.float32).tolist()]
    return [out.T[None]], rows


def ultralytics_segment():
    (rows_first,), rows = ultralytics()
    rng, count = np.random.default_rng(8), len(cells())
    prototypes = rng.normal(0, 1, (1, 6, INPUT_WH[1] // 4, INPUT_WH[0] // 4))
    return [prototypes, np.concatenate([rows_first, rng.normal(0, 1, (1, 6, count))], 1)], rows


def end2end():
    rng = np.random.default_rng(9)
    low = rng.random((30, 2)) * 40
    out = np.concatenate([low, low + 3 + 20 * rng.random((30, 2)), rng.random((30, 1))], 1)
    labels = rng.integers(0, CLASSES, (30, 1))
    rows = [
        (row[:4], [row[4] if c == label else 0.0 for c in range(CLASSES)])
        for row, (label,) in zip(out.astype(np.float32).tolist(), labels.tolist(), strict=True)
    ]
    return [np.concatenate([out, labels], 1)[None]], rows


def nanodet():
    """Outputs shuffled, and without batch axis, as the real export has them."""
    rng = np.random.default_rng(4)
    scores = {s: rng.random((len(cells([s])), CLASSES)) ** 4 for s in STRIDES}
    logits = {s: rng.normal(0, 2, (len(cells([s])), 32)) for s in STRIDES}
    rows = []
    for s in STRIDES:
        for (x, y, _), score, logit in zip(cells([s]), scores[s], logits[s].reshape(-1, 4, 8), strict=True):
            left, top, right, bottom = (sum(i * p for i, p in enumerate(softmax(side))) * s for side in logit)
            cx, cy = (x + 0.5) * s - 0.5, (y + 0.5) * s - 0.5
            rows.append(([cx - left, cy - top, cx + right, cy + bottom], score.tolist()))
    return [scores[8], logits[16], logits[8], scores[32], logits[32], scores[16]], rows


def fastestdet():
    rng, (width, height) = np.random.default_rng(5), (INPUT_WH[0] // 16, INPUT_WH[1] // 16)
    objectness, classes = rng.random((1, height, width)), rng.random((CLASSES, height, width))
    out = np.concatenate([objectness, rng.normal(0, 1, (4, height, width)), classes])
    rows = []
    for y in range(height):
        for x in range(width):
            o, tx, ty, tw, th, *cls = out[:, y, x].tolist()
            cx, cy = (x + math.tanh(tx)) * 16, (y + math.tanh(ty)) * 16
            box = corners(cx, cy, sigmoid(tw) * INPUT_WH[0], sigmoid(th) * INPUT_WH[1])
            rows.append((box, [o**0.6 * c**0.4 for c in cls]))
    return [out[None]], rows


def detr(activation):
    rng, background = np.random.default_rng(6), activation is softmax
    logits = rng.normal(0, 2, (QUERIES, CLASSES + background))
    boxes = np.concatenate([0.3 + 0.4 * rng.random((QUERIES, 2)), 0.05 + 0.4 * rng.random((QUERIES, 2))], 1)
    width, height = INPUT_WH
    rows = [
        (
            corners(cx * width, cy * height, w * width, h * height),
            softmax(logit)[:-1] if background else [sigmoid(v) for v in logit],
        )
        for (cx, cy, w, h), logit in zip(boxes.tolist(), logits.tolist(), strict=True)
    ]
    return [boxes[None], logits[None]], rows  # the boxes first, unlike the usual export


FAMILIES = {
    "yolox": ({"preset": "yolox"}, yolox),
    "yolox-decoded": ({"preset": "yolox", "layout": "yolox-decoded"}, lambda: decoded(len(cells()))),
    "yolov5": ({"preset": "yolov5"}, lambda: decoded(3 * len(cells()))),
    "ultralytics": ({"preset": "ultralytics"}, ultralytics),
    "ultralytics-segment": ({"preset": "ultralytics-segment"}, ultralytics_segment),
    "end2end": ({"preset": "ultralytics-end2end"}, end2end),
    "nanodet": ({"preset": "nanodet"}, nanodet),
    "fastestdet": ({"preset": "fastestdet"}, fastestdet),
    "detr": ({"preset": "detr"}, lambda: detr(softmax)),
    "detr-sigmoid": ({"preset": "rtdetr"}, lambda: detr(sigmoid)),
}


def by_the_book(rows, nms_iou):
    """Every class of every row above the floor, clipped, then class-wise NMS."""
    width, height = INPUT_WH
    found = [
        ([min(max(v, 0), limit) for v, limit in zip(box, [width, height] * 2, strict=True)], score, class_id)
        for box, scores in rows
        for class_id, score in enumerate(scores)
        if score >= FLOOR
    ]
    found = [f for f in found if f[0][2] > f[0][0] and f[0][3] > f[0][1]]
    found.sort(key=lambda f: -f[1])
    boxes, scores, class_ids = map(np.array, zip(*found, strict=True))
    return found if nms_iou is None else [found[i] for i in nms_by_class(boxes, scores, class_ids, nms_iou)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layout_decodes_to_what_the_plainest_reading_gives(family, build, load):
    options, make = FAMILIES[family]
    outputs, rows = make()
    adapter = load(build(outputs, input_wh=INPUT_WH), score_floor=FLOOR, **options)
    image = np.zeros((INPUT_WH[1], INPUT_WH[0], 3), np.uint8)

    (result,) = adapter.predict([Record("a.png", ImageArray(image))])

    expected = by_the_book(rows, PRESETS[options["preset"]].nms_iou)
    assert len(expected) > 15, "too few detections to show anything"
    assert result.size_wh == INPUT_WH
    assert result.class_ids.tolist() == [class_id for _, _, class_id in expected]
    np.testing.assert_allclose(result.scores, [score for _, score, _ in expected], rtol=1e-5)
    np.testing.assert_allclose(result.boxes_xyxy_px, [box for box, _, _ in expected], atol=2e-4)


def test_every_layout_has_its_test_and_its_schema_entry():
    schema = json.loads((files("anydet_onnxruntime") / "options.schema.json").read_text("utf-8"))
    assert set(FAMILIES) == set(LAYOUTS) == set(schema["properties"]["layout"]["enum"])
    assert set(PRESETS) == set(schema["properties"]["preset"]["enum"])
    assert {recipe.layout for recipe in PRESETS.values()} <= set(LAYOUTS)


def test_boxes_come_back_to_the_pixels_of_an_image_of_another_size(build, load):
    outputs, _ = ultralytics()
    path = build(outputs, input_wh=INPUT_WH)
    with load(path, preset="ultralytics", nms_iou="null") as adapter:
        (same,) = adapter.predict([Record("a", ImageArray(np.zeros((64, 96, 3), np.uint8)))])
        (wide,) = adapter.predict([Record("a", ImageArray(np.zeros((64, 192, 3), np.uint8)))])
    # a 192x64 image becomes 96x32 in the middle of 96x64: x doubles, y loses 16 and doubles
    boxes = same.boxes_xyxy_px * 2 - [0, 32, 0, 32]
    boxes[:, 1::2] = np.clip(boxes[:, 1::2], 0, 64)
    inside = boxes[:, 3] > boxes[:, 1]
    np.testing.assert_allclose(wide.boxes_xyxy_px, boxes[inside], atol=1e-9)
    assert 0 < inside.sum() < len(inside)


def test_only_the_best_candidates_go_on(build, load):
    outputs, _ = ultralytics()
    path = build(outputs, input_wh=INPUT_WH)
    record = Record("a", ImageArray(np.zeros((64, 96, 3), np.uint8)))
    (everything,) = load(path, preset="ultralytics", nms_iou="null").predict([record])
    (best,) = load(path, preset="ultralytics", nms_iou="null", max_candidates=7).predict([record])
    np.testing.assert_array_equal(best.scores, everything.scores[:7])
    np.testing.assert_array_equal(best.boxes_xyxy_px, everything.boxes_xyxy_px[:7])


def test_of_equal_scores_the_first_candidates_go_on(build, load):
    out = np.concatenate([np.arange(4 * 126).reshape(4, 126) % 50 + 5.0, np.full((1, 126), 0.5)])
    path = build([out[None]], input_wh=INPUT_WH)
    record = Record("a", ImageArray(np.zeros((64, 96, 3), np.uint8)))
    (everything,) = load(path, preset="ultralytics", nms_iou="null").predict([record])
    (best,) = load(path, preset="ultralytics", nms_iou="null", max_candidates=10).predict([record])
    np.testing.assert_array_equal(best.boxes_xyxy_px, everything.boxes_xyxy_px[:10])


def test_coco_source_ids_as_columns_become_contiguous_classes(build, load):
    logits = np.full((QUERIES, 92), -9.0)
    logits[:, -1] = 9
    logits[3, 90], logits[4, 1] = 20, 18  # toothbrush, person
    boxes = np.full((QUERIES, 4), 0.4)
    adapter = load(build([logits[None], boxes[None]]), preset="detr")
    (result,) = adapter.predict([Record("a", ImageArray(np.zeros((64, 64, 3), np.uint8)))])
    names = [adapter.classes.names[i] for i in result.class_ids]
    assert names == ["toothbrush", "person"]
