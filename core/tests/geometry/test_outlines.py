from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from anydet.geometry import masks
from anydet.geometry.outlines import joined, outlines


def test_a_square_has_its_corners():
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    assert outlines(mask) == (((2, 1, 5, 1, 5, 3, 2, 3),), 0)


@settings(max_examples=12)
@given(arrays(bool, (7, 8)))
def test_outlines_filled_are_the_mask_with_its_holes_filled(mask):
    found, holes = outlines(mask)
    filled = np.zeros_like(mask)
    for ring in found:
        filled |= masks.decode(masks.from_polygons((ring,), (8, 7)))
    expected = ndimage.binary_fill_holes(mask, structure=np.ones((3, 3)))
    np.testing.assert_array_equal(filled, expected)
    assert len(found) == ndimage.label(mask)[1]
    # Background that no 8-connected path leads out of; the frame around the image is one part.
    assert holes == ndimage.label(~np.pad(mask, 1), structure=np.ones((3, 3)))[1] - 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_joined_rings_have_the_area_and_the_pixels_of_all(count):
    rings = ((1, 1, 5, 1, 5, 4, 1, 4), (10, 2, 14, 2, 14, 8), (3, 12, 9, 12, 9, 18, 3, 18))[:count]
    one = joined(rings)
    x, y = np.array(one[0::2]), np.array(one[1::2])
    expected = (12, 12 + 12, 12 + 12 + 36)[count - 1]
    assert (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 == expected
    both = [masks.decode(masks.from_polygons(polygons, (20, 20))) for polygons in ((one,), rings)]
    # Bridges are lines, which COCO's filling may give a pixel's width.
    assert (both[0] != both[1]).mean() < 0.03
    assert (both[0] | ~both[1]).all()
