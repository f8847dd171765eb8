"""Noise: its distribution against the package."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from anydet.data.corruptions.corruption import Corruption


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_impulse_noise_has_the_distribution_of_the_package(peer, severity):
    """How many numbers become black and white, within what chance allows once in a million times."""
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    image = np.full((200, 300, 3), 77, np.uint8)
    for noisy in (
        Corruption("impulse_noise", severity).apply(image, "a"),
        peer.corruptions.impulse_noise(image, severity, seed=3).astype(np.uint8),
    ):
        low, high = binom.interval(1 - 1e-6, image.size, amount / 2)
        assert low <= (noisy == 0).sum() <= high
        assert low <= (noisy == 255).sum() <= high
        assert np.isin(noisy, (0, 77, 255)).all()
        # Channels are hit on their own.
        hit = noisy != 77
        low, high = binom.interval(1 - 1e-6, image.size // 3, amount**2)
        assert low <= (hit[..., 0] & hit[..., 1]).sum() <= high


def test_impulses_are_spread_over_the_image():
    image = np.full((240, 320, 3), 128, np.uint8)
    hit = (
        (Corruption("impulse_noise", 5).apply(image, "a") != 128).reshape(8, 30, 8, 40, 3).sum(axis=(1, 3, 4))
    )
    low, high = binom.interval(1 - 1e-8, 30 * 40 * 3, 0.27)
    assert ((low <= hit) & (hit <= high)).all()


@pytest.mark.parametrize(
    ("name", "spread"), [("gaussian_noise", 0.08 * 255), ("shot_noise", (0.5 / 60) ** 0.5 * 255)]
)
def test_noise_has_its_deviation(name, spread):
    image = np.full((200, 300, 3), 128, np.uint8)
    noisy = Corruption(name, 1).apply(image, "a").astype(float)
    assert noisy.std() == pytest.approx(spread, rel=0.02)
    assert noisy.mean() == pytest.approx(127.5, abs=0.5)
