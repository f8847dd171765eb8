"""What is said of differences of single stages: columns, decoded boxes, selections, inputs, predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np
import pytest

from anydet.contract.columns import to_columns
from anydet.crosscheck.joining import Joined
from anydet.crosscheck.locating.columns import relations
from anydet.crosscheck.locating.decoded import compare_boxes, compare_scores
from anydet.crosscheck.locating.inputs import Case, compare_inputs
from anydet.crosscheck.locating.pixels import compare_pixels
from anydet.crosscheck.locating.predictions import explain_predictions
from anydet.crosscheck.locating.resampling import RESAMPLES
from anydet.crosscheck.locating.selection import Case as SelectionCase
from anydet.crosscheck.locating.selection import Selection, compare_selected, simulate
from anydet.crosscheck.parity import compare
from anydet.geometry.boxes import cxcywh_to_xyxy
from anydet.geometry.placement import Placement
from anydet.plugins.preprocess import Preprocess
from anydet.plugins.stages import Decoded, Prepared
from anydet.types import ImagePredictions

cv2 = pytest.importorskip("cv2")
preprocessing = import_module("anydet.runtime.preprocess")

RNG = np.random.default_rng(0)
IMAGES = [
    cv2.GaussianBlur(RNG.integers(0, 256, (120, 90, 3), np.uint8), (0, 0), 1.5),
    cv2.GaussianBlur(RNG.integers(0, 256, (71, 131, 3), np.uint8), (0, 0), 1.5),
]
HOW = Preprocess(
    "letterbox-center", (64, 64), channels="bgr", mean=(103.5, 116.3, 123.7), std=(57.4, 57.1, 58.4)
)


@dataclass(frozen=True)
class Maker:
    """The part of ``Stages`` that makes inputs."""

    preprocess: Preprocess

    def prepare(self, image, preprocess=None):
        tensors, places = preprocessing.Preprocessor(preprocess or self.preprocess, np.float32).batch([image])
        return Prepared(tensors[0], places[0])


def said_of_inputs(made):
    maker = Maker(HOW)
    cases = [Case(i, maker.prepare(i), b) for i, b in zip(IMAGES, made, strict=True)]
    return [(one.step, one.cause) for one in compare_inputs(maker, cases)]


@pytest.mark.parametrize(
    ("changes", "step", "cause"),
    [
        ({"channels": "rgb"}, "channels", "in the order RGB, not BGR"),
        ({"mean": (0.0,) * 3}, "normalization", "the mean is not subtracted"),
        ({"std": (1.0,) * 3}, "normalization", "not divided by std"),
        ({"mean": HOW.mean[::-1], "std": HOW.std[::-1]}, "normalization", "reversed order"),
        ({"mean": (90.0, 91.0, 92.0)}, "normalization", "mean 90, 91, 92, std 57.4"),
        ({"resize": "letterbox"}, "letterbox", "as letterbox, not as letterbox-center"),
        ({"resize": "stretch"}, "resize", "as stretch"),
        ({"pad_value": (0.0,) * 3}, "letterbox", "border is 0, not 114"),
        ({"interpolation": "bilinear-antialias"}, "resize", "antialias"),
        ({"rounded": False}, "resize", "not rounded"),
        ({"size_rounding": "down"}, "letterbox", "rounded down"),
        ({"size_wh": (96, 96)}, "resize", "the input is 96x96, not 64x64"),
    ],
)
def test_one_change_of_preprocessing_is_named(changes, step, cause):
    maker = Maker(replace(HOW, **changes))
    ((found, text),) = said_of_inputs([maker.prepare(image) for image in IMAGES])
    assert found == step
    assert cause in text


@pytest.mark.parametrize("name", [n for n in RESAMPLES if n != "bilinear without antialiasing"])
def test_other_ways_to_resize_are_named(name):
    maker = Maker(HOW)
    made = [maker.prepare(RESAMPLES[name](i, maker.prepare(i).placement.content_wh)) for i in IMAGES]
    made = [Prepared(p.tensor, maker.prepare(i).placement) for i, p in zip(IMAGES, made, strict=True)]
    ((step, text),) = said_of_inputs(made)
    assert step == "resize"
    assert name in text or ("antialias" in name and "antialias" in text)


def test_resampling_is_that_of_opencv():
    image, size = IMAGES[0], (64, 48)
    np.testing.assert_array_equal(
        RESAMPLES["nearest neighbor"](image, size), cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    )
    for name, kind in (
        ("bilinear without antialiasing", cv2.INTER_LINEAR),
        ("area averaging", cv2.INTER_AREA),
    ):
        theirs = cv2.resize(image, size, interpolation=kind).astype(int)
        assert np.abs(RESAMPLES[name](image, size) - theirs).max() <= 1


@pytest.mark.slow
def test_aligned_corners_are_those_of_torch():
    torch = pytest.importorskip("torch")
    image, size = IMAGES[0], (64, 48)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    aligned = torch.nn.functional.interpolate(tensor, size[::-1], mode="bilinear", align_corners=True)[0]
    ours = RESAMPLES["bilinear with aligned corners"](image, size)
    assert np.abs(ours - aligned.permute(1, 2, 0).numpy()).max() <= 0.51


def test_equal_inputs_are_no_finding_and_another_place_is_one():
    maker = Maker(HOW)
    made = [maker.prepare(image) for image in IMAGES]
    assert said_of_inputs([Prepared(p.tensor + np.float32(1e-6), p.placement) for p in made]) == []
    ((step, text),) = said_of_inputs(
        [Prepared(p.tensor, replace(p.placement, offset_xy=(0, 0))) for p in made]
    )
    assert step == "letterbox"
    assert "offset" in text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda x: x[..., ::-1], "BGR"),
        (lambda x: x[:, ::-1], "mirrored left to right"),
        (np.rot90, "turned by 90 degrees"),
        (lambda x: x.transpose(1, 0, 2), "transposed"),
        (lambda x: x & 0xFC, "another decoder"),
        (lambda x: x[:-1], "another size"),
    ],
)
def test_changed_pixels_are_named(change, text):
    assert compare_pixels(IMAGES, IMAGES) is None
    found = compare_pixels(IMAGES, [change(image) for image in IMAGES])
    assert text in found.cause


def random_boxes(count=400, side=400.0):
    rng = np.random.default_rng(1)
    center = rng.uniform(40, side - 40, (count, 2))
    return cxcywh_to_xyxy(np.concatenate([center, rng.uniform(5, 70, (count, 2))], axis=1))


STRIDE = np.random.default_rng(2).choice([8.0, 16.0, 32.0], 400)[:, None]


def resized(boxes, change):
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, change(boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([center - size / 2, center + size / 2], axis=1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda x: x + 0.5, "moved by +0.5, +0.5 px"),
        (lambda x: x + 0.5 * STRIDE, "moved by +0.5 of the stride"),
        (lambda x: x - STRIDE, "moved by -1 of the stride"),
        (lambda x: x[:, [1, 0, 3, 2]], "x and y are swapped"),
        (lambda x: x + np.array([0, 0, 1, 1]), "inclusively"),
        (lambda x: x / 416, "fractions of the input"),
        (cxcywh_to_xyxy, "corners are taken for center and size"),
        (lambda x: resized(x, lambda s: 2 * s), "half widths"),
        (lambda x: resized(x, lambda s: 1.3 * s), "multiplied by 1.3"),
        (lambda x: resized(x, lambda s: STRIDE * np.log(s / STRIDE)), "exponential"),
        (lambda x: x + np.random.default_rng(5).normal(0, 3, x.shape), "differently"),
    ],
)
def test_other_decodings_of_boxes_are_named(change, text):
    boxes = random_boxes()
    assert compare_boxes(boxes, boxes + 1e-4, (416, 416)) == []
    found = compare_boxes(boxes, change(boxes), (416, 416))
    assert any(text in one.cause for one in found), found


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_other_decodings_of_scores_are_named():
    scores = np.random.default_rng(3).uniform(0.001, 0.95, (300, 6))
    assert compare_scores(scores, scores + 1e-6) == []
    objectness = np.random.default_rng(4).uniform(0.1, 1, (300, 1))
    for changed, step, text in (
        (sigmoid(scores), "activation", "once more"),
        (np.log(scores / (1 - scores)), "activation", "missing"),
        (scores[:, [0, 2, 1, 3, 4, 5]], "classes", "1 is A's 2"),
        (0.5 * scores, "scores", "multiplied by 0.5"),
        (scores * objectness, "activation", "objectness"),
        (np.where(scores == scores.max(axis=1, keepdims=True), scores, 0), "nms", "best class alone"),
    ):
        (found,) = compare_scores(scores, changed)
        assert found.step == step
        assert text in found.cause


def test_single_precision_is_equal_and_half_is_not():
    numbers = np.random.default_rng(6).normal(0, 5, (500, 4))
    assert relations(numbers, numbers.astype(np.float32).astype(np.float64)) == []
    noisy = numbers * (1 + 0.01 * np.random.default_rng(7).normal(size=numbers.shape))
    assert [one.kind for one in relations(numbers, noisy)] == ["unknown"]


PLACE = Placement((640, 480), (416, 312), (0, 52), (416, 416))
WHOLE = Selection(0.05, 3000, 0.6)


def decoded_case(seed=0, count=800, classes=5):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(40)[rng.integers(0, 40, count)] + rng.normal(0, 4, (count, 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
    return Decoded(rng.beta(0.3, 2, (count, classes)), boxes)


def selected(decoded, how):
    """A result of runtime's own decoding, the oracle of ``simulate``."""
    decoding = import_module("anydet.runtime.decoding")
    stages = import_module("anydet.runtime.stages")
    classes = import_module("anydet.runtime.classes")
    own = decoding.Decoding(classes.ModelClasses(None), how.nms_iou, how.floor, how.limit)
    record = type("Record", (), {"key": "a.jpg", "intrinsics": None})()
    return own.result(record, stages.Given(decoded), [], PLACE)


@pytest.mark.parametrize("how", [WHOLE, replace(WHOLE, nms_iou=None), replace(WHOLE, limit=50, floor=0.2)])
def test_a_simulated_selection_is_the_runtimes(how):
    decoded = decoded_case()
    np.testing.assert_allclose(simulate(decoded, PLACE, how), selected(decoded, how).scores)


@pytest.mark.parametrize(
    ("change", "step", "text"),
    [
        ({"floor": 0.2}, "threshold", "below about 0.2"),
        ({"limit": 100}, "nms", "the best 100 candidates"),
        ({"nms_iou": None}, "nms", "no suppression"),
        ({"nms_iou": 0.4}, "nms", "IoU of 0.4"),
        ({"agnostic": True}, "nms", "all classes as one"),
        ({"best_class": True}, "nms", "best class alone"),
        ({"most": 20}, "nms", "at most 20 detections"),
    ],
)
def test_another_selection_is_named(change, step, text):
    cases = []
    for seed in range(4):
        decoded = decoded_case(seed)
        right = selected(decoded, WHOLE)
        scores = simulate(decoded, PLACE, replace(WHOLE, **change))
        rows = np.zeros(len(scores), np.int64)
        wrong = ImagePredictions("a.jpg", PLACE.image_wh, np.zeros((len(scores), 4)), scores, rows)
        cases.append(SelectionCase(decoded, PLACE, right, wrong))
    first = compare_selected(cases, WHOLE)[0]
    assert first.step == step
    assert text in first.cause


@pytest.mark.parametrize(
    ("change", "step", "text"),
    [
        (lambda r: replace(r, boxes_xyxy_px=np.rint(r.boxes_xyxy_px)), "rounding", "whole pixels"),
        (lambda r: replace(r, scores=r.scores.round(2)), "rounding", "2 decimals"),
        (lambda r: replace(r, class_ids=r.class_ids + 1), "classes", "+1"),
        (lambda r: replace(r, class_ids=np.array([1, 0, 2, 3, 4])[r.class_ids]), "classes", "0 is 1"),
        (
            lambda r: replace(r, boxes_xyxy_px=PLACE.to_input(r.boxes_xyxy_px)),
            "letterbox",
            "pixels of the input",
        ),
        (lambda r: replace(r, boxes_xyxy_px=r.boxes_xyxy_px + 0.5), "boxes", "+0.5 px"),
    ],
)
def test_what_becomes_of_selected_boxes_is_named(change, step, text):
    cases = []
    for seed in range(4):
        right = selected(decoded_case(seed), WHOLE)
        cases.append(SelectionCase(decoded_case(seed), PLACE, right, change(right)))
    assert compare_selected([replace(one, b=one.a) for one in cases], WHOLE) == []
    first = compare_selected(cases, WHOLE)[0]
    assert first.step == step
    assert text in first.cause


@pytest.mark.parametrize(
    ("change", "step", "text"),
    [
        (lambda r: replace(r, class_ids=r.class_ids + 1), "classes", "+1"),
        (lambda r: replace(r, boxes_xyxy_px=np.rint(r.boxes_xyxy_px)), "rounding", "whole pixels"),
        (
            lambda r: replace(r, boxes_xyxy_px=r.boxes_xyxy_px + np.array([2, 3, 2, 3])),
            "boxes",
            "moved by +2, +3 px",
        ),
        (lambda r: replace(r, boxes_xyxy_px=0.65 * r.boxes_xyxy_px), "letterbox", "scaled by 0.65"),
        (
            lambda r: replace(r, boxes_xyxy_px=r.boxes_xyxy_px[:, [1, 0, 3, 2]]),
            "boxes",
            "x and y are swapped",
        ),
        (lambda r: replace(r, scores=sigmoid(r.scores)), "activation", "once more"),
        (lambda r: replace(r, scores=r.scores.round(2)), "rounding", "2 decimals"),
        (lambda r: r.take(r.scores > 0.3), "threshold", "are left out"),
        (lambda r: r.take(np.argsort(-r.scores)[:10]), "nms", "at most 10 detections"),
    ],
)
def test_predictions_alone_say_what_a_difference_looks_like(change, step, text):
    right = [replace(selected(decoded_case(seed), WHOLE), image=f"{seed}.jpg") for seed in range(4)]

    def said(results):
        return explain_predictions(compare(Joined(to_columns(right), to_columns(results), ("a", "b"))))

    assert said(right) == []
    first = said([change(one) for one in right])[0]
    assert first.step == step
    assert text in first.cause
