"""Each field of a result, wrong in each way: an error that names the plugin, the image and the field."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import repeat

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from anydet.contract.encode import POSE_FIELDS, encode_entry
from anydet.contract.schema import validator
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import PluginError
from anydet.mask_columns import MaskColumn
from anydet.plugins.calls import PluginCalls
from anydet.prediction.checks import check_results, check_values
from anydet.prediction.pipeline import Limits
from anydet.types import RLE, Classification, ImagePredictions, Intrinsics, Poses

CALLS = PluginCalls("adapters", "mine")
INF, NAN = float("inf"), float("nan")
MASK = RLE((6, 8), "04L4")
WIDE = RLE((6, 9), "04L4")


def whole(**changes):
    """Three detections on an image of 8x6, with every field that a result may have."""
    result = ImagePredictions(
        "a.png",
        (8, 6),
        np.array([[0.0, 0, 2, 3], [1, 1, 4, 4], [2, 2, 8, 6]]),
        np.array([1.0, 0.5, 0.0]),
        np.array([0, 1, 2]),
        states=np.array([0, -1, 3]),
        state_scores=np.array([[0.5, 0.5], [NAN, NAN], [1, NAN]]),
        masks=(MASK, None, MASK),
        keypoints=np.array([[[1.0, 2, 0.5]], [[NAN, NAN, NAN]], [[-1, 9, NAN]]]),
        keypoint_visibility=np.array([[2], [-1], [0]]),
        poses=Poses(log_z=np.array([0.1, NAN, 2.0]), rot6d=np.ones((3, 6)), rotations=np.ones((3, 3, 3))),
        detection_extra=({"track": 3}, None, {"track": np.int64(4)}),
        classification=Classification(1, 0.5, (0.2, 0.5, 0.3)),
        semantic_mask={0: MASK, 2: MASK},
        intrinsics=Intrinsics(1.0, 1.0, 4, 3),
        preprocess={"scale": 0.5},
        extra={"weather": "rain"},
    )
    return replace(result, **changes)


def bare(**changes):
    """The same with nothing but boxes, scores and classes."""
    optional = {f.name: None for f in fields(ImagePredictions) if f.default is None}
    return whole(**{**optional, "extra": {}, **changes})


def put(column, row, value):
    changed = column.copy()
    changed[row] = value
    return changed


def poses(name, value):
    return replace(whole().poses, **{name: value})


def checked(result, classes=3):
    return check_values([result], [(8, 6)], classes, CALLS)[0]


@pytest.mark.parametrize("make", [whole, bare])
def test_a_result_that_keeps_the_contract_passes_as_it_is(make):
    given = make()
    found = checked(given)
    assert all(np.array_equal(getattr(found, n), getattr(given, n)) for n in ("scores", "class_ids"))
    assert encode_entry(found) == encode_entry(given)


FAULTS = (
    ("size_wh", (6, 8)),
    ("size_wh", None),
    ("size_wh", (NAN, NAN)),
    ("boxes_xyxy_px", None),
    ("boxes_xyxy_px", [[0.0, 0, 2, 3]] * 3),
    ("boxes_xyxy_px", np.zeros((3, 5))),
    ("boxes_xyxy_px", np.zeros((2, 4))),
    ("boxes_xyxy_px", np.zeros(12)),
    ("boxes_xyxy_px", np.zeros((3, 4), np.complex128)),
    ("boxes_xyxy_px", put(whole().boxes_xyxy_px, (1, 2), NAN)),
    ("boxes_xyxy_px", put(whole().boxes_xyxy_px, 1, INF)),
    ("boxes_xyxy_px", put(whole().boxes_xyxy_px, 1, -INF)),
    ("boxes_xyxy_px", put(whole().boxes_xyxy_px, (1, 0), INF)),
    ("scores", None),
    ("scores", [1.0, 0.5, 0.0]),
    ("scores", np.array(["1", "2", "3"])),
    ("scores", np.zeros((3, 1))),
    ("scores", np.array(0.5)),
    *(("scores", put(whole().scores, 1, wrong)) for wrong in (NAN, INF, -INF, -1e-9, 1 + 1e-9)),
    ("class_ids", None),
    ("class_ids", np.array([0.0, 1.0, 2.0])),
    ("class_ids", np.array([True, False, True])),
    ("class_ids", np.zeros(4, np.int64)),
    *(("class_ids", put(whole().class_ids, 1, wrong)) for wrong in (-1, 3, 2**31, -(2**63))),
    ("states", np.zeros(2, np.int64)),
    ("states", np.zeros(3)),
    ("states", np.array([0, -2, 0])),
    ("state_scores", np.zeros((2, 2))),
    ("state_scores", np.array([[0.5, 1.5]] * 3)),
    ("state_scores", np.array([[NAN, 0.5]] * 3)),
    ("masks", (MASK,)),
    ("masks", iter(())),
    ("masks", (MASK, None, WIDE)),
    ("masks", (MASK, None, np.zeros((6, 8), np.bool_))),
    ("masks", (MASK, None, RLE((6, 8), b"04L4"))),
    ("masks", MaskColumn.of((MASK, None, WIDE))),
    ("masks", MaskColumn.of((MASK, None))),
    ("keypoints", np.zeros((3, 1, 2))),
    ("keypoints", np.zeros((2, 1, 3))),
    ("keypoints", put(whole().keypoints, (0, 0, 1), INF)),
    ("keypoints", put(whole().keypoints, (0, 0, 2), 1.5)),
    ("keypoint_visibility", np.array([[3], [0], [0]])),
    ("keypoint_visibility", np.zeros((3, 1))),
    ("poses", {"log_z": np.zeros(3)}),
    ("poses", poses("log_z", np.array([0.1, INF, 2.0]))),
    ("poses", poses("log_z", np.zeros(2))),
    ("poses", poses("rot6d", put(np.ones((3, 6)), (1, 2), NAN))),
    ("poses", poses("rotations", np.ones((3, 9)))),
    ("poses", poses("translations_m", [[0.0, 0, 1]] * 3)),
    ("detection_extra", ({"a": 1},)),
    ("detection_extra", (None, None, 5)),
    ("detection_extra", ({"depth": NAN}, None, None)),
    ("classification", {"class_id": 1}),
    ("classification", Classification(3, 0.5)),
    ("classification", Classification(-1, 0.5)),
    ("classification", Classification(1, NAN)),
    ("classification", Classification(1, 0.5, (0.5, INF, 0.0))),
    ("semantic_mask", [MASK]),
    ("semantic_mask", {3: MASK}),
    ("semantic_mask", {"road": MASK}),
    ("semantic_mask", {0: WIDE}),
    ("semantic_mask", {0: None, 1: np.zeros((6, 8))}),
    ("intrinsics", (1.0, 1.0, 4.0, 3.0)),
    ("intrinsics", Intrinsics(NAN, 1.0, 4.0, 3.0)),
    ("preprocess", {"scale": INF}),
    ("preprocess", "letterbox"),
    ("extra", {"model": object()}),
    ("extra", {"depth": np.array([1.0, NAN])}),
    ("extra", [1]),
)


@pytest.mark.parametrize(("field", "value"), FAULTS)
@pytest.mark.parametrize("make", [whole, bare])
def test_a_fault_names_the_plugin_the_image_and_the_field(field, value, make):
    with pytest.raises(PluginError) as caught:
        checked(make(**{field: value}))
    said = str(caught.value)
    assert said.startswith("adapter 'mine' gave ")
    assert "'a.png'" in said
    assert field in said


def test_every_field_of_a_result_has_a_fault_that_is_found():
    """A new field of ``ImagePredictions`` comes with its check."""
    assert {field for field, _ in FAULTS} == {f.name for f in fields(ImagePredictions)} - {"image"}


def test_a_fault_anywhere_in_a_batch_is_found_and_named():
    results = [bare(image=f"{i}.png") for i in range(5)]
    results[3] = replace(results[3], scores=put(results[3].scores, 2, NAN))
    with pytest.raises(PluginError, match=r"'3\.png': scores\[2\] is nan"):
        check_values(results, [(8, 6)] * 5, 3, CALLS)


def test_floats_and_integers_of_any_width_become_those_of_the_contract():
    found = checked(
        whole(
            boxes_xyxy_px=whole().boxes_xyxy_px.astype(np.float32),
            scores=whole().scores.astype(np.float16),
            class_ids=whole().class_ids.astype(np.uint8),
            masks=[MASK, None, MASK],
        )
    )
    assert (found.boxes_xyxy_px.dtype, found.scores.dtype) == (np.float64, np.float64)
    assert found.class_ids.dtype == np.int64
    assert found.take(np.array([2])).masks == (MASK,)


def test_class_ids_without_a_table_are_int32():
    assert checked(bare(class_ids=np.array([0, 80, 2**31 - 1])), classes=None)
    with pytest.raises(PluginError, match="class id out of range"):
        checked(bare(class_ids=np.array([0, 80, 2**31])), classes=None)


@pytest.mark.parametrize("make", [whole, bare])
def test_an_infinite_edge_becomes_the_border_of_the_image_and_others_stay(make):
    boxes = np.array([[-INF, 1, 2, INF], [-3, 1, 1e308, 9], [1, 1, 2, 2]])
    found = checked(make(boxes_xyxy_px=boxes))
    assert found.boxes_xyxy_px.tolist() == [[0, 1, 2, 6], [-3, 1, 8, 9], [1, 1, 2, 2]]


RECORDS = [Record(f"{i}.png", ImageArray(np.zeros((6, 8, 3), np.uint8))) for i in range(3)]
RIGHT = tuple(bare(image=record.key) for record in RECORDS)


def test_results_come_as_any_iterable_one_a_record():
    for given in (RIGHT, list(RIGHT), iter(RIGHT)):
        assert [p.image for p in check_results(given, RECORDS, 3, CALLS)] == [r.key for r in RECORDS]
    assert check_results((), (), 3, CALLS) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "NoneType in predict, not results one by one"),
        (RIGHT[:2], r"results for \['0\.png', '1\.png'\]\.\.\. \(2\) where .* \(3\) were expected"),
        (RIGHT[::-1], r"one result a record, in order"),
        ((*RIGHT, RIGHT[0]), r"\(4 or more\) where"),
        (repeat(RIGHT[0]), r"\(4 or more\) where"),
        (({"boxes": []},), "dict in predict, not ImagePredictions"),
        ("abc", "str in predict, not ImagePredictions"),
    ],
)
def test_other_results_than_one_a_record_are_refused_even_where_they_never_end(given, message):
    with pytest.raises(PluginError, match=rf"adapter 'mine' gave .*{message}"):
        check_results(given, RECORDS, 3, CALLS)


NUMBERS = st.sampled_from([0.0, -0.0, 0.5, 1.0, 1.5, -1.0, 7.9, 1e308, -1e308, 5e-324, NAN, INF, -INF])
SHAPES = st.sampled_from([(3,), (3, 1), (3, 2), (3, 4), (3, 6), (3, 1, 3), (3, 3, 3), (2, 4), (0,), ()])
FLOATS = st.builds(np.resize, st.lists(NUMBERS, min_size=1, max_size=12), SHAPES)
SMALL = st.builds(np.resize, st.lists(st.integers(0, 4), min_size=1, max_size=3), SHAPES)
TYPES = st.sampled_from([np.int64, np.uint8, np.float32, np.bool_, object])
ARRAYS = FLOATS | st.builds(np.ndarray.astype, SMALL, TYPES)
MASKS = st.sampled_from([None, MASK, WIDE])
FREE = st.recursive(
    NUMBERS | st.none() | st.booleans() | st.text(max_size=3) | st.integers(-3, 3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
CHANGES = {
    "boxes_xyxy_px": ARRAYS,
    "scores": ARRAYS,
    "class_ids": ARRAYS,
    "states": ARRAYS,
    "state_scores": ARRAYS,
    "masks": st.lists(MASKS, min_size=2, max_size=3).map(tuple),
    "keypoints": ARRAYS,
    "keypoint_visibility": ARRAYS,
    "poses": st.builds(poses, st.sampled_from(list(POSE_FIELDS.values())), ARRAYS),
    "detection_extra": st.lists(FREE, min_size=3, max_size=3).map(tuple),
    "classification": st.builds(Classification, st.integers(-1, 4), NUMBERS, st.none() | st.tuples(NUMBERS)),
    "semantic_mask": st.dictionaries(st.integers(-1, 4), MASKS, max_size=2),
    "intrinsics": st.builds(Intrinsics, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    "preprocess": FREE,
    "extra": FREE,
}


@pytest.mark.parametrize("name", CHANGES)
@hypothesis.settings(max_examples=40)
@hypothesis.given(st.data(), st.sampled_from([whole, bare]), st.booleans())
def test_whatever_passes_can_be_written_and_keeps_the_contract(name, data, make, clip):
    """The check is complete: nothing gets through it that the file would have to refuse."""
    try:
        found = checked(make(**{name: data.draw(CHANGES[name])}))
    except PluginError:
        return
    entry = json.loads(encode_entry(Limits(0.0, clip=clip).apply(found)))
    assert not list(validator().iter_errors([entry]))
