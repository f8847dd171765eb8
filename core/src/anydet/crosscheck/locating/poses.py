"""Poses that two adapters give: camera, units and axes of translations, and how rotations are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from anydet.columns import row_count
from anydet.crosscheck.locating.columns import line, relations
from anydet.crosscheck.locating.finding import Finding
from anydet.crosscheck.quantities import rotation_matrices
from anydet.geometry.placement import Placement
from anydet.geometry.pose_errors import rotation_error_deg
from anydet.geometry.rotations import turn_to
from anydet.types import DetectionColumns, FloatArray, IntArray, Poses

_EQUAL_DEG = 0.2
_EQUAL = 1e-3
"""Distance of equal translations as a fraction of the distance from the camera."""
_SHARE = 0.98
"""Part of the pairs that an explanation has to fit."""
_TURNED = np.diag([1.0, -1.0, -1.0])
"""Half a turn about x: OpenGL's camera looks along -z, with y upward."""
_UNITS: Mapping[float, str] = {
    1000.0: "translations are in millimeters, not in meters",
    0.001: "translations are in meters where A has millimeters",
}


def explain_poses(
    a: DetectionColumns, b: DetectionColumns, places: Sequence[Placement] | None = None
) -> list[Finding]:
    """What B's poses are of A's, row by row; nothing where they are equal.

    Args:
        a: (P,) detections.
        b: their partners.
        places: where each of ``a.images`` stands in the input, where that is known.
    """
    if a.poses is None or b.poses is None:
        return []
    rays = list(_camera(a, b, places)) or list(_offsets(a.poses, b.poses))
    if rays:
        # Where the rays to objects are others, so are the rotations.
        return rays
    found = [*_translations(a.poses, b.poses), *_rotations(a.poses, b.poses)]
    return found or list(_numbers(a.poses, b.poses))


def _camera(
    a: DetectionColumns, b: DetectionColumns, places: Sequence[Placement] | None
) -> Iterator[Finding]:
    """Depths with the factor between image and input, or places that another camera has."""
    x, y, rows = _both(a.poses, b.poses, "translations_m")
    if len(x) < 3 or _close(x, y):
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        depths = y[:, 2] / x[:, 2]
    evidence = f"depths have a factor of {np.median(depths):.4g}; {_apart(x, y)}"
    if places is not None:
        scale = np.array([np.prod(place.scale_xy) ** 0.5 for place in places])[a.image_index[rows]]
        if np.abs(scale - 1).max() > 1e-3:
            for factor, text in (
                (scale, "the camera's intrinsics are not scaled to the input, in which depths are predicted"),
                (1 / scale, "the camera's intrinsics are scaled to the input once too often"),
            ):
                if _most(np.abs(depths / factor - 1)) <= _EQUAL:
                    yield Finding("poses", text, evidence)
                    return
    if _most(np.abs(depths - 1)) > _EQUAL:
        return
    # Of the same depth: where on the image the center would be seen by a camera of focal length 1.
    fits = [line(x[:, c] / x[:, 2], y[:, c] / y[:, 2]) for c in (0, 1)]
    (sx, tx, left), (sy, ty, other) = fits
    if max(left, other) <= _EQUAL and min(sx, sy) > 0:
        text = (
            f"translations are those of a camera with {1 / sx:.4g} and {1 / sy:.4g} of A's focal lengths, "
            f"and its principal point {-tx / sx:+.3g} and {-ty / sy:+.3g} focal lengths further"
        )
        yield Finding("poses", text, _apart(x, y))


def _translations(a: Poses, b: Poses) -> Iterator[Finding]:
    x, y, _ = _both(a, b, "translations_m")
    if len(x) < 3 or _close(x, y):
        return
    evidence = _apart(x, y)
    if _close(x @ _TURNED, y):
        yield Finding("poses", "translations have y and z reversed, as OpenGL's camera has them", evidence)
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = y[:, 2] / x[:, 2]
    factor = float(np.median(factors))
    if np.isfinite(factor) and factor > 0 and _close(factor * x, y):
        near = [unit for unit in _UNITS if abs(factor / unit - 1) < 1e-3]
        text = _UNITS[near[0]] if near else f"translations are multiplied by {factor:.4g}"
        yield Finding("poses", text, evidence)
        return
    depth = np.log(np.maximum(x[:, 2], 1e-12))
    if _most(np.abs(y[:, 2] - depth)) <= _EQUAL:
        yield Finding("poses", "the exponential of the depth is missing", evidence)
        return
    yield Finding("poses", "translations are decoded differently", evidence, certain=False)


def _offsets(a: Poses, b: Poses) -> Iterator[Finding]:
    """Centers of boxes in the place of the projected centers of objects."""
    x, y, _ = _both(a, b, "offsets_px")
    # Those of boxes that the image cuts are not 0.
    if len(x) and np.median(np.abs(x).max(axis=1)) > 0.05 > 1e3 * np.median(np.abs(y).max(axis=1)):
        text = "the offset of the projected center from the box's is left out"
        yield Finding("poses", text, f"offsets of {len(x)} pairs are 0 in B, and not in A")


def _rotations(a: Poses, b: Poses) -> Iterator[Finding]:
    every = np.arange(row_count(a))
    x, y = rotation_matrices(a, every), rotation_matrices(b, every)
    known = np.isfinite(x).all(axis=(1, 2)) & np.isfinite(y).all(axis=(1, 2))
    x, y = x[known], y[known]
    if len(x) < 3 or _turned_by(x, y) <= _EQUAL_DEG:
        return
    evidence = f"rotations of {len(x)} pairs differ by {np.median(rotation_error_deg(x, y)):.4g} degrees"
    for text, guess in _readings(x, None if a.translations_m is None else a.translations_m[known]):
        if _turned_by(guess, y) <= _EQUAL_DEG:
            yield Finding("poses", text, evidence)
            return
    transposed = x.transpose(0, 2, 1)
    for where, relative in (("camera", y @ transposed), ("object", transposed @ y)):
        first = relative[:1].repeat(len(relative), axis=0)
        if _turned_by(first, relative) <= _EQUAL_DEG:
            degrees = float(rotation_error_deg(first[:1], np.eye(3)[None])[0])
            text = f"rotations are turned by {degrees:.4g} degrees in the frame of the {where}"
            yield Finding("poses", text, evidence)
            return
    yield Finding("poses", "rotations are decoded differently", evidence, certain=False)


def _readings(x: FloatArray, translations_m: FloatArray | None) -> Iterator[tuple[str, FloatArray]]:
    """A's rotations as others read or turn them."""
    yield "rotations are transposed: they take the camera to the object", x.transpose(0, 2, 1)
    yield "rotations are those of OpenGL's camera, with y and z reversed", _TURNED @ x
    yield "rotations are of an object whose y and z axes are reversed", x @ _TURNED
    yield "y and z axes of camera and object are reversed", _TURNED @ x @ _TURNED
    if translations_m is None or not np.isfinite(translations_m).all() or translations_m[:, 2].min() <= 0:
        return
    turns = turn_to(translations_m)
    seen = turns.transpose(0, 2, 1) @ x
    yield "rotations are left as seen along the ray to the object (allocentric)", seen
    yield "rotations are turned to the ray to the object once more", turns @ x
    yield "the first two rows are read as the first two columns of rotations", turns @ seen.transpose(0, 2, 1)


def _numbers(a: Poses, b: Poses) -> Iterator[Finding]:
    """Depths without camera, offsets and uncertainties."""
    names = {
        "log_z": "logarithms of depths",
        "offsets_px": "offsets of centers",
        "log_sigma_z": "uncertainties of depths",
        "log_sigma_rot": "uncertainties of rotations",
        "k_delta": "corrections of the camera",
    }
    for name, noun in names.items():
        x, y, _ = _both(a, b, name)
        if not len(x):
            continue
        for one in relations(x.reshape(len(x), -1), y.reshape(len(y), -1)):
            cause = f"{noun} are decoded differently"
            if one.kind == "line":
                cause = f"{noun} are multiplied by {one.factor:.4g}, plus {one.offset:.4g}"
            elif one.kind == "function":
                cause = f"{one.text}, of {noun}"
            elif one.kind == "order":
                cause = f"{noun}: the numbers are in another order"
            yield Finding("poses", cause, f"{len(x)} pairs, error {one.error:.2g}", one.kind != "unknown")


def _both(a: Poses | None, b: Poses | None, name: str) -> tuple[FloatArray, FloatArray, IntArray]:
    """Rows of a column that both state, and their numbers."""
    x, y = (None if side is None else getattr(side, name) for side in (a, b))
    if x is None or y is None:
        return np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0, np.int64)
    axes = tuple(range(1, x.ndim))
    rows = np.flatnonzero(np.isfinite(x).all(axis=axes) & np.isfinite(y).all(axis=axes))
    return x[rows], y[rows], rows


def _close(x: FloatArray, y: FloatArray) -> bool:
    apart = np.linalg.norm(x - y, axis=1) / np.maximum(np.linalg.norm(x, axis=1), 1e-9)
    return _most(apart) <= _EQUAL


def _most(values: FloatArray) -> float:
    values = np.where(np.isnan(values), np.inf, values)
    return float(np.quantile(values, _SHARE)) if np.isfinite(values).mean() >= _SHARE else np.inf


def _turned_by(x: FloatArray, y: FloatArray) -> float:
    return _most(rotation_error_deg(x, y))


def _apart(x: FloatArray, y: FloatArray) -> str:
    distances = np.linalg.norm(x - y, axis=1)
    return f"translations of {len(x)} pairs differ by {np.median(distances):.4g} m in the median"
