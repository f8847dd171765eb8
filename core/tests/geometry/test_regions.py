from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anydet.geometry.regions import BACKGROUND, find_regions

VALUES = st.sampled_from([0, 1, BACKGROUND])
IMAGES = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=VALUES)


def flood(image):
    """Region of each pixel by breadth-first search, numbered by first pixel; -1 for background."""
    index = np.full(image.shape, -1)
    count = 0
    for start in zip(*np.nonzero(image != BACKGROUND), strict=True):
        if index[start] >= 0:
            continue
        index[start], queue = count, deque([start])
        while queue:
            row, column = queue.popleft()
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                inside = 0 <= near[0] < image.shape[0] and 0 <= near[1] < image.shape[1]
                if inside and index[near] < 0 and image[near] == image[start]:
                    index[near] = count
                    queue.append(near)
        count += 1
    return index


@given(IMAGES)
def test_regions_are_those_of_a_flood_fill(image):
    assert np.array_equal(find_regions(image).index_map, flood(image))


@pytest.mark.slow
@given(IMAGES)
def test_any_value_may_be_the_background_and_any_the_number(image):
    wide = np.where(image == BACKGROUND, -1, image.astype(np.int64) + 1000)
    regions, same = find_regions(wide, -1), find_regions(image)
    assert np.array_equal(regions.index_map, same.index_map)
    assert np.array_equal(regions.values, same.values + 1000)


@pytest.mark.slow
@given(IMAGES)
def test_values_areas_and_boxes_are_those_of_the_index_map(image):
    regions = find_regions(image)
    assert len(regions) == regions.index_map.max() + 1
    for region in range(len(regions)):
        rows, columns = np.nonzero(regions.index_map == region)
        assert regions.areas_px[region] == len(rows)
        assert set(image[rows, columns].tolist()) == {regions.values[region]}
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert regions.boxes_xyxy_px[region].tolist() == box


def test_a_spiral_is_one_region():
    spiral = np.full((9, 9), BACKGROUND, np.uint8)
    for low in range(0, 5, 2):
        spiral[low, low : 9 - low] = spiral[8 - low, low : 9 - low] = 3
        spiral[low : 9 - low, 8 - low] = 3
        spiral[low + 2 : 9 - low, low] = 3
        spiral[low + 2, low : low + 2] = 3
    assert flood(spiral).max() == 0
    assert len(find_regions(spiral)) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_an_image_of_background_has_no_regions(shape):
    regions = find_regions(np.full(shape, BACKGROUND, np.uint8))
    assert len(regions) == 0
    assert regions.boxes_xyxy_px.shape == (0, 4)
