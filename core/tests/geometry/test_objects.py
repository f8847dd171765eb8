"""Objects of a class map, against scipy's labeling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

ndimage = pytest.importorskip("scipy.ndimage")

from anydet.geometry.objects import find_objects

MAPS = arrays(np.int64, (6, 8), elements=st.integers(0, 2))
SURE = np.linspace(0.2, 1.0, 48).reshape(6, 8)


@given(MAPS, st.integers(1, 5), st.floats(0, 1))
def test_objects_are_scipys_components_with_the_mean_of_their_probabilities(classes, least, floor):
    expected = []
    for class_id in (1, 2):
        labels, count = ndimage.label(classes == class_id)
        for number in range(1, count + 1):
            inside = labels == number
            score = SURE[inside].mean()
            if inside.sum() >= least and score >= floor:
                expected.append((score, class_id, np.argwhere(inside)[0].tolist()))
    found = find_objects(classes, SURE, 0, min_area_px=least, score_floor=floor)
    masks = [found.regions.index_map == row for row in found.rows]
    rows = zip(found.scores, found.class_ids, masks, strict=True)
    ours = sorted((round(score, 9), one, np.argwhere(mask)[0].tolist()) for score, one, mask in rows)
    assert ours == sorted((round(score, 9), class_id, first) for score, class_id, first in expected)
    for mask, box in zip(masks, found.boxes_xyxy_px, strict=True):
        y, x = np.nonzero(mask)
        assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_the_best_come_first_and_only_so_many():
    classes = np.array([[1, 0, 2, 0, 1]])
    found = find_objects(classes, np.array([[0.5, 1, 0.9, 1, 0.7]]), 0, limit=2)
    assert found.scores.tolist() == [0.9, 0.7]
    assert found.class_ids.tolist() == [2, 1]


def test_without_a_background_every_class_is_an_object():
    found = find_objects(np.array([[0, 1]]), np.ones((1, 2)), None)
    assert sorted(found.class_ids.tolist()) == [0, 1]
