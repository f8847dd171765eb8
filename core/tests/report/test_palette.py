from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from anydet.report.palette import DARK, LIGHT, PALETTE, color_of, contrast, ink_on, linear

# Bjorn Ottosson 2020, "A perceptual color space for image processing".
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
# Machado et al. 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.
BLINDNESS = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
WEIGHTS = {"all": 1.0, "protan": 2.5, "deutan": 2.5, "tritan": 1.75}


def oklab(intensities):
    return np.cbrt(intensities @ TO_CONES.T) @ TO_LAB.T


def seen(colors):
    """OKLab of colors as everyone, and as each kind of color-blind person, sees them."""
    light = linear(np.array(colors, np.float64))
    blind = {name: oklab(np.clip(light @ np.array(m).T, 0, 1)) for name, m in BLINDNESS.items()}
    return {"all": oklab(light), **blind}


def smallest(lab):
    return np.linalg.norm(lab[:, None] - lab[None], axis=2)[np.triu_indices(len(lab), 1)].min()


def test_white_and_gray_are_where_oklab_has_them():
    lab = oklab(linear(np.array([[255.0, 255, 255], [0, 0, 0], [255, 0, 0]])))
    assert lab == pytest.approx(np.array([[1, 0, 0], [0, 0, 0], [0.628, 0.2249, 0.1258]]), abs=1e-3)


def test_80_classes_have_80_colors_that_are_told_apart():
    assert len({color_of(i) for i in range(80)}) == 80
    assert color_of(80 + 2) == PALETTE[2]
    distances = {name: smallest(lab) for name, lab in seen(PALETTE).items()}
    # One that is just noticed is .02.
    assert distances["all"] >= 0.0669
    assert min(distances["protan"], distances["deutan"], distances["tritan"]) >= 0.027
    # Of 20 classes or fewer, colors are twice as far apart.
    assert smallest(seen(PALETTE[:20])["all"]) >= 0.134


@pytest.mark.slow
def test_no_color_is_farther_from_those_before_it_than_the_one_that_comes_next():
    steps = np.linspace(0, 255, 18).round()
    candidates = np.array(list(product(steps, steps, steps)))
    lab = oklab(linear(candidates))
    wanted = (lab[:, 0] >= 0.35) & (lab[:, 0] <= 0.95) & (np.hypot(lab[:, 1], lab[:, 2]) >= 0.03)
    free, taken = seen(candidates[wanted]), seen(PALETTE)

    def to(i, lab):
        """Distances to a color of the palette, the least that anybody sees, weighted."""
        return np.min([w * np.linalg.norm(lab[n] - taken[n][i], axis=-1) for n, w in WEIGHTS.items()], axis=0)

    best = np.min([to(i, free) for i in range(7)], axis=0)
    for i in range(7, 80):
        own = min(to(j, {name: lab[i] for name, lab in taken.items()}) for j in range(i))
        assert own == pytest.approx(best.max(), abs=1e-9)
        best = np.minimum(best, to(i, free))


def test_text_is_readable_on_every_color():
    assert contrast(DARK, LIGHT) == pytest.approx(21)
    assert contrast((118, 118, 118), LIGHT) == pytest.approx(4.54, abs=0.01)  # WCAG's own example
    assert min(contrast(ink_on(color), color) for color in PALETTE) >= 4.5
    everything = product(range(0, 256, 51), repeat=3)
    assert all(contrast(ink_on(color), color) >= 4.5 for color in everything)
