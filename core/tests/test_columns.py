from __future__ import annotations

import numpy as np

from anydet.columns import concatenate, row_count
from anydet.types import RLE, ImagePredictions, Poses


def image(count, **columns):
    return ImagePredictions(
        "a", (8, 6), np.zeros((count, 4)), np.arange(count, dtype=float), np.arange(count), **columns
    )


def test_rows_are_taken_from_every_kind_of_column():
    rle = RLE((6, 8), "abc")
    whole = image(3, masks=(None, rle, None), poses=Poses(log_z=np.array([1.0, 2, 3])))
    taken = whole.take(np.array([False, True, True]))
    assert taken.scores.tolist() == [1, 2]
    assert taken.masks == (rle, None)
    assert taken.poses.log_z.tolist() == [2, 3]
    assert taken.states is None


def test_columns_that_only_some_tables_have_are_filled_with_missing_values():
    left = image(2, states=np.array([1, 2]), masks=(RLE((6, 8), "x"), None), keypoints=np.ones((2, 3, 3)))
    right = image(1, keypoints=np.zeros((1, 5, 3)), poses=Poses(log_z=np.array([4.0])))
    both = concatenate([left, right])
    assert both.states.tolist() == [1, 2, -1]
    assert both.masks == (RLE((6, 8), "x"), None, None)
    assert both.keypoints.shape == (3, 5, 3)
    assert np.isnan(both.keypoints[0, 3:]).all()
    assert not np.isnan(both.keypoints[2]).any()
    assert np.isnan(both.poses.log_z[:2]).all()
    assert both.poses.log_z[2] == 4
    assert both.poses.rot6d is None


def test_taking_undoes_joining():
    tables = [image(2), image(0), image(3, states=np.array([0, 1, 2]))]
    both = concatenate(tables)
    assert row_count(both) == 5
    assert both.take(np.array([2, 3, 4])).states.tolist() == [0, 1, 2]
    assert both.take(np.array([0, 1])).scores.tolist() == [0, 1]
