"""Object models as BOP lays them out: ``models_info.json`` beside ``obj_000001.ply``, ..., in millimeters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from anydet.data.ply import read_vertices
from anydet.errors import DatasetError
from anydet.types import ClassTable, FloatArray, GroundTruthColumns, ObjectModel, SymmetryAxis

_METERS = 0.001
INFO = "models_info.json"
_FOLDERS = ("", "models_eval", "models")
_NUMBERED = re.compile(r"(?:obj_?)?0*(\d+)")
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
        infos = msgspec.json.decode(path.read_bytes(), type=dict[int, _Info])
    except (OSError, msgspec.DecodeError, RecursionError) as exc:
        raise DatasetError(f"{path}: {exc}", fix="correct or download it again") from exc
    return dict(sorted(infos.items()))


def _name(key: int, info: _Info) -> str:
    return info.name or f"obj_{key:06d}"


def with_models(ground_truth: GroundTruthColumns, folder: Path) -> GroundTruthColumns:
    """The same with the models of a folder, each for its class.

    Raises:
        DatasetError: as ``read_models`` and ``join_models``.
    """
    return replace(ground_truth, objects=join_models(read_models(folder), ground_truth.classes))


def join_models(models: Mapping[int, ObjectModel], classes: ClassTable) -> dict[int, ObjectModel]:
    """Models by class id: by name, by a class name like ``obj_000005`` or ``5``, or by the source's own ids.

    The last is done only where these ids say something: categories that a file numbers itself, or ids that
    are those of the objects one for one. A class without a model is left out.

    Raises:
        DatasetError: there is no telling which model belongs to which class.
    """
    by_name = {model.name: model for model in models.values()}
    joined: dict[int, ObjectModel] = {}
    for class_id, name in enumerate(classes.names):
        number = _NUMBERED.fullmatch(name)
        found = by_name.get(name) or (models.get(int(number[1])) if number else None)
        if found is not None:
            joined[class_id] = found
    own = classes.source_ids != tuple(range(len(classes))) or set(classes.source_ids) == set(models)
    if not joined and own:
        joined = {i: models[key] for i, key in enumerate(classes.source_ids) if key in models}
    if joined:
        return joined
    raise DatasetError(
        f"classes {', '.join(classes.names[:5])}{', ...' * (len(classes) > 5)} and objects "
        f"{', '.join(map(str, [*models][:5]))}{', ...' * (len(models) > 5)}: which is which?",
        fix=f'write the class into {INFO} ("1": {{"name": "mug", ...}}), or call classes obj_000001, ...',
    )


def _model(path: Path, key: int, info: _Info) -> ObjectModel:
    file = path.parent / f"obj_{key:06d}.ply"
    motions = np.array(info.symmetries_discrete, np.float64).reshape(-1, 4, 4)
    for motion in motions:
        if not np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-3):
            raise DatasetError(f"{path}: object {key}: a symmetry is not a rigid motion", fix="correct it")
    motions[:, :3, 3] *= _METERS
    return ObjectModel(
        name=_name(key, info),
        points_m=_points(file),
        diameter_m=info.diameter * _METERS,
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
