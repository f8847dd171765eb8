"""Rotations: the 6-D representation of Zhou et al. 2019 and its two storage orders."""

from __future__ import annotations

import numpy as np

from anydet.types import FloatArray


def rot6d_to_matrix(rot6d: FloatArray) -> FloatArray:
    """(N, 6) first two COLUMNS of R to (N, 3, 3) by Gram-Schmidt.

    Source: Zhou et al. 2019, "On the Continuity of Rotation Representations in Neural Networks", eq. 15.
    """
    a, b = rot6d[:, :3], rot6d[:, 3:]
    x = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b - (x * b).sum(axis=1, keepdims=True) * x
    y = b / np.linalg.norm(b, axis=1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=2)


def matrix_to_rot6d(rotations: FloatArray) -> FloatArray:
    """(N, 3, 3) to the (N, 6) first two columns."""
    rot6d: FloatArray = np.concatenate([rotations[:, :, 0], rotations[:, :, 1]], axis=1)
    return rot6d


def rot6d_rows_to_columns(rot6d: FloatArray) -> FloatArray:
    """(N, 6) of tools that store the first two ROWS of R, to the first two columns of the same R."""
    return matrix_to_rot6d(rot6d_to_matrix(rot6d).transpose(0, 2, 1))


def nearest_rotation(matrices: FloatArray) -> FloatArray:
    """(N, 3, 3) rotations at the smallest Frobenius distance from any (N, 3, 3) matrices.

    Source: Umeyama 1991, "Least-Squares Estimation of Transformation Parameters Between Two Point Patterns",
        eq.
    40: the factors of the singular value decomposition, the last axis turned where they mirror.
    """
    left, _, right = np.linalg.svd(matrices)
    left[..., :, 2] *= np.linalg.det(left @ right)[..., None]
    rotations: FloatArray = left @ right
    return rotations


def turn_to(rays: FloatArray) -> FloatArray:
    """(N, 3, 3) least rotations that take the optical axis to (N, 3) rays before the camera (z > 0)."""
    x, y, z = (rays / np.linalg.norm(rays, axis=1, keepdims=True)).T
    # Rodrigues' formula without its sine in the denominator, which is 0 for the optical axis itself.
    across = -x * y / (1 + z)
    entries = [1 - x * x / (1 + z), across, x, across, 1 - y * y / (1 + z), y, -x, -y, z]
    return np.stack(entries, axis=1).reshape(-1, 3, 3)


def turn_by(vector_rad: FloatArray) -> FloatArray:
    """(3, 3) the turn around a vector (3,) by its length in radians (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector_rad))
    if not angle:
        return np.eye(3)
    x, y, z = vector_rad / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: FloatArray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn


def random_rotation(rng: np.random.Generator) -> FloatArray:
    """(3, 3) a rotation, all equally likely: that of a quaternion with normally distributed components.

    Source: Muller 1959, "A Note on a Method for Generating Points Uniformly on n-dimensional Spheres".
    """
    w, x, y, z = (values := rng.normal(size=4)) / np.linalg.norm(values)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
