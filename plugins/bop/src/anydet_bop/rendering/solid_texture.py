"""``SolidTexture``: a color at every point of a solid, as if it were carved out of marble.

It needs no coordinates on the surface, and is as symmetric as its solid: averaged over the turns that change
nothing, or a function of radius and height alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.types import FloatArray

_STEEPNESS = 3.0
_TINT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class SolidTexture:
    """Patches of color, and a tint by the direction in which the surface looks.

    Attributes:
        base: (3,) RGB, 0 to 255.
        tint: (6, 3) RGB for each of x, y, z of the normal and their squares.
        waves: (K, 3) radians a meter.
        phases: (K,) radians.
        patches: (K, 3) RGB of each wave.
        turns: (D, 3, 3) rotations that change nothing, the identity first.
        round: whether every turn about the z axis changes nothing.
    """

    base: FloatArray
    tint: FloatArray
    waves: FloatArray
    phases: FloatArray
    patches: FloatArray
    turns: FloatArray
    round: bool = False

    @classmethod
    def random(
        cls,
        rng: np.random.Generator,
        base: tuple[float, float, float],
        *,
        waves: int = 8,
        contrast: float = 70.0,
        length_m: tuple[float, float] = (0.03, 0.12),
        turns: FloatArray | None = None,
        is_round: bool = False,
    ) -> SolidTexture:
        """A texture around a color.

        Args:
            rng: generator of every choice.
            base: RGB, 0 to 255.
            waves: number of patterns that are laid over each other; 0 leaves the solid plain.
            contrast: how far colors are from ``base``.
            length_m: shortest and longest wave.
            turns: (D, 3, 3) rotations that change nothing, or ``None`` for none.
            is_round: whether every turn about the z axis changes nothing.
        """
        way = rng.normal(size=(waves, 3))
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        shortest, longest = np.log(length_m).tolist()
        length = np.exp(rng.uniform(shortest, longest, (waves, 1)))
        return cls(
            base=np.array(base, np.float64),
            tint=rng.normal(0.0, _TINT * contrast, (6, 3)),
            waves=2 * np.pi * way / length,
            phases=rng.uniform(0, 2 * np.pi, waves),
            patches=rng.normal(0.0, contrast / np.sqrt(max(waves, 1)), (waves, 3)),
            turns=np.eye(3)[None] if turns is None else turns,
            round=is_round,
        )

    def colors(self, points_m: FloatArray, normals: FloatArray) -> FloatArray:
        """(P, 3) RGB, 0 to 255.

        Args:
            points_m: (P, 3) in the frame of the object.
            normals: (P, 3) unit vectors in the frame of the object.
        """
        if self.round:
            points_m, normals = _meridian(points_m, normals)
        colors = np.zeros((len(points_m), 3))
        for turn in self.turns:
            towards = normals @ turn.T
            colors += np.concatenate([towards, towards**2], axis=1) @ self.tint
            colors += (
                np.tanh(_STEEPNESS * np.cos(points_m @ turn.T @ self.waves.T + self.phases)) @ self.patches
            )
        return np.clip(self.base + colors / len(self.turns), 10.0, 245.0)


def _meridian(points_m: FloatArray, normals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points and normals turned about the z axis into the half plane y = 0, x >= 0."""
    radius = np.hypot(points_m[:, 0], points_m[:, 1])
    outward = (normals[:, :2] * points_m[:, :2]).sum(axis=1) / np.maximum(radius, 1e-12)
    none = np.zeros(len(radius))
    return (
        np.stack([radius, none, points_m[:, 2]], axis=1),
        np.stack([outward, none, normals[:, 2]], axis=1),
    )
