"""Object models as BOP lays them out: ``models_info.json`` beside ``obj_000001.ply``, ..., in millimeters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from anydet.errors import DatasetError
from anydet.inputs import read_json
from anydet.types import FloatArray, ObjectModel, SymmetryAxis
from anydet_bop.ply import read_vertices

_METERS = 0.001
INFO = "models_info.json"
# BOP's scores are defined on models_eval, whose meshes have fewer vertices.
_FOLDERS = ("", "models_eval", "models")
_Triple = tuple[float, float, float]


class _Axis(msgspec.Struct):
    axis: _Triple
    offset: _Triple = (0.0, 0.0, 0.0)


class _Info(msgspec.Struct):
    diameter: Annotated[float, msgspec.Meta(gt=0)]
    name: str | None = None
    symmetries_discrete: list[Annotated[list[float], msgspec.Meta(min_length=16, max_length=16)]] = []
    symmetries_continuous: list[_Axis] = []


def read_models(folder: Path) -> dict[int, ObjectModel]:
    """The models of a folder by object id, in meters.

    Args:
        folder: with ``models_info.json``, or a data set's with ``models_eval/`` or ``models/`` in it.

    Raises:
        DatasetError: that names the file, and in it the object, that is missing or malformed.
    """
    path = find_models(folder)
    if path is None:
        raise DatasetError(
            f"{folder}: no {INFO} in it, nor in its folders {' and '.join(_FOLDERS[1:])}",
            fix="give a folder of models as BOP lays them out: models_info.json, obj_000001.ply, ...",
        )
    return {key: _model(path, key, info) for key, info in _infos(path).items()}


def find_models(folder: Path) -> Path | None:
    """The ``models_info.json`` that ``read_models`` reads; ``None`` where there is none."""
    places = [folder / name / INFO for name in _FOLDERS]
    return next((place for place in places if place.is_file()), None)


def model_names(path: Path) -> dict[int, str]:
    """Names of the objects of a ``models_info.json`` by object id; raises as ``read_models``."""
    return {key: _name(key, info) for key, info in _infos(path).items()}


def _infos(path: Path) -> dict[int, _Info]:
    try:
        infos = msgspec.json.decode(read_json(path), type=dict[int, _Info])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise DatasetError(f"{path}: {exc}", fix="correct or download it again") from exc
    return dict(sorted(infos.items()))


def _name(key: int, info: _Info) -> str:
    return info.name or f"obj_{key:06d}"


def _model(path: Path, key: int, info: _Info) -> ObjectModel:
    file = path.parent / f"obj_{key:06d}.ply"
    motions = np.array(info.symmetries_discrete, np.float64).reshape(-1, 4, 4)
    for motion in motions:
        if not np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-3):
            raise DatasetError(f"{path}: object {key}: a symmetry is not a rigid motion", fix="correct it")
    # Only the translation has a unit.
    motions[:, :3, 3] *= _METERS
    return ObjectModel(
        name=_name(key, info),
        points_m=_points(file),
        diameter_m=info.diameter * _METERS,
        # BOP leaves the identity out; here it comes first, so that the table is never empty.
        symmetries=np.concatenate([np.eye(4)[None], motions]),
        axes=tuple(_axis(path, key, axis) for axis in info.symmetries_continuous),
    )


def _points(file: Path) -> FloatArray:
    points = read_vertices(file) * _METERS
    if not len(points) or not np.isfinite(points).all():
        raise DatasetError(f"{file}: no vertices, or not finite ones", fix="write the model again")
    return points


def _axis(path: Path, key: int, axis: _Axis) -> SymmetryAxis:
    length = float(np.linalg.norm(axis.axis))
    if not np.isfinite(length) or length == 0:
        raise DatasetError(f"{path}: object {key}: an axis of symmetry has no direction", fix="correct it")
    x, y, z = (np.array(axis.axis) / length).tolist()
    px, py, pz = (np.array(axis.offset) * _METERS).tolist()
    return SymmetryAxis((x, y, z), (px, py, pz))
