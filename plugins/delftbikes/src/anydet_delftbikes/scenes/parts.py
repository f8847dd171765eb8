"""The 22 parts of a bicycle, each as the strokes that draw it whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from anydet.types import FloatArray
from anydet_delftbikes.scenes.bicycle import RUBBER, STEEL, Bicycle
from anydet_delftbikes.scenes.curves import arc, box, ellipse, near, path, ring, turned
from anydet_delftbikes.scenes.strokes import Stroke

GLASS = (255, 232, 140)
RED = (214, 34, 40)
ORANGE = (255, 140, 26)


def _wheel(hub: FloatArray, bicycle: Bicycle) -> list[Stroke]:
    rim = bicycle.radius - 0.02
    spokes = [Stroke(path(hub, end), STEEL, 0.006, inked=False) for end in ring(hub, rim)[:-1:5]]
    return [
        *spokes,
        Stroke(ring(hub, rim), bicycle.paint.tire, 0.04),
        Stroke(ring(hub, rim - 0.03), STEEL, 0.01, inked=False),
        Stroke(ring(hub, 0.03), STEEL),
    ]


def _back_wheel(bicycle: Bicycle) -> list[Stroke]:
    return _wheel(bicycle.back_hub, bicycle)


def _front_wheel(bicycle: Bicycle) -> list[Stroke]:
    return _wheel(bicycle.front_hub, bicycle)


def _back_mudguard(bicycle: Bicycle) -> list[Stroke]:
    curve = arc(bicycle.back_hub, bicycle.radius + 0.035, -195, -50)
    return [Stroke(curve, bicycle.paint.mudguard, 0.034)]


def _front_mudguard(bicycle: Bicycle) -> list[Stroke]:
    curve = arc(bicycle.front_hub, bicycle.radius + 0.035, -165, -30)
    return [Stroke(curve, bicycle.paint.mudguard, 0.034)]


def _dress_guard(bicycle: Bicycle) -> list[Stroke]:
    hub, outer, inner = bicycle.back_hub, bicycle.radius - 0.045, 0.09
    outline = np.concatenate([arc(hub, outer, -165, -70), arc(hub, inner, -70, -165)])
    ribs = [path(hub + inner * d, hub + outer * d) for d in arc((0.0, 0.0), 1.0, -150, -85)[::3]]
    lines = [Stroke(rib, RUBBER, 0.008, inked=False) for rib in ribs]
    return [Stroke(outline, bicycle.paint.guard), *lines]


def _chain(bicycle: Bicycle) -> list[Stroke]:
    hub, crank = bicycle.back_hub, bicycle.crank
    loop = np.concatenate([arc(hub, 0.05, 90, 270), arc(crank, 0.09, -90, 90), arc(hub, 0.05, 90, 96)])
    loop = path(*loop[::2])
    links = [Stroke(loop[i : i + 2], STEEL, 0.01, inked=False) for i in range(0, len(loop) - 1, 3)]
    return [Stroke(loop, (92, 74, 58), 0.022), *links]


def _gear_case(bicycle: Bicycle) -> list[Stroke]:
    hub, crank = bicycle.back_hub, bicycle.crank
    upper = path(near(hub, 0.08, -0.045), near(crank, -0.05, -0.1), near(crank, 0.1, -0.06))
    return [Stroke(upper, bicycle.paint.case, 0.075)]


def _pedal(place: FloatArray) -> list[Stroke]:
    return [
        Stroke(box(place, (0.12, 0.05), -6), RUBBER),
        Stroke(box(place, (0.08, 0.014), -6), ORANGE, inked=False),
    ]


def _front_pedal(bicycle: Bicycle) -> list[Stroke]:
    return _pedal(bicycle.pedals[0])


def _back_pedal(bicycle: Bicycle) -> list[Stroke]:
    return _pedal(bicycle.pedals[1])


def _saddle(bicycle: Bicycle) -> list[Stroke]:
    outline = np.array(
        [[-0.14, -0.055], [-0.08, -0.05], [0.0, -0.045], [0.12, -0.045], [0.15, -0.03], [0.12, -0.008],
         [0.03, 0.0], [-0.04, 0.035], [-0.12, 0.035], [-0.15, 0.0]]
    )  # fmt: skip
    return [Stroke(bicycle.seat + path(*outline, outline[0]), bicycle.paint.leather)]


def _arms(bicycle: Bicycle) -> tuple[FloatArray, FloatArray]:
    """The back and the front arm of the steer, each from the stem to the end."""
    stem = bicycle.stem
    back = path(stem, near(stem, -0.07, -0.06), near(stem, -0.16, -0.07), near(stem, -0.27, -0.03))
    front = path(stem, near(stem, 0.06, -0.06), near(stem, 0.14, -0.08), near(stem, 0.26, -0.06))
    return back, front


def _steer(bicycle: Bicycle) -> list[Stroke]:
    return [Stroke(arm, STEEL, 0.028) for arm in _arms(bicycle)]


def _handle(arm: FloatArray, bicycle: Bicycle) -> list[Stroke]:
    return [Stroke(arm[-7:], bicycle.paint.leather, 0.056)]


def _back_handle(bicycle: Bicycle) -> list[Stroke]:
    return _handle(_arms(bicycle)[0], bicycle)


def _front_handle(bicycle: Bicycle) -> list[Stroke]:
    return _handle(_arms(bicycle)[1], bicycle)


def _brake(arm: FloatArray) -> list[Stroke]:
    start, end = arm[-8], arm[-1]
    drop = np.array([0.0, 0.075])
    return [Stroke(path(start, start + 0.25 * (end - start) + drop, end + drop), STEEL, 0.026)]


def _back_hand_break(bicycle: Bicycle) -> list[Stroke]:
    return _brake(_arms(bicycle)[0])


def _front_handbreak(bicycle: Bicycle) -> list[Stroke]:
    return _brake(_arms(bicycle)[1])


def _bell(bicycle: Bicycle) -> list[Stroke]:
    foot = near(bicycle.stem, -0.02, -0.075)
    dome = arc(foot, 0.05, -180, 0)
    return [
        Stroke(path(*dome, dome[0]), (232, 206, 120)),
        Stroke(path(foot, near(foot, 0.0, 0.03)), RUBBER, 0.02),
    ]


def _front_light(bicycle: Bicycle) -> list[Stroke]:
    place = near(bicycle.head[1], 0.09, -0.09)
    outline = [[-0.05, -0.03], [0.03, -0.055], [0.03, 0.055], [-0.05, 0.03], [-0.05, -0.03]]
    return [
        Stroke(place + path(*np.array(outline)), RUBBER),
        Stroke(ellipse(near(place, 0.035, 0.0), (0.024, 0.05)), GLASS),
    ]


def _back_light(bicycle: Bicycle) -> list[Stroke]:
    return [Stroke(ellipse(near(bicycle.rack, -0.05, 0.06), (0.042, 0.05)), RED)]


def _back_reflector(bicycle: Bicycle) -> list[Stroke]:
    place = near(bicycle.rack, -0.06, 0.28)
    return [
        Stroke(box(place, (0.06, 0.1)), ORANGE),
        Stroke(box(place, (0.02, 0.07)), (255, 214, 120), inked=False),
    ]


def _dynamo(bicycle: Bicycle) -> list[Stroke]:
    foot = near(bicycle.front_hub, 0.06, -bicycle.radius - 0.01)
    body = box(near(foot, 0.0, -0.075), (0.056, 0.1))
    return [
        Stroke(box(near(foot, 0.0, -0.015), (0.03, 0.04)), RUBBER),
        Stroke(path(*body, body[0]), (206, 210, 216)),
    ]


def _kickstand(bicycle: Bicycle) -> list[Stroke]:
    top = near(bicycle.crank, -0.05, 0.03)
    foot = np.array([top[0] - 0.08, -0.005])
    return [Stroke(path(top, foot, near(foot, -0.05, 0.0)), (140, 144, 150), 0.026)]


def _lock(bicycle: Bicycle) -> list[Stroke]:
    direction = arc((0.0, 0.0), 1.0, -62, -56)[0]
    place = bicycle.back_hub + (bicycle.radius - 0.03) * direction
    shackle = turned(arc(place, 0.055, -70, 250), place, 25)
    return [
        Stroke(shackle, STEEL, 0.02),
        Stroke(box(near(place, 0.02, -0.05), (0.11, 0.055), 28), bicycle.paint.lock),
    ]


DRAWINGS: Mapping[str, Callable[[Bicycle], list[Stroke]]] = {
    "back_wheel": _back_wheel,
    "dress_guard": _dress_guard,
    "back_mudguard": _back_mudguard,
    "front_wheel": _front_wheel,
    "front_mudguard": _front_mudguard,
    "kickstand": _kickstand,
    "back_pedal": _back_pedal,
    "chain": _chain,
    "gear_case": _gear_case,
    "front_pedal": _front_pedal,
    "lock": _lock,
    "saddle": _saddle,
    "back_light": _back_light,
    "back_reflector": _back_reflector,
    "dynamo": _dynamo,
    "front_light": _front_light,
    "steer": _steer,
    "back_hand_break": _back_hand_break,
    "front_handbreak": _front_handbreak,
    "back_handle": _back_handle,
    "front_handle": _front_handle,
    "bell": _bell,
}
"""How each part is drawn, back to front; the frame comes after ``BEHIND_FRAME``."""
BEHIND_FRAME = (
    "back_wheel",
    "dress_guard",
    "back_mudguard",
    "front_wheel",
    "front_mudguard",
    "kickstand",
    "back_pedal",
)
ON_STEER = ("back_hand_break", "back_handle", "bell", "front_handbreak", "front_handle")
"""Parts that move with the steer, and are gone with it."""
