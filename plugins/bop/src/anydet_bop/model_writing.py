"""Write object models as BOP lays them out: ``obj_000001.ply``, ..., ``models_info.json``, in millimeters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anydet.types import ObjectModel
from anydet_bop.models import INFO
from anydet_bop.ply import write_mesh
from anydet_bop.scenes.solids import Solid

_MILLIMETERS = 1000.0


def write_models(folder: Path, solids: Mapping[int, Solid]) -> None:
    """Write the models of solids, colored, with diameter, extents and symmetries.

    Args:
        folder: takes the files; made where it is not there.
        solids: by number of the object.
    """
    folder.mkdir(exist_ok=True)
    infos = {}
    for number, solid in solids.items():
        mesh = solid.fine_mesh
        normals = np.zeros_like(mesh.points_m)
        # PLY has one normal a vertex, the mesh one a corner of each triangle.
        np.add.at(normals, mesh.faces.ravel(), mesh.normals.reshape(-1, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        colors = solid.texture.colors(mesh.points_m, normals).round().astype(np.uint8)
        write_mesh(
            folder / f"obj_{number:06d}.ply", mesh.points_m * _MILLIMETERS, mesh.faces, normals, colors
        )
        infos[str(number)] = model_info(solid.model)
    (folder / INFO).write_text(json.dumps(infos, indent=2), "utf-8")


def model_info(model: ObjectModel) -> dict[str, Any]:
    """The entry of a model in ``models_info.json``; ``name`` is not BOP's, and joins it to its class."""
    low, high = model.points_m.min(axis=0), model.points_m.max(axis=0)
    info: dict[str, Any] = {"name": model.name, "diameter": model.diameter_m * _MILLIMETERS}
    for axis, least, most in zip("xyz", low.tolist(), high.tolist(), strict=True):
        info |= {f"min_{axis}": least * _MILLIMETERS, f"size_{axis}": (most - least) * _MILLIMETERS}
    # The first is the identity, which BOP leaves out.
    if len(model.symmetries) > 1:
        motions = model.symmetries[1:] * np.array([[1, 1, 1, _MILLIMETERS]] * 3 + [[1, 1, 1, 1]])
        info["symmetries_discrete"] = motions.reshape(-1, 16).tolist()
    if model.axes:
        info["symmetries_continuous"] = [
            {"axis": list(axis.direction), "offset": [_MILLIMETERS * v for v in axis.point_m]}
            for axis in model.axes
        ]
    return info
