"""Depth maps: images of 16 bits whose values times a scale are millimeters, as BOP has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anydet.data.record.image_formats import open_image
from anydet.data.record.record import Record
from anydet.errors import DatasetError, ImageError
from anydet.types import FloatArray

SCALE_KEY = "depth_scale"
"""Key of ``Record.extra``: millimeters of one unit of the depth map; 1 where it is not there."""
WRITTEN_SCALE = 0.1
"""Millimeters of one unit in depth maps that are written here; the farthest depth is 6.5535 m."""


def depth_map_m(record: Record) -> FloatArray | None:
    """(H, W) depth of the source image in meters, 0 where unknown; ``None`` where there is no depth map.

    Raises:
        ImageError: the file cannot be read.
        DatasetError: it has several channels, or the scale is no number above 0.
    """
    from PIL import Image

    path = record.depth_path
    if path is None:
        return None
    scale = record.extra.get(SCALE_KEY, 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not scale > 0:
        raise DatasetError(
            f"image {record.key}: {SCALE_KEY}: {scale!r} is not millimeters per unit",
            fix="write a number above 0",
        )
    try:
        with open_image(path) as image:
            depth = np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise ImageError(f"{path}: cannot be read as a depth map: {exc}", fix="write it again") from exc
    if depth.ndim != 2:
        raise DatasetError(
            f"{path}: a depth map has one number a pixel", fix="write a PNG of 16 bits, grayscale"
        )
    found: FloatArray = depth * (float(scale) * 0.001)
    return found


def write_depth(path: Path, depth_m: FloatArray) -> None:
    """Write (H, W) meters as a PNG of 16 bits in units of ``WRITTEN_SCALE`` millimeters; 0 is unknown."""
    from PIL import Image

    units = np.clip(np.round(depth_m * (1000.0 / WRITTEN_SCALE)), 0, np.iinfo(np.uint16).max)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(units.astype(np.uint16)).save(path, format="PNG", compress_level=1)
