"""The JSON files of one BOP scene: ``scene_camera.json``, ``scene_gt.json`` and ``scene_gt_info.json``.

Lengths are millimeters, and whole pixel coordinates are the centers of pixels. What is read here is handed on
in meters, and with pixel edges at whole numbers, as everywhere else: principal points move by half a pixel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np

from anydet.data.dataset.oddities import Found, Kind
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.geometry.rotations import nearest_rotation
from anydet.inputs import read_json
from anydet.types import FloatArray, Intrinsics, Size
from anydet_bop.layout import CAMERA_FILE, COCO_FILE, INFO_FILE, TRUTH_FILE

HALF_PIXEL = 0.5
"""From coordinates whose whole numbers are centers of pixels to those whose whole numbers are edges."""
METERS = 0.001
_ROUNDED = 1e-3
"""How far R R^T of a published matrix, which has a few digits, may be from the identity unnoticed."""
_INEXACT = 0.05
"""How far it may be at all; LM-O's own are off by up to 0.0096."""
_NOT_ORTHONORMAL = Kind(
    "inexact rotations",
    "objects whose cam_R_m2c is not orthonormal",
    "the nearest rotation is taken",
    "",
    fix="write rotations with more digits",
)
_T = TypeVar("_T")
_Nine = Annotated[list[float], msgspec.Meta(min_length=9, max_length=9)]


class Camera(msgspec.Struct):
    """An image in ``scene_camera.json``."""

    cam_K: _Nine  # noqa: N815 - BOP's name
    depth_scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Truth(msgspec.Struct):
    """An object in ``scene_gt.json``."""

    obj_id: int
    cam_R_m2c: _Nine  # noqa: N815 - BOP's name
    cam_t_m2c: tuple[float, float, float]


class _CocoImage(msgspec.Struct):
    id: int
    width: Annotated[int, msgspec.Meta(gt=0)]
    height: Annotated[int, msgspec.Meta(gt=0)]


class _Coco(msgspec.Struct):
    """What is read of ``scene_gt_coco.json``."""

    images: list[_CocoImage]


class _Sensor(msgspec.Struct):
    """What is read of ``camera.json``."""

    width: int = 0
    height: int = 0


class Info(msgspec.Struct):
    """An object in ``scene_gt_info.json``."""

    bbox_visib: tuple[float, float, float, float]
    visib_fract: float = 1.0
    px_count_visib: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SceneObject:
    """One object on one image.

    Attributes:
        number: of its model.
        rotation: (3, 3) object to camera.
        translation_m: (3,) meters, camera frame.
        visible_xywh_px: box around what is seen of it, without size where nothing is; ``None`` where the
            scene does not state it.
        visible_px: number of pixels that show it, or ``None``.
        visibility: fraction of its silhouette that is seen; 1 where the scene does not state it.
    """

    number: int
    rotation: FloatArray
    translation_m: FloatArray
    visible_xywh_px: tuple[float, float, float, float] | None
    visible_px: int | None
    visibility: float


@dataclass(frozen=True, slots=True, eq=False)
class SceneImage:
    """One image of a scene.

    Attributes:
        number: of the image.
        camera: intrinsics, pixel edges at whole numbers; ``None`` where the scene does not state it.
        depth_scale: millimeters of one unit of its depth map.
        objects: in the order of the file; ``None`` where the scene has no ``scene_gt.json``.
    """

    number: int
    camera: Intrinsics | None
    depth_scale: float
    objects: tuple[SceneObject, ...] | None


def read_scene(folder: Path, found: Found) -> tuple[SceneImage, ...]:
    """The images of a scene by number.

    Args:
        folder: the scene.
        found: counts what is odd and read nevertheless.

    Raises:
        DatasetError: that names file, image and object of what is malformed or does not fit together.
    """
    cameras = _read(folder / CAMERA_FILE, dict[int, Camera], {})
    truths = _read(folder / TRUTH_FILE, dict[int, list[Truth]], {})
    infos = _read(folder / INFO_FILE, dict[int, list[Info]], {})
    known = (folder / TRUTH_FILE).is_file()
    return tuple(
        SceneImage(
            number,
            _camera(folder / CAMERA_FILE, number, cameras[number]) if number in cameras else None,
            cameras[number].depth_scale if number in cameras else 1.0,
            _objects(folder, number, truths.get(number, []), infos.get(number), found) if known else None,
        )
        for number in sorted(cameras.keys() | truths.keys())
    )


def read_sizes(folder: Path) -> dict[int, Size]:
    """(width, height) of the images of a scene by number, from its ``scene_gt_coco.json``; none without."""
    images = _read(folder / COCO_FILE, _Coco, _Coco([])).images
    return {image.id: (image.width, image.height) for image in images}


def camera_size(root: Path) -> Size | None:
    """(width, height) of all images: what all of the data set's ``camera*.json`` state, or ``None``."""
    sizes = {
        (sensor.width, sensor.height)
        for file in sorted(root.glob("camera*.json"))
        if (sensor := _read(file, _Sensor, _Sensor())).width and sensor.height
    }
    return sizes.pop() if len(sizes) == 1 else None


def _read(path: Path, kind: type[_T], absent: _T) -> _T:
    """The file; ``absent`` where there is none."""
    try:
        return msgspec.json.decode(read_json(path), type=kind)
    except FileNotFoundError:
        return absent
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise DatasetError(f"{path}: {exc}", fix="correct or download it again") from exc


def _camera(path: Path, number: int, camera: Camera) -> Intrinsics:
    matrix = np.array(camera.cam_K).reshape(3, 3)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0) or not np.allclose(
        matrix[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]], [0, 0, 0, 0, 1], atol=1e-6
    ):
        raise DatasetError(
            f"{path}: image {number}: cam_K: expected fx, 0, cx, 0, fy, cy, 0, 0, 1, got {camera.cam_K}",
            fix="correct it; cameras with skew cannot be read",
        )
    fx, fy, cx, cy = matrix[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    return Intrinsics(fx, fy, cx + HALF_PIXEL, cy + HALF_PIXEL)


def _objects(
    folder: Path, number: int, truths: list[Truth], infos: list[Info] | None, found: Found
) -> tuple[SceneObject, ...]:
    if infos is not None and len(infos) != len(truths):
        raise DatasetError(
            f"{folder / INFO_FILE}: image {number}: {len(infos)} objects, but {len(truths)} in {TRUTH_FILE}",
            fix="download both files again, or compute the former anew",
        )
    where = f"{folder / TRUTH_FILE}: image {number}"
    return tuple(
        _object(f"{where}: object {i}", truth, infos[i] if infos else None, found)
        for i, truth in enumerate(truths)
    )


def _rotation(where: str, truth: Truth, found: Found) -> FloatArray:
    """(3, 3) as it is written, or the nearest rotation."""
    matrix = np.array(truth.cam_R_m2c).reshape(3, 3)
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(matrix @ matrix.T - np.eye(3)).max()
    if not off <= _INEXACT or np.linalg.det(matrix) < 0:
        raise DatasetError(
            f"{where}: cam_R_m2c is not a rotation (orthonormal, determinant 1): {truth.cam_R_m2c}",
            fix="correct it",
        )
    if off <= _ROUNDED:
        return matrix
    found.add(_NOT_ORTHONORMAL, f"{where}: R R^T is off the identity by {off:.2g}")
    nearest: FloatArray = nearest_rotation(matrix[None])[0]
    return nearest


def _object(where: str, truth: Truth, info: Info | None, found: Found) -> SceneObject:
    # bop_toolkit writes a box of -1 for objects without a visible pixel.
    seen = info is not None and info.px_count_visib != 0
    return SceneObject(
        truth.obj_id,
        _rotation(where, truth, found),
        np.array(truth.cam_t_m2c) * METERS,
        None if info is None else info.bbox_visib if seen else (0.0, 0.0, 0.0, 0.0),
        None if info is None else info.px_count_visib,
        1.0 if info is None else info.visib_fract,
    )
