"""Glass blur: its shifts against a loop over pixels, and against the package."""

from __future__ import annotations

import numpy as np
import pytest

from anydet.data.corruptions import blur
from anydet.data.corruptions.corruption import corrupt


def _loop(dy, dx, size_hw, reach):
    """One pass as the package writes it, of indices instead of pixels, whose swap copies."""
    height, width = size_hw
    source = np.arange(height * width).reshape(height, width)
    for h in range(height - reach, reach, -1):
        for w in range(width - reach, reach, -1):
            at = h - reach - 1, w - reach - 1
            source[h, w] = source[h + dy[at], w + dx[at]]
    return source


@pytest.mark.parametrize("size_hw", [(32, 32), (41, 33), (9, 9), (9, 40)])
@pytest.mark.parametrize("reach", [1, 2, 3, 4])
def test_shifts_of_a_pass_end_where_a_loop_over_pixels_ends(size_hw, reach):
    rng = np.random.default_rng(reach)
    shape = (2, size_hw[0] - 2 * reach, size_hw[1] - 2 * reach)
    dy, dx = rng.integers(-reach, reach, shape, np.int8)
    np.testing.assert_array_equal(blur.scatter_sources(dy, dx, size_hw, reach), _loop(dy, dx, size_hw, reach))
    # Shifts that all point behind are the longest chain that there is.
    ahead = np.full(shape[1:], reach - 1, np.int8)
    np.testing.assert_array_equal(
        blur.scatter_sources(ahead, ahead, size_hw, reach), _loop(ahead, ahead, size_hw, reach)
    )


class _Shifts:
    """Gives the shifts that the package draws from a seed: dx, dy of each pixel, the last pixel first."""

    def __init__(self, seed):
        self._state = np.random.RandomState(seed)

    def integers(self, low, high, shape, dtype):
        _, height, width = shape
        drawn = self._state.randint(low, high, (height * width, 2))[::-1]
        return drawn.T[::-1].reshape(shape).astype(dtype)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_glass_blur_equals_the_package_given_the_same_shifts(peer, severity):
    image = np.random.default_rng(0).integers(0, 256, (37, 45, 3), dtype=np.uint8)
    theirs = peer.corrupt(image, severity, "glass_blur", seed=severity)
    np.testing.assert_array_equal(corrupt(image, "glass_blur", severity, _Shifts(severity)), theirs)


def test_shifts_are_uniform():
    """Each of the 64 shifts of severity 4 and 5 is drawn as often as another, by chi square."""
    from scipy.stats import chisquare

    counts = np.zeros((8, 8), int)
    rng = np.random.default_rng(1)

    class Counting:
        def integers(self, *args):
            dy, dx = drawn = rng.integers(*args)
            np.add.at(counts, (dy.ravel() + 4, dx.ravel() + 4), 1)
            return drawn

    corrupt(np.zeros((200, 300, 3), np.uint8), "glass_blur", 5, Counting())
    assert counts.sum() == 2 * 192 * 292
    assert chisquare(counts.ravel()).pvalue > 1e-3


def test_the_kernel_of_defocus_blur_is_the_package_s(peer):
    for radius, sigma in blur._DEFOCUS:
        theirs = peer.corruptions.disk(radius, sigma)
        np.testing.assert_allclose(blur._disk(radius, sigma), theirs, rtol=0, atol=1e-9)


def test_lengths_of_transforms_have_small_prime_factors():
    assert [blur._fast_length(side) for side in (1, 7, 11, 13, 97, 641, 661)] == [1, 8, 12, 15, 100, 648, 675]
