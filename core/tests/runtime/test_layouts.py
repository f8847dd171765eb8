"""Each layout against the plainest reading of it: loops over cells and classes, one box at a time."""

from __future__ import annotations

import json
import math
from importlib.resources import files

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.geometry.boxes import nms_by_class
from anydet.runtime.layouts import LAYOUTS
from anydet.runtime.presets import PRESETS

STRIDES = (8, 16, 32)
INPUT_WH = (96, 64)
CLASSES = 5
FLOOR = 0.3
QUERIES = 20


def cells(input_wh, strides=STRIDES):
    width, height = input_wh
    return [(x, y, s) for s in strides for y in range(-(-height // s)) for x in range(-(-width // s))]


def corners(cx, cy, w, h):
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def softmax(values):
    weights = [math.exp(v) for v in values]
    return [w / sum(weights) for w in weights]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def some_boxes(rng, count):
    """Center and size in pixels."""
    return np.concatenate([rng.random((count, 2)) * 60, 2 + rng.random((count, 2)) * 30], 1)


def half(values):
    """What half precision holds too, so that a model of either is the same model."""
    return values.astype(np.float16).astype(np.float64)


# Each family: what a model gives for one image, and by rows box (x1, y1, x2, y2) and a score a class.


def yolox(input_wh):
    rng, count = np.random.default_rng(1), len(cells(input_wh))
    out = half(np.concatenate([rng.normal(0, 0.7, (count, 4)), rng.random((count, 1 + CLASSES))], 1))
    rows = [
        (corners((x + tx) * s, (y + ty) * s, math.exp(tw) * s, math.exp(th) * s), [o * c for c in cls])
        for (x, y, s), (tx, ty, tw, th, o, *cls) in zip(cells(input_wh), out.tolist(), strict=True)
    ]
    return [out], rows


def decoded(count):
    rng = np.random.default_rng(2)
    out = half(np.concatenate([some_boxes(rng, count), rng.random((count, 1 + CLASSES))], 1))
    rows = [(corners(cx, cy, w, h), [o * c for c in cls]) for cx, cy, w, h, o, *cls in out.tolist()]
    return [out], rows


def ultralytics(input_wh):
    rng, count = np.random.default_rng(3), len(cells(input_wh))
    out = half(np.concatenate([some_boxes(rng, count), rng.random((count, CLASSES)) ** 4], 1))
    return [out.T], [(corners(*row[:4]), row[4:]) for row in out.tolist()]


def ultralytics_segment(input_wh):
    (rows_first,), rows = ultralytics(input_wh)
    rng, count = np.random.default_rng(8), rows_first.shape[1]
    prototypes = half(rng.normal(0, 1, (6, input_wh[1] // 4, input_wh[0] // 4)))
    return [prototypes, np.concatenate([rows_first, half(rng.normal(0, 1, (6, count)))])], rows


def detections(count=30):
    """Boxes, scores and labels as they come out of NMS inside, and the same as rows."""
    rng = np.random.default_rng(9)
    low = rng.random((count, 2)) * 40
    boxes, scores = (
        half(np.concatenate([low, low + 3 + 20 * rng.random((count, 2))], 1)),
        half(rng.random(count)),
    )
    labels = rng.integers(0, CLASSES, count)
    rows = [
        (box, [score if c == label else 0.0 for c in range(CLASSES)])
        for box, score, label in zip(boxes.tolist(), scores.tolist(), labels.tolist(), strict=True)
    ]
    return boxes, scores, labels, rows


def end2end(input_wh):
    boxes, scores, labels, rows = detections()
    return [np.concatenate([boxes, scores[:, None], labels[:, None]], 1)], rows


def separate(input_wh):
    boxes, scores, labels, rows = detections()
    return [labels, boxes, scores], rows


def counted(input_wh):
    """Ten rows of padding, which would score."""
    boxes, scores, labels, rows = detections(40)
    return [np.array([30]), boxes, scores, labels.astype(np.int32)], rows[:30]


def nanodet(input_wh):
    """Outputs shuffled, as the real export has them."""
    rng = np.random.default_rng(4)
    scores = {s: half(rng.random((len(cells(input_wh, [s])), CLASSES)) ** 4) for s in STRIDES}
    logits = {s: half(rng.normal(0, 2, (len(cells(input_wh, [s])), 32))) for s in STRIDES}
    rows = []
    for s in STRIDES:
        sides_of_cells = logits[s].reshape(-1, 4, 8)
        for (x, y, _), score, sides in zip(cells(input_wh, [s]), scores[s], sides_of_cells, strict=True):
            left, top, right, bottom = (sum(i * p for i, p in enumerate(softmax(side))) * s for side in sides)
            cx, cy = (x + 0.5) * s - 0.5, (y + 0.5) * s - 0.5
            rows.append(([cx - left, cy - top, cx + right, cy + bottom], score.tolist()))
    return [scores[8], logits[16], logits[8], scores[32], logits[32], scores[16]], rows


def fastestdet(input_wh):
    rng, (width, height) = np.random.default_rng(5), (input_wh[0] // 16, input_wh[1] // 16)
    objectness, classes = rng.random((1, height, width)), rng.random((CLASSES, height, width))
    out = half(np.concatenate([objectness, rng.normal(0, 1, (4, height, width)), classes]))
    rows = []
    for y in range(height):
        for x in range(width):
            o, tx, ty, tw, th, *cls = out[:, y, x].tolist()
            cx, cy = (x + math.tanh(tx)) * 16, (y + math.tanh(ty)) * 16
            box = corners(cx, cy, sigmoid(tw) * input_wh[0], sigmoid(th) * input_wh[1])
            rows.append((box, [o**0.6 * c**0.4 for c in cls]))
    return [out], rows


def detr(input_wh, activation):
    rng, background = np.random.default_rng(6), activation is softmax
    logits = half(rng.normal(0, 2, (QUERIES, CLASSES + background)))
    boxes = [0.3 + 0.4 * rng.random((QUERIES, 2)), 0.05 + 0.4 * rng.random((QUERIES, 2))]
    boxes = half(np.concatenate(boxes, 1))
    width, height = input_wh
    rows = [
        (
            corners(cx * width, cy * height, w * width, h * height),
            softmax(logit)[:-1] if background else [sigmoid(v) for v in logit],
        )
        for (cx, cy, w, h), logit in zip(boxes.tolist(), logits.tolist(), strict=True)
    ]
    return [boxes, logits], rows  # the boxes first, unlike the usual export


def scrfd(input_wh):
    rng, outputs, rows = np.random.default_rng(10), {}, []
    for s in STRIDES:
        anchors = [(x, y) for x, y, _ in cells(input_wh, [s]) for _ in range(2)]
        score, box = half(rng.random((len(anchors), 1)) ** 2), half(rng.random((len(anchors), 4)) * 2)
        outputs[s] = score, box, half(rng.normal(0, 1, (len(anchors), 10)))
        for (x, y), (p,), (left, top, right, bottom) in zip(anchors, score, box, strict=True):
            rows.append(([(x - left) * s, (y - top) * s, (x + right) * s, (y + bottom) * s], [p]))
    return [outputs[s][part] for part in range(3) for s in STRIDES], rows


def yunet(input_wh):
    rng, outputs, rows = np.random.default_rng(11), {}, []
    for s in STRIDES:
        here = cells(input_wh, [s])
        cls, obj = half(rng.random((len(here), 1))), half(rng.random((len(here), 1)))
        box = half(rng.normal(0, 0.5, (len(here), 4)))
        outputs[s] = cls, obj, box, half(rng.normal(0, 1, (len(here), 10)))
        for (x, y, _), (c,), (o,), (tx, ty, tw, th) in zip(here, cls, obj, box, strict=True):
            rows.append(
                (corners((x + tx) * s, (y + ty) * s, math.exp(tw) * s, math.exp(th) * s), [(c * o) ** 0.5])
            )
    return [outputs[s][part] for part in range(4) for s in STRIDES], rows


def picodet(input_wh):
    rng, outputs, rows = np.random.default_rng(12), [], []
    for s in (8, 16, 32, 64):
        here = cells(input_wh, [s])
        scores, logits = half(rng.random((len(here), CLASSES)) ** 4), half(rng.normal(0, 2, (len(here), 32)))
        outputs += [logits, scores]
        for (x, y, _), score, sides in zip(here, scores, logits.reshape(-1, 4, 8), strict=True):
            left, top, right, bottom = (sum(i * p for i, p in enumerate(softmax(side))) * s for side in sides)
            cx, cy = (x + 0.5) * s, (y + 0.5) * s
            rows.append(([cx - left, cy - top, cx + right, cy + bottom], score.tolist()))
    return outputs, rows


def on_anchor(v, x, y, s, anchor):
    """YOLOv5's box of activated numbers."""
    (cx, cy), (w, h) = [((2 * v[i] - 0.5) + g) * s for i, g in enumerate((x, y))], anchor
    return corners(cx, cy, (2 * v[2]) ** 2 * w, (2 * v[3]) ** 2 * h)


FAST_ANCHORS = {
    16: [(12.64, 19.39), (37.88, 51.48), (55.71, 138.31)],
    32: [(126.91, 78.23), (131.57, 214.55), (279.92, 258.87)],
}
V5_ANCHORS = {
    8: [(10, 13), (16, 30), (33, 23)],
    16: [(30, 61), (62, 45), (59, 119)],
    32: [(116, 90), (156, 198), (373, 326)],
}
V5_FACES = {
    8: [(4, 5), (8, 10), (13, 16)],
    16: [(23, 29), (43, 55), (73, 105)],
    32: [(146, 217), (231, 300), (335, 433)],
}


def fastestv2(input_wh, maps):
    rng, outputs, rows = np.random.default_rng(13), [], []
    for s, anchors in FAST_ANCHORS.items():
        here = cells(input_wh, [s])
        out = half(rng.random((len(here), 15 + CLASSES)))
        for (x, y, _), row in zip(here, out.tolist(), strict=True):
            for a, anchor in enumerate(anchors):
                scores = [row[12 + a] * c for c in row[15:]]
                rows.append((on_anchor(row[4 * a : 4 * a + 4], x, y, s, anchor), scores))
        outputs.append(out.reshape(-(-input_wh[1] // s), -(-input_wh[0] // s), -1) if maps else out)
    return (outputs if maps else [np.concatenate(outputs)]), rows


def yolov5_grid(input_wh):
    rng, parts, rows = np.random.default_rng(14), [], []
    for s, anchors in V5_ANCHORS.items():
        for anchor in anchors:
            for x, y, _ in cells(input_wh, [s]):
                v = half(rng.random(5 + CLASSES))
                parts.append(v)
                rows.append((on_anchor(v, x, y, s, anchor), [v[4] * c for c in v[5:]]))
    return [np.array(parts)], rows


def yolov5_face(input_wh):
    rng, outputs, rows = np.random.default_rng(15), [], []
    for s, anchors in V5_FACES.items():
        height, width = -(-input_wh[1] // s), -(-input_wh[0] // s)
        out = half(rng.normal(0, 1.5, (3, height, width, 16)))
        outputs.append(out)
        for x, y, _ in cells(input_wh, [s]):
            for a, anchor in enumerate(anchors):
                v = [sigmoid(n) for n in out[a, y, x]]
                rows.append((on_anchor(v, x, y, s, anchor), [v[4] * v[15]]))
    return outputs, rows


def ultraface(input_wh):
    rng, width_height = np.random.default_rng(16), np.array([*input_wh, *input_wh])
    grid = zip((8, 16, 32, 64), (3, 2, 2, 3), strict=True)
    count = sum(anchors * len(cells(input_wh, [s])) for s, anchors in grid)
    low, scores = rng.random((count, 2)) * 0.6, half(rng.random((count, 2)))
    boxes = half(np.concatenate([low, low + 0.1 + 0.3 * rng.random((count, 2))], 1))
    pairs = zip((boxes * width_height).tolist(), scores.tolist(), strict=True)
    return [scores, boxes], [(box, [face]) for box, (_, face) in pairs]


def retinaface(input_wh, parts):
    rng, out, rows = np.random.default_rng(17), [], []
    for s, sizes in {8: (16, 32), 16: (64, 128), 32: (256, 512)}.items():
        for x, y, _ in cells(input_wh, [s]):
            for size in sizes:
                v = half(np.concatenate([rng.normal(0, 1, 4), rng.random(2), rng.normal(0, 1, 10)]))
                out.append(v)
                cx, cy = (x + 0.5) * s + 0.1 * v[0] * size, (y + 0.5) * s + 0.1 * v[1] * size
                w, h = (size * math.exp(0.2 * n) for n in v[2:4])
                rows.append((corners(cx, cy, w, h), [v[5]]))
    table = np.array(out)
    return ([table[:, :4], table[:, 4:6], table[:, 6:]] if parts else [table]), rows


def mediapipe(input_wh, width, grid=((8, 2), (16, 6))):
    rng, out, logits, rows = np.random.default_rng(18), [], [], []
    for s, anchors in grid:
        for x, y, _ in cells(input_wh, [s]):
            for _ in range(anchors):
                v = half(np.concatenate([rng.normal(0, 4, 2), 4 + 20 * rng.random(2), rng.random(width - 4)]))
                out.append(v)
                logits.append([float(half(rng.normal(0, 3, 1))[0])])
                box = corners((x + 0.5) * s + v[0], (y + 0.5) * s + v[1], v[2], v[3])
                rows.append((box, [sigmoid(logits[-1][0])]))
    return [np.array(out), np.array(logits)], rows


def mmdeploy(input_wh):
    boxes, scores, labels, rows = detections()
    return [labels, np.concatenate([boxes, scores[:, None]], 1)], rows


FAMILIES = {
    "picodet": ({"preset": "picodet"}, picodet),
    "yolo-fastestv2": ({"preset": "yolo-fastestv2"}, lambda wh: fastestv2(wh, maps=False)),
    "yolo-fastestv2-maps": ({"preset": "yolo-fastestv2-maps"}, lambda wh: fastestv2(wh, maps=True)),
    "yolov5-grid": ({"preset": "yolov5-grid"}, yolov5_grid),
    "yolov5-grid, found by its values": ({"preset": "yolov5"}, yolov5_grid),
    "yolov5-face": ({"preset": "yolov5-face"}, yolov5_face),
    "ultraface": ({"preset": "ultraface"}, ultraface),
    "retinaface": ({"preset": "retinaface"}, lambda wh: retinaface(wh, parts=False)),
    "retinaface-parts": ({"preset": "retinaface-parts"}, lambda wh: retinaface(wh, parts=True)),
    "blazeface": ({"preset": "blazeface"}, lambda wh: mediapipe(wh, 16)),
    "blazeface-back": (
        {"preset": "blazeface-back"},
        lambda wh: mediapipe(wh, 16, ((16, 2), (32, 6))),
    ),
    "blazeface-full": ({"preset": "blazeface-full"}, lambda wh: mediapipe(wh, 16, ((4, 1),))),
    "palm": ({"preset": "palm"}, lambda wh: mediapipe(wh, 18)),
    "mmdeploy": ({"preset": "mmdeploy"}, mmdeploy),
    "yolox": ({"preset": "yolox"}, yolox),
    "yolox-decoded": ({"preset": "yolox", "layout": "yolox-decoded"}, lambda wh: decoded(len(cells(wh)))),
    "yolov5": ({"preset": "yolov5"}, lambda wh: decoded(3 * len(cells(wh)))),
    "ultralytics": ({"preset": "ultralytics"}, ultralytics),
    "ultralytics-segment": ({"preset": "ultralytics-segment"}, ultralytics_segment),
    "end2end": ({"preset": "ultralytics-end2end"}, end2end),
    "nanodet": ({"preset": "nanodet"}, nanodet),
    "fastestdet": ({"preset": "fastestdet"}, fastestdet),
    "detr": ({"preset": "detr"}, lambda wh: detr(wh, softmax)),
    "detr-sigmoid": ({"preset": "rtdetr"}, lambda wh: detr(wh, sigmoid)),
    "rfdetr": ({"preset": "lwdetr"}, lambda wh: detr(wh, sigmoid)),
    "separate": ({"preset": "yolo-nms"}, separate),
    "counted": ({"preset": "efficient-nms"}, counted),
    "scrfd": ({"preset": "scrfd"}, scrfd),
    "yunet": ({"preset": "yunet"}, yunet),
}
VARIATIONS = {
    "as it is": {},
    "without batch axis": {},
    "half precision": {"dtype": np.float16},
    "the last axis is the channels": {"input_shape": (1, 64, 96, 3)},
    "no batch axis at all": {"input_shape": (3, 64, 96)},
    "an open batch axis that is a constant inside": {"input_shape": ("n", 3, 64, 96)},
    "everything open": {"input_shape": ("n", "c", "h", "w"), "open_outputs": True},
    "nothing declared": {"input_shape": (None, None, None, None), "open_outputs": True},
}


def by_the_book(rows, nms_iou, input_wh):
    """Every class of every row above the floor, class-wise NMS of whole boxes, clipped then."""

    def clipped(box):
        return [min(max(v, 0), limit) for v, limit in zip(box, [*input_wh, *input_wh], strict=True)]

    found = [
        (box, score, class_id)
        for box, scores in rows
        for class_id, score in enumerate(scores)
        if score >= FLOOR
    ]
    found = [f for f in found if (c := clipped(f[0]))[2] > c[0] and c[3] > c[1]]
    found.sort(key=lambda f: -f[1])
    if nms_iou is not None:
        boxes, scores, class_ids = map(np.array, zip(*found, strict=True))
        found = [found[i] for i in nms_by_class(boxes, scores, class_ids, nms_iou)]
    return [(clipped(box), score, class_id) for box, score, class_id in found]


def assert_by_the_book(result, rows, nms_iou, input_wh):
    expected = by_the_book(rows, nms_iou, input_wh)
    assert len(expected) > 10, "too few detections to show anything"
    assert result.size_wh == input_wh
    assert result.class_ids.tolist() == [class_id for _, _, class_id in expected]
    np.testing.assert_allclose(result.scores, [score for _, score, _ in expected], rtol=1e-5)
    np.testing.assert_allclose(result.boxes_xyxy_px, [box for box, _, _ in expected], atol=2e-4)


def black(input_wh):
    return Record("a.png", ImageArray(np.zeros((input_wh[1], input_wh[0], 3), np.uint8)))


@pytest.mark.parametrize("variation", VARIATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_layout_decodes_to_what_the_plainest_reading_gives(family, variation, build, load):
    options, make = FAMILIES[family]
    outputs, rows = make(INPUT_WH)
    bare = variation in ("without batch axis", "no batch axis at all")
    outputs = outputs if bare else [o[None] for o in outputs]
    path = build(outputs, **{"input_wh": INPUT_WH, **VARIATIONS[variation]})
    adapter = load(path, score_floor=FLOOR, batch_size=3, size="96x64", **options)
    for result in adapter.predict([black(INPUT_WH)] * 2):
        assert_by_the_book(result, rows, PRESETS[options["preset"]].nms_iou, INPUT_WH)


@pytest.mark.parametrize("input_wh", [(64, 96), (160, 160)])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_layout_is_decoded_at_other_sizes(family, input_wh, build, load):
    options, make = FAMILIES[family]
    outputs, rows = make(input_wh)
    path = build([o[None] for o in outputs], input_wh=input_wh)
    (result,) = load(path, score_floor=FLOOR, **options).predict([black(input_wh)])
    assert_by_the_book(result, rows, PRESETS[options["preset"]].nms_iou, input_wh)


BY_THEMSELVES = (
    "nanodet",
    "picodet",
    "yolo-fastestv2",
    "yolo-fastestv2-maps",
    "ultraface",
    "retinaface",
    "retinaface-parts",
    "blazeface",
    "blazeface-back",
    "blazeface-full",
    "palm",
)


@pytest.mark.parametrize("family", BY_THEMSELVES)
def test_a_family_whose_shapes_no_other_has_is_chosen_by_itself(family, build, load):
    _, make = FAMILIES[family]
    arrays, _ = make(INPUT_WH)
    path = build([array[None] for array in arrays], input_wh=INPUT_WH)
    assert load(path).notes.details == {"preset": family, "layout": family}


def test_families_that_say_to_be_certain_are_those_of_the_test():
    assert {name for name, preset in PRESETS.items() if preset.certain} == set(BY_THEMSELVES)


@pytest.mark.parametrize(
    ("preset", "make", "names"),
    [
        ("mmdeploy", mmdeploy, ("labels", "dets")),
        ("rfdetr", lambda wh: detr(wh, sigmoid), ("labels", "dets")),
        ("efficient-nms", counted, ("det_boxes", "num_dets", "det_classes", "det_scores")),
    ],
)
def test_a_family_whose_names_no_other_has_is_chosen_by_itself(preset, make, names, build, load):
    arrays, _ = make(INPUT_WH)
    path = build([array[None] for array in arrays], input_wh=INPUT_WH, names=names)
    assert load(path).notes.details["preset"] == preset


IN_THEIR_OWN_FILE = {
    "ultralytics-pose",
    "ultralytics-obb",
    "ultralytics-classify",
    "pose-end2end",
    "obb-end2end",
}
"""What gives more than boxes, or suppresses otherwise: ``test_presets_ultralytics_tasks``."""


def test_every_layout_has_its_test_and_its_schema_entry():
    schema = json.loads((files("anydet.runtime") / "options.schema.json").read_text("utf-8"))
    assert {name.partition(",")[0] for name in FAMILIES} | IN_THEIR_OWN_FILE == set(LAYOUTS)
    for option, known in (("layout", LAYOUTS), ("preset", PRESETS)):
        assert ", ".join(known) in schema["properties"][option]["description"]
    assert {preset.layout for preset in PRESETS.values()} <= set(LAYOUTS)


def test_boxes_come_back_to_the_pixels_of_an_image_of_another_size(build, load):
    outputs, _ = ultralytics(INPUT_WH)
    path = build([outputs[0][None]], input_wh=INPUT_WH)
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
    outputs, _ = ultralytics(INPUT_WH)
    path = build([outputs[0][None]], input_wh=INPUT_WH)
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
