"""One picture of a bicycle: which parts it has and in which state, and how it is seen.

Scene ``index`` of ``seed`` is the same whatever the number of scenes: every choice comes from a generator
seeded with (seed, index).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from anydet.data.dataset.columns import boxes_only
from anydet.data.scenes.textures import light
from anydet.types import BoolArray, ByteImage, Labels, Size
from anydet_delftbikes.parts import PARTS, STATES
from anydet_delftbikes.scenes.background import paint_background
from anydet_delftbikes.scenes.bicycle import Bicycle, build_bicycle
from anydet_delftbikes.scenes.damage import Warp, crack, damage, warp
from anydet_delftbikes.scenes.occluders import build_occluder
from anydet_delftbikes.scenes.parts import BEHIND_FRAME, DRAWINGS, ON_STEER
from anydet_delftbikes.scenes.strokes import SAMPLES, Stroke, View, bounds_xyxy, coverage, draw, look

INTACT, DAMAGED, ABSENT, OCCLUDED = range(len(STATES))
HIDDEN = 0.75
"""A part of which this fraction is covered is occluded."""
SEEN = 0.35
"""A part of which no more than this is covered shows its own state; between the two no part is left."""
UNBOXED = 0.2
"""Fraction of absent parts that have no box."""
_DAMAGED = 0.071
_ABSENT = {"steer": 0.06, "back_wheel": 0.12, "front_wheel": 0.12} | dict.fromkeys(ON_STEER, 0.18)
_ABSENT_ELSE = 0.26


@dataclass(frozen=True, slots=True, eq=False)
class BikeScene:
    """What a picture shows.

    Attributes:
        bicycle: its measures and colors.
        view: from the bicycle's plane to pixels.
        size_wh: of the picture, pixels.
        drawn: part -> ``INTACT``, ``DAMAGED`` or ``ABSENT``: what is under the occluders.
        warps: part -> how damage moves it.
        cracks: part -> strokes of damage, before the warp.
        occluders: what stands in front, in pixels.
        hidden: parts that the occluders hide.
        unboxed: absent parts without a box.
    """

    bicycle: Bicycle
    view: View
    size_wh: Size
    drawn: Mapping[str, int]
    warps: Mapping[str, Warp]
    cracks: Mapping[str, tuple[Stroke, ...]]
    occluders: tuple[Stroke, ...] = ()
    hidden: frozenset[str] = frozenset()
    unboxed: frozenset[str] = frozenset()

    def state(self, part: str) -> int:
        """The state that the picture shows of a part."""
        return OCCLUDED if part in self.hidden else self.drawn[part]

    def strokes(self, part: str) -> list[Stroke]:
        """A part in pixels; an absent one as it would be."""
        strokes = DRAWINGS[part](self.bicycle)
        if self.drawn[part] == DAMAGED:
            strokes = warp([*strokes, *self.cracks[part]], self.warps[part])
        if part in ON_STEER and self.drawn["steer"] == DAMAGED:
            strokes = warp(strokes, self.warps["steer"])
        return [self.view.project(stroke) for stroke in strokes]

    def labels(self) -> Labels:
        """Boxes of all parts but ``unboxed``, in whole pixels; absent parts where they would be."""
        boxed = [part for part in PARTS if part not in self.unboxed]
        return boxes_only(
            np.array([PARTS.index(part) for part in boxed], np.int64),
            np.array([self._box_xywh(part) for part in boxed], np.float64).reshape(-1, 4),
            states=np.array([self.state(part) for part in boxed], np.int64),
        )

    def _box_xywh(self, part: str) -> list[float]:
        x1, y1, x2, y2 = bounds_xyxy(self.strokes(part))
        left, top = max(0, math.floor(x1)), max(0, math.floor(y1))
        right, bottom = min(self.size_wh[0], math.ceil(x2)), min(self.size_wh[1], math.ceil(y2))
        return [left, top, right - left, bottom - top]


def build_scene(seed: int, index: int, size_wh: Size = (320, 240)) -> BikeScene:
    """Scene ``index`` of ``seed``, without its pixels."""
    rng = np.random.default_rng([seed, index, 0])
    bicycle = build_bicycle(rng)
    whole = {part: DRAWINGS[part](bicycle) for part in PARTS}
    # Drawn for all parts, damaged or not: the random numbers that follow do not depend on states.
    warps = {part: damage(part, whole[part], bicycle, rng) for part in PARTS}
    cracks = {part: tuple(crack(whole[part], warps[part], rng)) for part in PARTS}
    scene = BikeScene(bicycle, _view(bicycle, size_wh, rng), size_wh, _conditions(rng), warps, cracks)
    occluders, hidden = _occlude(scene, rng)
    absent = [part for part in PARTS if scene.drawn[part] == ABSENT and part not in hidden]
    unboxed = frozenset(part for part in absent if rng.random() < UNBOXED)
    return replace(scene, occluders=tuple(occluders), hidden=frozenset(hidden), unboxed=unboxed)


def paint_scene(scene: BikeScene, rng: np.random.Generator) -> ByteImage:
    """(H, W, 3) uint8 RGB; everything but the bicycle and its occluders is chosen by ``rng``."""
    feet = Stroke(np.array([[0.0, 0.0], [scene.bicycle.length, 0.0]]), (0, 0, 0))
    canvas = paint_background(rng, scene.size_wh, scene.view.project(feet).points, SAMPLES)
    there = [part for part in DRAWINGS if scene.drawn[part] != ABSENT]
    behind = [stroke for part in there if part in BEHIND_FRAME for stroke in scene.strokes(part)]
    front = [stroke for part in there if part not in BEHIND_FRAME for stroke in scene.strokes(part)]
    frame = [scene.view.project(stroke) for stroke in scene.bicycle.frame()]
    draw(canvas, [*behind, *frame, *front, *scene.occluders])
    image = np.asarray(canvas.resize(scene.size_wh, Image.Resampling.BOX), np.float64)
    image = image * light(rng, scene.size_wh)[..., None]
    image += rng.normal(0.0, rng.uniform(1.0, 8.0), image.shape)
    pixels: ByteImage = np.clip(image, 0.0, 255.0).round().astype(np.uint8)
    return pixels


def _conditions(rng: np.random.Generator) -> dict[str, int]:
    """What each part is like; nothing is mounted on a steer that is not there."""
    conditions = {}
    for part in PARTS:
        absent = _ABSENT.get(part, _ABSENT_ELSE)
        limits = np.cumsum([absent, _DAMAGED])
        conditions[part] = (ABSENT, DAMAGED, INTACT)[int(np.searchsorted(limits, rng.random(), "right"))]
    # Drawn first and overwritten, so that the number of draws is the same in every scene.
    if conditions["steer"] == ABSENT:
        conditions |= dict.fromkeys(ON_STEER, ABSENT)
    return conditions


def _view(bicycle: Bicycle, size_wh: Size, rng: np.random.Generator) -> View:
    """Mirrored or not, turned a little, seen a little from the side, all of it in the picture."""
    low = np.array([-bicycle.radius - 0.16, -1.13])
    high = np.array([bicycle.length + bicycle.radius + 0.05, 0.03])
    corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    center, extent = (low + high) / 2, high - low
    seen = (corners - center) * (1 + rng.uniform(-0.05, 0.05, (4, 1)))
    angle = np.radians(rng.uniform(-6, 6))
    seen = seen @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    seen *= [rng.uniform(0.9, 1.0) * rng.choice([-1.0, 1.0]), 1.0]
    room = np.array(size_wh) * 0.98 / np.ptp(seen, axis=0)
    seen *= room.min() * rng.uniform(0.84, 1.0)
    slack = np.array(size_wh) - np.ptp(seen, axis=0)
    target = seen - seen.min(axis=0) + slack * rng.uniform(0.1, 0.9, 2)
    view = look(corners, target)
    return View(view.homography, float(np.linalg.norm(target[2] - target[0]) / np.linalg.norm(extent)))


def _occlude(scene: BikeScene, rng: np.random.Generator) -> tuple[list[Stroke], list[str]]:
    """Covers over some parts, none of which leaves a part half hidden; and the parts that they hide."""
    masks = {part: np.asarray(coverage(scene.strokes(part), scene.size_wh)) > 0 for part in PARTS}
    occluders: list[Stroke] = []
    covered = dict.fromkeys(PARTS, 0.0)
    for _ in range(rng.integers(1, 6)):
        target = PARTS[rng.integers(len(PARTS))]
        more = build_occluder(_around(scene, target, rng), rng)
        found = _covered_fractions(masks, np.asarray(coverage([*occluders, *more], scene.size_wh)) > 0)
        # A part that is half hidden has no clear state; such an occluder is left out.
        if not any(SEEN < fraction < HIDDEN for fraction in found.values()):
            occluders, covered = [*occluders, *more], found
    return occluders, [part for part, fraction in covered.items() if fraction >= HIDDEN]


def _around(scene: BikeScene, part: str, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A rectangle somewhat larger than a part, in pixels."""
    x1, y1, x2, y2 = bounds_xyxy(scene.strokes(part))
    least = 0.05 * min(scene.size_wh)
    grow = rng.uniform(0.02, 0.2, 4) * np.array([x2 - x1, y2 - y1] * 2) + least * rng.uniform(0.1, 0.6, 4)
    return x1 - grow[0], y1 - grow[1], x2 + grow[2], y2 + grow[3]


def _covered_fractions(masks: Mapping[str, BoolArray], covered: BoolArray) -> dict[str, float]:
    """Fraction of each part's pixels that are covered."""
    return {part: float(covered[mask].mean()) if mask.any() else 0.0 for part, mask in masks.items()}
