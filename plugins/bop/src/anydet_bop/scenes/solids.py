"""The solids of pose scenes: their shape, how they are painted, and in which poses they look the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from anydet.types import ClassTable, FloatArray, ObjectModel, SymmetryAxis
from anydet_bop.rendering.mesh import Mesh, box, join, lathe
from anydet_bop.rendering.solid_texture import SolidTexture

CLASSES = ClassTable(("carton", "can", "bracket", "beam", "bottle"), (1, 2, 3, 4, 5))
"""Names, and numbers of the models where they are written."""
_HALF_TURNS = np.array(
    [np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))], float
)


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """One object that scenes show.

    Attributes:
        mesh: its surface, in as few triangles as do.
        fine_mesh: the same surface with more vertices.
        texture: its paint, as symmetric as it is.
        model: as evaluators take it: the vertices of ``fine_mesh``, and the poses in which it looks the same.
    """

    mesh: Mesh
    fine_mesh: Mesh
    texture: SolidTexture
    model: ObjectModel


@cache
def solids() -> tuple[Solid, ...]:
    """All of them, in the order of ``CLASSES``.

    A carton, a can and a bracket that look different from everywhere, a beam that looks the same after half a
    turn about each of its axes, and a bottle that looks the same at every angle around its own.
    """
    can = lathe([(0.0, -0.055), (0.034, -0.055), (0.034, 0.055), (0.0, 0.055)])
    bracket = join(
        [
            box((-0.06, -0.03, -0.05), (0.06, 0.03, -0.02)),
            box((-0.06, -0.03, -0.02), (-0.025, 0.03, 0.06)),
            box((0.02, 0.0, -0.02), (0.05, 0.03, 0.01)),
        ]
    )
    bottle = lathe(
        [
            (0.0, -0.08),
            (0.032, -0.08),
            (0.032, 0.02),
            (0.012, 0.05),
            (0.012, 0.075),
            (0.017, 0.075),
            (0.017, 0.09),
            (0.0, 0.09),
        ]
    )
    carton = box((-0.055, -0.035, -0.022), (0.055, 0.035, 0.022))
    beam = box((-0.08, -0.022, -0.015), (0.08, 0.022, 0.015))
    return (
        _solid("carton", carton, (190.0, 150.0, 60.0), refined=2),
        _solid("can", can, (60.0, 110.0, 190.0), refined=1),
        _solid("bracket", bracket, (90.0, 165.0, 90.0), refined=2),
        _solid("beam", beam, (185.0, 80.0, 80.0), refined=2, turns=_HALF_TURNS),
        _solid("bottle", bottle, (150.0, 90.0, 165.0), refined=0, is_round=True),
    )


def object_models() -> dict[int, ObjectModel]:
    """The models by class id."""
    return {class_id: solid.model for class_id, solid in enumerate(solids())}


def _solid(
    name: str,
    mesh: Mesh,
    base: tuple[float, float, float],
    *,
    refined: int,
    turns: FloatArray = _HALF_TURNS[:1],
    is_round: bool = False,
) -> Solid:
    """A solid around its origin.

    Args:
        name: of its class.
        mesh: its surface.
        base: RGB of its paint.
        refined: how often each triangle of the model is cut into 4, as metrics measure at vertices.
        turns: (D, 3, 3) rotations that change nothing, the identity first.
        is_round: whether every turn about its z axis changes nothing.
    """
    rng = np.random.default_rng(CLASSES.names.index(name) + 1)
    texture = SolidTexture.random(rng, base, turns=turns, is_round=is_round)
    motions = np.tile(np.eye(4), (len(turns), 1, 1))
    motions[:, :3, :3] = turns
    axes = (SymmetryAxis((0.0, 0.0, 1.0), (0.0, 0.0, 0.0)),) if is_round else ()
    fine = mesh.refined(refined)
    return Solid(mesh, fine, texture, ObjectModel(name, fine.points_m, mesh.diameter_m, motions, axes))
