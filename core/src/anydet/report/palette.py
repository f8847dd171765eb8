"""Colours that colour-blind people can tell apart."""

from __future__ import annotations

import numpy as np

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito 2008, "Color Universal Design", without black; class i has colour i modulo their number."""

AXIS_COLOURS: tuple[Colour, ...] = ((213, 94, 0), (0, 158, 115), (86, 180, 233))
"""x reddish, y green, z bluish, of the same set; letters at the tips say it again."""

DARK: Colour = (0, 0, 0)
LIGHT: Colour = (255, 255, 255)


def colour_of(class_id: int) -> Colour:
    """The colour of a class."""
    return PALETTE[class_id % len(PALETTE)]


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever is easier to read on a colour."""
    return DARK if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else LIGHT
