"""Colors that can be told apart: of classes, of series in charts, of axes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from anydet.types import FloatArray

Color = tuple[int, int, int]

_HEX = """
    e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7 78003c 9600ff 3c00a5
    78ffff 4b5a00 b41e87 9678ff ffb4c3 875a5a 69e187 f02df0 a5b496 c3001e
    782da5 96874b b4d2ff 002de1 4b2d69 2d5a69 5a2d0f b44bd2 e1f0c3 ff87ff
    7878a5 f000a5 a5ff96 78b45a ff875a b4d200 962d4b d296e1 4b783c d2c369
    4b78e1 003c87 ff1e4b 695a87 a587d2 f05a87 5a1ec3 b45a69 694bd2 c3b4d2
    4b9600 00c300 4ba5b4 4bff5a 96d2a5 780078 c39687 ffe1f0 c30fb4 b47869
    d278ff 5a4b3c 96b4ff 96e1e1 d200ff 789687 a59600 965a96 e1d2b4 a569c3
    960f96 e169d2 a50fc3 1ee1f0 e1a5a5 b44b2d c3e178 692d5a a50000 5a3c87
"""
PALETTE: tuple[Color, ...] = tuple((int(h[:2], 16), int(h[2:4], 16), int(h[4:], 16)) for h in _HEX.split())
"""80 colors; class i has color i modulo their number, in every picture.

The first 7 are those of Okabe and Ito 2008, "Color Universal Design", without black. Each of the others is
the one farthest from all before it, as Glasbey et al. 2007 choose: by the distance in OKLab, or 2.5 times
what is left of it for a color-blind person where that is less. The smallest distance of two colors is .067,
and .027 for protanopes and deuteranopes, where .02 is just noticed (CSS Color 4); ``test_palette.py`` has the
search.
"""

SERIES: tuple[str, ...] = tuple("#{:02x}{:02x}{:02x}".format(*PALETTE[i]) for i in (4, 5, 2, 6, 0, 1))
"""Lines of charts: those of the first seven that are seen on white, the most different ones first."""

AXIS_COLORS: tuple[Color, ...] = ((213, 94, 0), (0, 158, 115), (86, 180, 233))
"""x reddish, y green, z bluish, of the same set; letters at the tips say it again."""

DARK: Color = (0, 0, 0)
LIGHT: Color = (255, 255, 255)


def color_of(class_id: int) -> Color:
    """The color of a class."""
    return PALETTE[class_id % len(PALETTE)]


@lru_cache(maxsize=256)
def ink_on(color: Color) -> Color:
    """Black or white, whichever has more contrast to a color: 4.58 at least, as one of the two always has."""
    return max((DARK, LIGHT), key=lambda ink: contrast(ink, color))


def contrast(a: Color, b: Color) -> float:
    """Contrast ratio of WCAG 2: from 1 to 21; text needs 4.5."""
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def linear(rgb: FloatArray) -> FloatArray:
    """Intensities in [0, 1] of sRGB values in [0, 255] (IEC 61966-2-1)."""
    part = rgb / 255
    intensity: FloatArray = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return intensity


def _luminance(color: Color) -> float:
    return float(linear(np.array(color, np.float64)) @ (0.2126, 0.7152, 0.0722))
