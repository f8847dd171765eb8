"""The JSON files of one BOP scene: ``scene_camera.json``, ``scene_gt.json`` and ``scene_gt_info.json``.

Lengths are millimeters, and whole pixel coordinates are the centers of pixels. What is read here is handed on
in meters, and with pixel edges at whole numbers, as everywhere else: principal points move by half a pixel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np

from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.inputs import read_json
from anydet.types import FloatArray, Intrinsics
from anydet_bop.layout import CAMERA_FILE, INFO_FILE, TRUTH_FILE

HALF_PIXEL = 0.5
"""From coordinates whose whole numbers are centers of pixels to those whose whole numbers are edges."""
METERS = 0.001
_ROTATION_TOLERANCE = 1e-3
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


def read_scene(folder: Path) -> tuple[SceneImage, ...]:
    """The images of a scene by number.

    Raises:
        DatasetError: that names file, image and object of what is malformed or does not fit together.
    """
    cameras = _read(folder / CAMERA_FILE, dict[int, Camera])
    truths = _read(folder / TRUTH_FILE, dict[int, list[Truth]])
    infos = _read(folder / INFO_FILE, dict[int, list[Info]])
    known = (folder / TRUTH_FILE).is_file()
    return tuple(
        SceneImage(
            number,
            _camera(folder / CAMERA_FILE, number, cameras[number]) if number in cameras else None,
            cameras[number].depth_scale if number in cameras else 1.0,
            _objects(folder, number, truths.get(number, []), infos.get(number)) if known else None,
        )
        for number in sorted(cameras.keys() | truths.keys())
    )


def _read(path: Path, kind: type[dict[int, _T]]) -> dict[int, _T]:
    """The file; empty where there is none."""
    try:
        return msgspec.json.decode(read_json(path), type=kind)
    except FileNotFoundError:
        return {}
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
    folder: Path, number: int, truths: list[Truth], infos: list[Info] | None
) -> tuple[SceneObject, ...]:
    if infos is not None and len(infos) != len(truths):
        raise DatasetError(
            f"{folder / INFO_FILE}: image {number}: {len(infos)} objects, but {len(truths)} in {TRUTH_FILE}",
            fix="download both files again, or compute the former anew",
        )
    return tuple(
        _object(f"{folder / TRUTH_FILE}: image {number}: object {i}", truth, infos[i] if infos else None)
        for i, truth in enumerate(truths)
    )


def _object(where: str, truth: Truth, info: Info | None) -> SceneObject:
    rotation = np.array(truth.cam_R_m2c).reshape(3, 3)
    # Published matrices are rounded to a few digits, so that exact orthonormality cannot be required.
    slack = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if slack > _ROTATION_TOLERANCE or np.linalg.det(rotation) < 0:
        raise DatasetError(
            f"{where}: cam_R_m2c is not a rotation (orthonormal, determinant 1): {truth.cam_R_m2c}",
            fix="correct it",
        )
    # bop_toolkit writes a box of -1 for objects without a visible pixel.
    seen = info is not None and info.px_count_visib != 0
    return SceneObject(
        truth.obj_id,
        rotation,
        np.array(truth.cam_t_m2c) * METERS,
        None if info is None else info.bbox_visib if seen else (0.0, 0.0, 0.0, 0.0),
        None if info is None else info.px_count_visib,
        1.0 if info is None else info.visib_fract,
    )
