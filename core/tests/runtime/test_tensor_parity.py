"""Tensors of two runs: what is the same, what is not, and rows that only changed places."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from anydet.plugins.export import ModelDescription, ModelOutput
from anydet.plugins.preprocess import Preprocess
from anydet.runtime.tensor_parity import Rows, Tolerance, compare_outputs, tensor_parity

TOLERANCE = Tolerance(1e-4, 1e-3, top_k=10)
ROWS = Rows(("boxes", "scores", "labels"), "scores", "labels")
DICE = np.random.default_rng(5)


def detections(count=12, images=2, padding=3):
    """Detections with falling scores, and rows of padding behind them."""
    found = {
        "boxes": DICE.uniform(0, 600, (images, count, 4)).astype(np.float32),
        "scores": np.sort(DICE.uniform(0.1, 1, (images, count)).astype(np.float32))[:, ::-1].copy(),
        "labels": DICE.integers(0, 80, (images, count)),
    }
    empty = {"boxes": 0.0, "scores": 0.0, "labels": -1}
    return {
        name: np.concatenate(
            [values, np.full((images, padding, *values.shape[2:]), empty[name], values.dtype)], 1
        )
        for name, values in found.items()
    }


def copied(outputs):
    return {name: values.copy() for name, values in outputs.items()}


def test_what_differs_by_rounding_is_the_same():
    ours = detections()
    theirs = copied(ours)
    theirs["boxes"] = theirs["boxes"] * np.float32(1 + 5e-4)
    found = compare_outputs("case", ours, theirs, TOLERANCE, ROWS)
    assert found.passed
    assert found.rows is not None
    assert found.rows.reference == 24
    assert found.rows.moved == 0
    boxes = found.outputs[0]
    assert boxes.shape == (2, 15, 4)
    assert boxes.numbers == 2 * 12 * 4
    assert boxes.max_abs == pytest.approx(np.abs(theirs["boxes"].astype(float) - ours["boxes"]).max())
    assert boxes.max_rel == pytest.approx(5e-4, rel=0.01)


def test_rows_of_equal_score_may_change_places():
    ours = detections()
    ours["scores"][0, 4] = ours["scores"][0, 5]
    theirs = copied(ours)
    for values in theirs.values():
        values[0, [4, 5]] = values[0, [5, 4]]
    found = compare_outputs("case", ours, theirs, TOLERANCE, ROWS)
    assert found.passed
    assert found.rows.moved == 2
    assert not compare_outputs("case", ours, theirs, TOLERANCE).passed, "in their places they differ"


def test_queries_are_matched_whatever_their_order():
    ours = {"logits": DICE.normal(size=(2, 300, 5)), "boxes": DICE.uniform(size=(2, 300, 4))}
    order = DICE.permutation(300)
    theirs = {name: values[:, order] + 1e-6 for name, values in ours.items()}
    found = compare_outputs("case", ours, theirs, TOLERANCE, Rows(("logits", "boxes"), "logits"))
    assert found.passed
    assert found.rows.moved > 500


FAULTS = {
    "a moved box": (lambda o: o["boxes"].__setitem__((1, 3, 0), 700.0), ("outside",)),
    "another class": (lambda o: o["labels"].__setitem__((1, 3), 90), ("outside",)),
    "a missing row": (lambda o: o["labels"].__setitem__((1, 11), -1), ("missing",)),
    "an extra row": (lambda o: o["labels"].__setitem__((0, 13), 4), ("extra",)),
    "nan": (lambda o: o["boxes"].__setitem__((0, 2, 1), np.nan), ("outside", "problem")),
    "infinity": (lambda o: o["scores"].__setitem__((0, 2), np.inf), ("outside", "problem")),
    "another score": (lambda o: o["scores"].__setitem__((0, 11), 0.99), ("outside",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_fails_and_is_said(fault):
    break_it, where = FAULTS[fault]
    ours = detections()
    theirs = copied(ours)
    break_it(theirs)
    found = tensor_parity(lambda _: ours, lambda _: theirs, {"case": {}}, tolerance=TOLERANCE, rows=ROWS)
    (case,) = found.cases
    assert not found.passed
    assert not case.passed
    for field in where:
        places = [*case.outputs, case.rows]
        assert any(getattr(place, field, 0) for place in places), field
    assert found.findings()
    assert not json.loads(json.dumps(found.as_dict()))["passed"]


def test_the_worst_number_is_named_by_its_place_in_the_reference():
    ours = detections()
    theirs = copied(ours)
    theirs["boxes"][1, 7, 2] += 50
    output = compare_outputs("case", ours, theirs, TOLERANCE, ROWS).outputs[0]
    assert output.worst == (1, 7, 2)
    assert output.values == (ours["boxes"][1, 7, 2], theirs["boxes"][1, 7, 2])
    assert output.max_abs == pytest.approx(50, rel=1e-5)


def test_rows_that_scores_rank_the_other_way_round_are_swapped():
    ours, theirs = detections(padding=0, images=1), detections(padding=0, images=1)
    theirs = copied(ours)
    theirs["scores"][0, [2, 3]] = theirs["scores"][0, [3, 2]]
    found = compare_outputs("case", ours, theirs, TOLERANCE, ROWS)
    assert not found.passed
    assert found.rows.swapped == 1


@pytest.mark.parametrize(
    ("theirs", "said"),
    [({}, "it is missing"), ({"out": np.zeros((1, 3))}, r"shape is \(1, 3\), the reference's is \(1, 2\)")],
)
def test_an_output_that_is_missing_or_of_another_shape_fails(theirs, said):
    found = tensor_parity(lambda _: {"out": np.zeros((1, 2))}, lambda _: theirs, {"case": {}})
    assert not found.passed
    assert np.isnan(found.max_abs)
    assert re.search(said, found.findings()[0])


def test_whole_numbers_must_be_equal():
    ours, theirs = {"ids": np.array([[5000]])}, {"ids": np.array([[5001]])}
    assert not compare_outputs("case", ours, theirs, TOLERANCE).passed


def test_the_same_infinities_and_nans_are_the_same():
    values = {"out": np.array([[np.inf, -np.inf, np.nan, 1.0]])}
    assert compare_outputs("case", values, copied(values), TOLERANCE).passed


def test_outputs_without_rows_or_numbers_pass():
    empty = {"boxes": np.zeros((1, 0, 4)), "scores": np.zeros((1, 0)), "labels": np.zeros((1, 0), int)}
    found = compare_outputs("case", empty, copied(empty), TOLERANCE, ROWS)
    assert found.passed
    assert found.rows.reference == 0


def test_a_comparison_of_nothing_has_not_passed():
    assert not tensor_parity(dict, dict, {}).passed


def test_rows_come_from_a_description():
    def described(layout, *meanings):
        outputs = tuple(ModelOutput(f"the_{m}", m) for m in meanings)
        return ModelDescription(
            layout=layout, outputs=outputs, preprocess=Preprocess("stretch", (8, 8)), classes=("a",)
        )

    queries = described("queries", "class_logits", "boxes_cxcywh", "rot6d", "camera_delta")
    assert Rows.of(queries) == Rows(("the_class_logits", "the_boxes_cxcywh", "the_rot6d"), "the_class_logits")
    found = described("detections", "boxes_xyxy_px", "scores", "labels")
    assert Rows.of(found) == Rows(
        ("the_boxes_xyxy_px", "the_scores", "the_labels"), "the_scores", "the_labels"
    )
    assert Rows.of(described("pixels", "pixel_logits", "image_logits")) is None
