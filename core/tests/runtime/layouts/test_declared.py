"""Files that say what their outputs mean: no option is needed, and what is given wins."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.geometry import masks
from anydet.plugins.export import KEY, ModelDescription, ModelOutput
from anydet.plugins.preprocess import Preprocess
from anydet.runtime.errors import ModelError

HOW = Preprocess("letterbox-center", (64, 64), divisor=255.0)
SIGMOID_HALF = 0.0


def describe(layout, *meanings, **more):
    outputs = tuple(ModelOutput(f"{meaning}_out", meaning) for meaning in meanings)
    fields = {"layout": layout, "outputs": outputs, "preprocess": HOW, "classes": ("cat", "dog"), **more}
    return ModelDescription(**fields)


@pytest.fixture
def build_described(build):
    def make(description, outputs, **kwargs):
        names = [output.name for output in description.outputs]
        return build(outputs, names=names, metadata=description.as_metadata(), **kwargs)

    return make


def record(width=128, height=64):
    return Record("a", ImageArray(np.zeros((height, width, 3), np.uint8)))


QUERIES = describe(
    "queries", "class_logits", "boxes_cxcywh", "keypoints", "state_scores", states=("on", "off")
)


def query_outputs():
    logits = np.array([[[3.0, -9.0], [-9.0, 2.0], [1.0, 1.5]]])
    boxes = np.array([[[0.5, 0.5, 0.25, 0.25], [0.25, 0.5, 0.5, 0.25], [0.75, 0.5, 0.125, 0.125]]])
    points = np.tile([0.5, -0.5, SIGMOID_HALF, 0.0, 0.0, 9.0], (1, 3, 1))
    states = np.array([[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]])
    return [logits, boxes, points, states]


def test_queries_are_pairs_of_query_and_class_with_their_keypoints_and_states(build_described, load):
    adapter = load(build_described(QUERIES, query_outputs()), score_floor=0.1)
    assert adapter.classes.names == ("cat", "dog")
    assert adapter.notes.states == ("on", "off")
    assert adapter.notes.preprocess == HOW
    (result,) = adapter.predict([record()])  # becomes 64x32 in the middle
    logits = np.array([3.0, 2.0, 1.5, 1.0])
    np.testing.assert_allclose(result.scores, 1 / (1 + np.exp(-logits)), rtol=1e-12)
    assert result.class_ids.tolist() == [0, 1, 1, 0]
    assert result.states.tolist() == [0, 1, 1, 1]
    boxes = np.array([[48, 16, 80, 48], [0, 16, 64, 48], *[[88, 24, 104, 40]] * 2], float)
    np.testing.assert_allclose(result.boxes_xyxy_px, boxes, atol=1e-9)
    first = (boxes[:, :2] + boxes[:, 2:]) / 2 + [[0.5, -0.5]] * (boxes[:, 2:] - boxes[:, :2])
    np.testing.assert_allclose(result.keypoints[:, 0, :2], first, atol=1e-9)
    np.testing.assert_allclose(result.keypoints[..., 2], [[0.5, 1 / (1 + np.exp(-9))]] * 4)


def test_rows_of_padding_are_no_detections_even_at_a_floor_of_zero(build_described, load):
    description = describe("detections", "labels", "scores", "boxes_xyxy_px")
    outputs = [
        np.array([[1, -1, 0, -1]]),
        np.array([[0.5, 0.0, 0.9, 0.0]]),
        np.array([[[0, 16, 32, 48], [0, 0, 0, 0], [32, 16, 64, 48], [0, 0, 0, 0]]], float),
    ]
    (result,) = load(build_described(description, outputs), score_floor=0.0).predict([record()])
    assert result.class_ids.tolist() == [0, 1]
    np.testing.assert_allclose(result.boxes_xyxy_px, [[64, 0, 128, 64], [0, 0, 64, 64]])
    assert result.states is None


def test_keypoints_of_detections_are_placed_by_their_boxes_and_those_of_padding_left_out(
    build_described, load
):
    description = describe(
        "detections", "labels", "scores", "boxes_xyxy_px", "keypoints", keypoint_names=("nose", "tail")
    )
    points = np.tile([0.5, -0.5, SIGMOID_HALF, 0.0, 0.0, 9.0], (1, 3, 1))
    outputs = [
        np.array([[1, -1, 0]]),
        np.array([[0.5, 0.0, 0.9]]),
        np.array([[[0, 16, 32, 48], [0, 0, 0, 0], [32, 20, 64, 44]]], float),
        points,
    ]
    adapter = load(build_described(description, outputs), score_floor=0.1)
    assert adapter.notes.keypoint_names == ("nose", "tail")
    (result,) = adapter.predict([record()])
    boxes = result.boxes_xyxy_px
    np.testing.assert_allclose(boxes, [[64, 8, 128, 56], [0, 0, 64, 64]])
    np.testing.assert_allclose(result.keypoints[:, 0, :2], [[128, 8], [64, 0]])
    np.testing.assert_allclose(result.keypoints[:, 1, :2], (boxes[:, :2] + boxes[:, 2:]) / 2)
    np.testing.assert_allclose(result.keypoints[..., 2], [[0.5, 1 / (1 + np.exp(-9))]] * 2)


def test_pixels_become_masks_objects_and_an_image_class(build_described, load):
    description = describe(
        "pixels", "pixel_logits", "image_logits", classes=("background", "dog"), min_area_px=9
    )
    logits = np.zeros((1, 2, 64, 64))
    logits[:, 0] = 5
    logits[:, 1, 20:28, 8:16] = 10
    logits[:, 1, 40:41, 40:41] = 10  # too small
    path = build_described(description, [logits, np.array([[1.0, 2.0]])])
    (result,) = load(path).predict([record(64, 64)])
    np.testing.assert_allclose(result.boxes_xyxy_px, [[8, 20, 16, 28]])
    assert masks.decode(result.semantic_mask[1]).sum() == 65
    assert result.classification.class_id == 1
    assert result.classification.scores == pytest.approx((1 / (1 + np.e), np.e / (1 + np.e)))
    (half,) = load(path).predict([record(64, 32)])  # the margins are no pixels of the image
    np.testing.assert_allclose(half.boxes_xyxy_px, [[8, 4, 16, 12]])


def test_an_option_wins_over_the_description(build_described, load):
    path = build_described(QUERIES, query_outputs())
    adapter = load(path, names="x,y", resize="stretch", nms_iou=0.5, max_candidates=1, score_floor=0.1)
    assert adapter.classes.names == ("x", "y")
    assert adapter.notes.preprocess == replace(HOW, resize="stretch")
    assert adapter.notes.nms_iou == 0.5
    assert [len(result) for result in adapter.predict([record()])] == [1]
    with pytest.raises(ModelError, match="preset=yolox does not fit"):
        load(path, preset="yolox")


def test_outputs_of_another_shape_than_described_are_refused(build_described, load):
    outputs = query_outputs()
    with pytest.raises(ModelError, match="its description does not fit: layout queries expects boxes_cxcywh"):
        load(build_described(QUERIES, [outputs[0], outputs[1][..., :3], *outputs[2:]]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "rows"}, "model.pickle: the description in its metadata is broken: .*rows"),
        ({"outputs": []}, "needs an output 'boxes_cxcywh'"),
        ({"classes": ["cat"]}, "has 1 class names, and its outputs have room for 2"),
    ],
)
def test_a_broken_description_is_an_error(change, message, build, load):
    plain = {**json.loads(QUERIES.as_metadata()[KEY]), **change}
    names = [output.name for output in QUERIES.outputs]
    path = build(query_outputs(), names=names, metadata={KEY: json.dumps(plain)})
    with pytest.raises(ModelError, match=message):
        load(path)


def test_a_description_of_other_outputs_is_refused(build, load):
    path = build(query_outputs(), metadata=QUERIES.as_metadata())
    with pytest.raises(ModelError, match="describe an output 'class_logits_out', and it has 700, 701, 702"):
        load(path)


def test_of_queries_as_many_pairs_are_results_as_there_may_be_detections(build_described, load):
    rng = np.random.default_rng(0)
    description = describe("queries", "class_logits", "boxes_cxcywh")
    outputs = [rng.normal(size=(1, 80, 2)), np.full((1, 80, 4), 0.5)]
    (result,) = load(build_described(description, outputs), score_floor=0.0).predict([record()])
    np.testing.assert_allclose(result.scores, np.sort(1 / (1 + np.exp(-outputs[0].ravel())))[::-1][:100])
