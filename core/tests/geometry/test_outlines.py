from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from anydet.geometry import masks
from anydet.geometry.outlines import area, clipped, joined, outlines


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


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_a_clipped_ring_has_the_area_that_is_within_the_image(seed):
    """Against the share of a fine grid of points within the image that are in the ring."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    reach = rng.uniform(2, 14, 7)
    ring = rng.uniform(-2, 12, 2) + np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)
    kept = clipped(ring, (10, 8))
    assert ((kept >= 0) & (kept <= [10, 8])).all()
    steps = 200
    xs, ys = (np.arange(steps) + 0.5) / steps * 10, (np.arange(steps) + 0.5) / steps * 8
    x, y = np.meshgrid(xs, ys)
    inside = np.zeros_like(x, bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        crossed = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crossed & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    assert abs(area(kept.ravel().tolist()) - 80 * inside.mean()) < 0.8


def test_a_ring_within_the_image_is_left_as_it_is_and_one_outside_is_gone():
    ring = np.array([[1.0, 1], [5, 2], [3, 6]])
    np.testing.assert_array_equal(clipped(ring, (10, 8)), ring)
    assert len(clipped(ring + 20, (10, 8))) == 0
    assert area(ring.ravel().tolist()) == 9.0
    assert area(ring[::-1].ravel().tolist()) == 9.0
