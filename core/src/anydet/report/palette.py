"""Colors that are distinct to color-blind people."""

from __future__ import annotations

import numpy as np

Color = tuple[int, int, int]

PALETTE: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito 2008, "Color Universal Design", without black; class i has color i modulo their number."""

AXIS_COLORS: tuple[Color, ...] = ((213, 94, 0), (0, 158, 115), (86, 180, 233))
"""x reddish, y green, z bluish, of the same set; letters at the tips say it again."""

DARK: Color = (0, 0, 0)
LIGHT: Color = (255, 255, 255)


def color_of(class_id: int) -> Color:
    """The color of a class."""
    return PALETTE[class_id % len(PALETTE)]


def ink_on(color: Color) -> Color:
    """Black or white, whichever is easier to read on a color."""
    # Weights of the luma of ITU-R BT.601.
    return DARK if np.dot(color, (0.299, 0.587, 0.114)) > 110 else LIGHT
