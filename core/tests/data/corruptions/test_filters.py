"""Filters against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anydet.data.corruptions import filters


@pytest.mark.parametrize("shape", [(40, 57), (33, 200, 3), (600, 90)])
@pytest.mark.parametrize(("edges", "mode"), [("edge", "nearest"), ("symmetric", "reflect")])
def test_gaussian_blur_is_scipy_s(shape, edges, mode):
    image = np.random.default_rng(0).random(shape)
    for sigmas, truncate in [((1.5, 1.5), 4), ((6.0, 0.33), 3)]:
        theirs = ndimage.gaussian_filter(image, (*sigmas, 0)[: image.ndim], mode=mode, truncate=truncate)
        ours = filters.gaussian_blur(image, sigmas, edges=edges, truncate=truncate)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("shape", [(40, 57), (33, 200, 3), (300, 95)])
@pytest.mark.parametrize("factor", [1, 1.01, 1.3, 2.5, 4.5])
def test_zoom_is_scipy_s_of_the_middle(shape, factor):
    image = np.random.default_rng(0).random(shape)
    sides = [int(np.ceil(side / factor)) for side in shape[:2]]
    top, left = ((side - kept) // 2 for side, kept in zip(shape, sides, strict=False))
    middle = image[top : top + sides[0], left : left + sides[1]]
    theirs = ndimage.zoom(middle, (factor, factor, 1)[: image.ndim], order=1)
    np.testing.assert_allclose(filters.zoom_center(image, factor), theirs, rtol=0, atol=1e-14)
    cut = filters.zoom_center(image, factor, out=np.ones(shape))
    np.testing.assert_allclose(cut, 1 + theirs[: shape[0], : shape[1]], rtol=0, atol=1e-14)


def test_linear_sampling_is_scipy_s_beyond_the_edges_too():
    rng = np.random.default_rng(0)
    image = rng.random((60, 41, 3)).astype(np.float32)
    dy, dx = rng.normal(0, 70, (2, 60, 41)).astype(np.float32)
    y, x = np.mgrid[:60, :41]
    theirs = [
        ndimage.map_coordinates(image[..., channel], [y + dy, x + dx], order=1, mode="reflect")
        for channel in range(3)
    ]
    np.testing.assert_allclose(filters.sample_linear(image, dy, dx), np.stack(theirs, -1), rtol=0, atol=1e-5)


def test_motion_blur_leaves_a_constant_as_it_is():
    image = np.full((50, 60, 3), 137, np.uint8)
    np.testing.assert_allclose(filters.motion_blur(image, 10, 3, 30.0), 137, atol=1e-9)


def test_motion_blur_smears_a_point_along_its_angle():
    image = np.zeros((61, 61), np.uint8)
    image[30, 30] = 255
    for angle, direction in [(0, (0, -1)), (90, (-1, 0)), (-90, (1, 0)), (180, (0, 1))]:
        rows, columns = np.nonzero(filters.motion_blur(image, 10, 8, angle))
        reached = {(int(r) - 30, int(c) - 30) for r, c in zip(rows, columns, strict=True)}
        assert reached == {(direction[0] * k, direction[1] * k) for k in range(21)}


def test_row_blocks_cover_all_rows_once():
    for shape in [(1, 1), (7, 3), (480, 640, 3), (5, 100_000, 3), (100_000, 1)]:
        blocks = list(filters.row_blocks(shape))
        assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(shape[0]))
