"""One pose scene: which solids stand where, what the camera sees of them, and how that is painted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from anydet.data.scenes.textures import background, light
from anydet.geometry import masks
from anydet.geometry.rotations import random_rotation
from anydet.types import BoolArray, ByteImage, FloatArray, IntArray, Intrinsics, Labels, Poses, Size
from anydet_bop.rendering.raster import Surface, View, barycentric, compose, rasterize
from anydet_bop.scenes.solids import solids

MIN_VISIBLE = 0.2
"""Fraction of a silhouette that must be seen; of what is hidden or cut off more, nothing is painted."""
MIN_VISIBLE_PX = 30
"""Number of its pixels that must be seen."""
DEPTH_M = (0.35, 0.9)
"""Nearest and farthest origin of an object, meters."""
MOST_OBJECTS = 4
"""Default of the most objects in a scene."""
_TRIES = 10
_MARGIN = 0.1
_AMBIENT, _DIFFUSE, _GLOSS, _SHININESS = 0.45, 0.6, 70.0, 24.0


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One object of a scene.

    Attributes:
        class_id: which of ``solids()``.
        rotation: (3, 3) object to camera.
        translation_m: (3,) meters, camera frame.
        surface: what the camera would see of it alone.
    """

    class_id: int
    rotation: FloatArray
    translation_m: FloatArray
    surface: Surface


@dataclass(frozen=True, slots=True, eq=False)
class PoseScene:
    """A scene whose pixels are not painted yet.

    Attributes:
        image_wh: (width, height) in pixels.
        camera: its intrinsics, pixel edges at whole numbers.
        objects: all that is painted; each is labeled.
        view: what each pixel sees; ``owners`` are positions in ``objects``.
    """

    image_wh: Size
    camera: Intrinsics
    objects: tuple[Placed, ...]
    view: View

    def mask(self, position: int) -> BoolArray:
        """(H, W) pixels that show an object."""
        visible: BoolArray = self.view.owners == position
        return visible

    def visibility(self) -> FloatArray:
        """(N,) visible fraction of each whole silhouette."""
        whole = [one.surface.pixels for one in self.objects]
        return _visible_px(self.view, len(whole)) / np.maximum(whole, 1)

    def depth_m(self) -> FloatArray:
        """(H, W) depth in meters, 0 where there is only background."""
        return np.where(np.isfinite(self.view.depth_m), self.view.depth_m, 0.0)

    def labels(self) -> Labels:
        """Classes, masks, poses, and boxes around what is seen."""
        rles = tuple(masks.encode(self.mask(position)) for position in range(len(self.objects)))
        return Labels(
            class_ids=np.array([one.class_id for one in self.objects], np.int64),
            boxes_xywh_px=np.array([masks.bounds_xywh(rle) for rle in rles], np.float64).reshape(-1, 4),
            areas=np.array([masks.area(rle) for rle in rles], np.float64),
            iscrowd=np.zeros(len(rles), np.bool_),
            segmentations=rles,
            poses=Poses(
                rotations=np.array([one.rotation for one in self.objects]).reshape(-1, 3, 3),
                translations_m=np.array([one.translation_m for one in self.objects]).reshape(-1, 3),
            ),
        )


def camera_of(image_wh: Size) -> Intrinsics:
    """The camera of all scenes of a size; as in real ones, nothing of it is quite in the middle."""
    focal = 1.2 * max(image_wh)
    return Intrinsics(focal, 1.01 * focal, 0.51 * image_wh[0], 0.48 * image_wh[1])


@lru_cache(maxsize=4)
def build_scene(seed: int, index: int, image_wh: Size, most: int = MOST_OBJECTS) -> PoseScene:
    """Scene ``index`` of ``seed``: 1 to ``most`` objects, turned in every way, that may hide each other."""
    rng, camera = np.random.default_rng([seed, index, 0]), camera_of(image_wh)
    objects = _place(rng, camera, image_wh, most)
    view = compose([one.surface for one in objects], image_wh)
    whole = np.array([one.surface.pixels for one in objects])
    seen = _visible_px(view, len(objects))
    kept = seen >= np.maximum(MIN_VISIBLE * whole, MIN_VISIBLE_PX)
    objects = tuple(one for one, keep in zip(objects, kept, strict=True) if keep)
    # Without the objects that were dropped, others show pixels that were hidden by them.
    if not kept.all():
        view = compose([one.surface for one in objects], image_wh)
    return PoseScene(image_wh, camera, objects, view)


def paint_scene(scene: PoseScene, rng: np.random.Generator) -> ByteImage:
    """(H, W, 3) uint8 RGB: textured solids in one light before a textured background, a little blurred."""
    image = background(rng, scene.image_wh) * light(rng, scene.image_wh)[..., None]
    towards_light = rng.normal(size=3) * (1.0, 1.0, 0.5) - (0.0, 0.0, 1.2)
    towards_light /= np.linalg.norm(towards_light)
    brightness = rng.uniform(0.8, 1.15)
    for position, one in enumerate(scene.objects):
        rows, columns = np.nonzero(scene.view.owners == position)
        faces = scene.view.faces[rows, columns]
        image[rows, columns] = brightness * _shade(one, rows, columns, faces, towards_light)
    image = _blur(image, rng.uniform(0.05, 0.25))
    image += rng.normal(0.0, rng.uniform(1.0, 6.0), image.shape)
    pixels: ByteImage = np.clip(image, 0.0, 255.0).round().astype(np.uint8)
    return pixels


def _place(rng: np.random.Generator, camera: Intrinsics, image_wh: Size, most: int) -> tuple[Placed, ...]:
    """Objects that do not run into each other."""
    objects: list[Placed] = []
    for _ in range(rng.integers(1, most + 1)):
        class_id = int(rng.integers(len(solids())))
        rotation = random_rotation(rng)
        for _ in range(_TRIES):
            spot = rng.uniform(_MARGIN, 1.0 - _MARGIN, 2) * image_wh
            # Uniform in log depth, so that sizes in pixels are spread evenly in proportion.
            depth = float(np.exp(rng.uniform(*np.log(DEPTH_M))))
            ray = (spot - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
            translation = np.array([*ray, 1.0]) * depth
            if all(_apart(class_id, translation, other) for other in objects):
                surface = rasterize(solids()[class_id].mesh, rotation, translation, camera)
                objects.append(Placed(class_id, rotation, translation, surface))
                break
    return tuple(objects)


def _apart(class_id: int, translation_m: FloatArray, other: Placed) -> bool:
    """Whether the balls around two objects have nothing in common."""
    reach = solids()[class_id].model.diameter_m + solids()[other.class_id].model.diameter_m
    return bool(np.linalg.norm(translation_m - other.translation_m) > reach / 2)


def _visible_px(view: View, count: int) -> IntArray:
    """(N,) number of pixels that show each object."""
    return np.bincount(view.owners.ravel() + 1, minlength=count + 1)[1:]


def _shade(
    one: Placed, rows: IntArray, columns: IntArray, faces: IntArray, towards_light: FloatArray
) -> FloatArray:
    """(P, 3) RGB of pixels of an object: ambient, diffuse and specular light (Blinn 1977)."""
    solid = solids()[one.class_id]
    weights = barycentric(one.surface, rows, columns, faces)[:, None]
    points = (weights @ solid.mesh.points_m[solid.mesh.faces[faces]])[:, 0]
    normals = (weights @ solid.mesh.normals[faces])[:, 0]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    seen = normals @ one.rotation.T
    eye = -(points @ one.rotation.T + one.translation_m)
    eye /= np.linalg.norm(eye, axis=1, keepdims=True)
    half = eye + towards_light
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    diffuse = _AMBIENT + _DIFFUSE * np.clip(seen @ towards_light, 0.0, None)
    gloss = _GLOSS * np.clip((seen * half).sum(axis=1), 0.0, None) ** _SHININESS
    shaded: FloatArray = solid.texture.colors(points, normals) * diffuse[:, None] + gloss[:, None]
    return shaded


def _blur(image: FloatArray, side: float) -> FloatArray:
    """Each pixel mixed with its neighbors, which have a weight of ``side`` each, along both axes."""
    for axis in (0, 1):
        ahead, behind = np.roll(image, 1, axis), np.roll(image, -1, axis)
        edge = [slice(None)] * 3
        edge[axis] = slice(0, 1)
        ahead[tuple(edge)] = image[tuple(edge)]
        edge[axis] = slice(-1, None)
        behind[tuple(edge)] = image[tuple(edge)]
        image = (image + side * (ahead + behind)) / (1.0 + 2.0 * side)
    return image
