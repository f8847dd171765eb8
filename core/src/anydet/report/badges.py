"""Signs for right, wrong and missed, that differ in shape as well as in color."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anydet.report.palette import LIGHT, Color

if TYPE_CHECKING:
    from PIL import ImageDraw

    from anydet.report.room import Corners

RIGHT, WRONG, MISSED = "right", "wrong", "missed"
_COLORS: dict[str, Color] = {RIGHT: (0, 110, 60), WRONG: (190, 0, 0), MISSED: (0, 60, 170)}


def draw_badge(pen: ImageDraw.ImageDraw, badge: str, place: Corners) -> None:
    """A check, a cross, or an empty ring, on white."""
    left, top, right, bottom = place
    color, side = _COLORS[badge], bottom - top + 1
    pen.rectangle(place, fill=LIGHT)
    width = max(2, round(side / 7))

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * (right - left), top + y * (bottom - top)

    if badge == RIGHT:
        pen.line([at(0.18, 0.55), at(0.42, 0.78), at(0.84, 0.22)], fill=color, width=width, joint="curve")
    elif badge == WRONG:
        pen.line([at(0.22, 0.22), at(0.78, 0.78)], fill=color, width=width)
        pen.line([at(0.22, 0.78), at(0.78, 0.22)], fill=color, width=width)
    else:
        pen.ellipse([*at(0.16, 0.16), *at(0.84, 0.84)], outline=color, width=width)
