"""Sidecars: ``<stem>.json`` beside a label file, with camera, poses and side files of one image.

Known keys are ``image_hw``, ``pose``, ``R_gt``, ``t_gt``, ``intrinsics``, ``K_gt``, ``mask_path``,
``depth_path`` and ``cad_points``; any other is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from anydet.data.record.containment import contained
from anydet.errors import DatasetError
from anydet.inputs import read_json, require_text
from anydet.types import FloatArray, Intrinsics, Poses, Size

KNOWN_KEYS = frozenset(
    ("image_hw", "pose", "R_gt", "t_gt", "intrinsics", "K_gt", "mask_path", "depth_path", "cad_points")
)
_ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Sidecar:
    """Content of a sidecar, checked.

    Attributes:
        stated_wh: (width, height) of the image in pixels.
        camera: intrinsics, from ``K_gt`` or else ``intrinsics``.
        poses: rotations object to camera and translations in meters, one row a label line.
        mask_path: file inside the data set.
        depth_path: file inside the data set.
        cad_points_path: file inside the data set.
        extra: unknown keys, and ``cad_points`` where its values are inline.
    """

    stated_wh: Size | None = None
    camera: Intrinsics | None = None
    poses: Poses | None = None
    mask_path: Path | None = None
    depth_path: Path | None = None
    cad_points_path: Path | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def load_sidecar(path: Path, *, root: Path, objects: int) -> Sidecar:
    """Read a sidecar; an empty one where there is no such file.

    Args:
        path: the JSON file.
        root: folder of the data set; side files must be in it, and are looked for beside the sidecar, then
            there.
        objects: number of label lines, which is the number of poses.

    Raises:
        DatasetError: that names file and key where the sidecar is malformed or names a file outside ``root``.
    """
    try:
        data = msgspec.json.decode(read_json(path))
    except FileNotFoundError:
        return Sidecar()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        require_text(path)
        raise DatasetError(f"{path}: cannot be read as JSON: {exc}", fix="correct or remove it") from exc
    if not isinstance(data, dict):
        raise DatasetError(f"{path}: expected an object, got {type(data).__name__}", fix="write {...}")
    reader = _Reader(path, root, data)
    inline = {"cad_points": data["cad_points"]} if reader.has_inline_points() else {}
    return Sidecar(
        stated_wh=reader.size_wh(),
        camera=reader.camera(),
        poses=reader.poses(objects),
        mask_path=reader.file("mask_path"),
        depth_path=reader.file("depth_path"),
        cad_points_path=None if inline else reader.file("cad_points"),
        extra={key: value for key, value in data.items() if key not in KNOWN_KEYS} | inline,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """One sidecar's keys, each checked as it is read."""

    path: Path
    root: Path
    data: Mapping[str, Any]

    def size_wh(self) -> Size | None:
        value = self.data.get("image_hw")
        if value is None:
            return None
        sides = self._array("image_hw", value, (2,), "[height, width] in whole pixels")
        if (sides < 1).any() or (sides != np.round(sides)).any():
            raise self._malformed("image_hw", "[height, width] in whole pixels", value)
        return int(sides[1]), int(sides[0])

    def camera(self) -> Intrinsics | None:
        key = "K_gt" if self.data.get("K_gt") is not None else "intrinsics"
        value = self.data.get(key)
        if value is None:
            return None
        expected = "{fx, fy, cx, cy}, [fx, fy, cx, cy] or [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels"
        if isinstance(value, dict) and key == "intrinsics":
            value = [value.get(name) for name in ("fx", "fy", "cx", "cy")]
        if key == "K_gt" or (isinstance(value, list) and len(value) == 3):
            matrix = self._array(key, value, (3, 3), expected)
            four = matrix[[0, 1, 0, 1], [0, 1, 2, 2]]
            rest = matrix[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]]
            if not np.allclose(rest, [0, 0, 0, 0, 1], atol=1e-6):
                raise self._malformed(key, expected, value)
        else:
            four = self._array(key, value, (4,), expected)
        if (four[:2] <= 0).any():
            raise self._malformed(key, "fx and fy above 0", value)
        return Intrinsics(*four.tolist())

    def poses(self, objects: int) -> Poses | None:
        """Rows of ``pose``, overruled by ``R_gt`` and ``t_gt``."""
        rotations = np.full((objects, 3, 3), np.nan)
        translations = np.full((objects, 3), np.nan)
        for row, pose in enumerate(self._rows("pose", objects, depth=2)):
            self._put_pose(pose, row, rotations, translations)
        for row, value in enumerate(self._rows("R_gt", objects, depth=2)):
            self._put_rotation("R_gt", value, row, rotations)
        for row, value in enumerate(self._rows("t_gt", objects, depth=1)):
            self._put_translation("t_gt", value, row, translations)
        known_r, known_t = (not np.isnan(column).all() for column in (rotations, translations))
        if not objects or not (known_r or known_t):
            return None
        return Poses(
            rotations=rotations if known_r else None, translations_m=translations if known_t else None
        )

    def _put_pose(self, pose: Any, row: int, rotations: FloatArray, translations: FloatArray) -> None:
        if isinstance(pose, dict):
            self._put_rotation("pose.R", pose.get("R"), row, rotations)
            self._put_translation("pose.t", pose.get("t"), row, translations)
        elif pose is not None:
            matrix = self._array("pose", pose, (4, 4), "a 4x4 matrix or {R, t}")
            if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
                raise self._malformed("pose", "a last row 0, 0, 0, 1", pose)
            self._put_rotation("pose", matrix[:3, :3].tolist(), row, rotations)
            translations[row] = matrix[:3, 3]

    def _put_rotation(self, key: str, value: Any, row: int, rotations: FloatArray) -> None:
        if value is None:
            return
        expected = "a 3x3 rotation, object to camera (orthonormal, determinant 1)"
        matrix = self._array(key, value, (3, 3), expected)
        slack = np.abs(matrix @ matrix.T - np.eye(3)).max()
        if slack > _ROTATION_TOLERANCE or np.linalg.det(matrix) < 0:
            raise self._malformed(key, expected, value)
        rotations[row] = matrix

    def _put_translation(self, key: str, value: Any, row: int, translations: FloatArray) -> None:
        if value is not None:
            translations[row] = self._array(key, value, (3,), "3 numbers in meters")

    def _rows(self, key: str, objects: int, *, depth: int) -> Sequence[Any]:
        """The values of ``key``, one a label line: a list of them, or the only one."""
        value = self.data.get(key)
        if value is None:
            return ()
        several = isinstance(value, list) and (
            _depth(value) > depth or all(one is None or isinstance(one, dict) for one in value)
        )
        rows: list[Any] = value if several else [value]
        if len(rows) != objects:
            raise DatasetError(
                f"{self.path}: {key}: {len(rows)} given for {objects} label lines",
                fix="give a list with one entry a label line, null where it is unknown",
            )
        return rows

    def file(self, key: str) -> Path | None:
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self._malformed(key, "the path of a file", value)
        beside = self.path.parent / value
        named = beside if beside.exists() else self.root / value
        try:
            return contained(self.root, named.absolute())
        except DatasetError as exc:
            raise DatasetError(f"{self.path}: {key}: {exc.problem}", fix=exc.fix) from exc

    def has_inline_points(self) -> bool:
        value = self.data.get("cad_points")
        if not isinstance(value, list):
            return False
        self._array("cad_points", value, (len(value), 3), "a path, or a list of [x, y, z]")
        return True

    def _array(self, key: str, value: Any, shape: tuple[int, ...], expected: str) -> FloatArray:
        try:
            array = np.asarray(value)
        except ValueError:  # lists of unequal length
            raise self._malformed(key, expected, value) from None
        if array.dtype.kind not in "iuf" or array.shape != shape:
            raise self._malformed(key, expected, value)
        return array.astype(np.float64)

    def _malformed(self, key: str, expected: str, value: Any) -> DatasetError:
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
        return DatasetError(
            f"{self.path}: {key}: expected {expected}, got {shown}", fix="correct the sidecar"
        )


def _depth(value: Any) -> int:
    """How many lists deep a value is; an object counts as a matrix."""
    if isinstance(value, dict):
        return 2
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
