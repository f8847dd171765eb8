"""The compiled resampling refuses what would read outside its columns; its bits are those of numpy."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from anydet.evaluation.analysis.resampling import ClassRows, resample_class
from anydet.evaluation.protocol import CocoSettings
from anydet_fasteval.engine import FastEngine

PARAMS = CocoSettings().params(1)
COLUMNS = {
    "images": np.array([0, 1, 0], np.int32),
    "ranks": np.array([0, 0, 1], np.int32),
    "outside": np.array([0, 1, 14], np.uint16),
    "matched": np.array([0, 2], np.uint32),
    "hits": np.array([[2**40 - 1], [1023]], np.uint64),
    "ignored": np.array([[0], [0]], np.uint64),
    "positive_images": np.array([0, 0, 1], np.int32),
    "positive_outside": np.array([0, 2, 8], np.uint16),
}
WEIGHTS = np.array([[1, 1], [2, 0], [0, 2], [0, 0]], np.int32)


def run(weights=WEIGHTS, **changes):
    columns = {**COLUMNS, **changes}
    return FastEngine(threads=1).resampler(ClassRows(**columns), weights, PARAMS)


def test_the_bits_are_those_of_numpy():
    for ours, numpys in zip(run(), resample_class(ClassRows(**COLUMNS), WEIGHTS, PARAMS), strict=True):
        assert ours.tobytes() == numpys.tobytes()


def test_lenient_detections_are_outside_of_every_area_range():
    changes = {"outside": np.array([0, 2**16 - 1, 14], np.uint16)}
    for ours, numpys in zip(
        run(**changes), resample_class(ClassRows(**{**COLUMNS, **changes}), WEIGHTS, PARAMS), strict=True
    ):
        assert ours.tobytes() == numpys.tobytes()


@pytest.mark.parametrize("name", [field.name for field in fields(ClassRows)])
def test_a_column_of_another_length_is_refused(name):
    with pytest.raises(ValueError, match="different length"):
        run(**{name: COLUMNS[name][:1] if name != "positive_outside" else COLUMNS[name][:2]})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("images", np.array([0, 2, 0], np.int32)),
        ("images", np.array([0, -1, 0], np.int32)),
        ("positive_images", np.array([0, 0, 9], np.int32)),
        ("matched", np.array([0, 3], np.uint32)),
        ("matched", np.array([2, 0], np.uint32)),
        ("hits", np.zeros((2, 2), np.uint64)),
    ],
)
def test_an_index_outside_its_table_is_refused(name, wrong):
    with pytest.raises(ValueError, match="outside its table"):
        run(**{name: wrong})


def test_a_class_without_anything_has_no_numbers():
    empty = {name: column[:0] for name, column in COLUMNS.items()}
    precision, recall = run(**empty)
    assert (precision == -1).all()
    assert (recall == -1).all()
    assert (precision.shape, recall.shape) == ((4, 4, 10), (4, 4, 3, 10))
