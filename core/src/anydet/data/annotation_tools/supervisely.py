"""Supervisely's projects as a data set: ``meta.json``, and for each dataset ``ann/*.json`` beside ``img/``.

Each dataset of a project is a split. Rectangles are edges, as Supervisely's own importers and exporters of
COCO take them. Holes of polygons and bitmaps are kept as masks; nodes of graphs are keypoints.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anydet.data.annotation_tools.values import (
    as_dataset,
    as_dict,
    as_list,
    as_numbers,
    as_ring,
    as_size,
    as_text,
    read_value,
)
from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.objects import (
    LabeledImage,
    LabeledObject,
    Point,
    bounds_of,
    bounds_of_mask,
    bounds_of_points,
)
from anydet.data.dataset.splits import choose_split
from anydet.data.dataset.table import TableDataset
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.types import RLE, BoolArray, Polygons, Size

_MOST_PNG_BYTES = 1 << 26


def open_supervisely(opened: Path, file: Path, wanted: str | None, images: Path | None) -> TableDataset:
    """Open one dataset of a project.

    Raises:
        DatasetError: ``meta.json`` is malformed, or the file of every image is.
    """
    root, classes = file.parent, _classes(file)
    folders = {one.name: one for one in sorted(root.iterdir()) if (one / "ann").is_dir()}
    if (root / "ann").is_dir():
        folders = {root.name: root}
    split = choose_split(opened, folders, wanted)
    folder, left_out = folders[split.name], LeftOut()
    files = sorted(p for p in (folder / "ann").iterdir() if p.suffix.lower() == ".json")
    rows = left_out.read_files("JSON file", files, lambda path: _image(path, classes, left_out))
    return as_dataset(
        opened,
        file,
        split,
        rows,
        tuple(classes),
        folder=images or folder / "img",
        named=images is not None,
        left_out=left_out,
        files=files,
    )


def _classes(file: Path) -> dict[str, list[str]]:
    """Title of each class, in the order of the file -> ids of the nodes of its graph."""
    found: dict[str, list[str]] = {}
    for one in as_list(as_dict(read_value(file)).get("classes")):
        title, shape = as_text(as_dict(one).get("title")), as_dict(as_dict(one).get("geometry_config"))
        if title:
            found.setdefault(title, list(as_dict(shape.get("nodes"))))
    if not found:
        raise DatasetError(f"{file}: no classes", fix="export the project again")
    return found


def _image(path: Path, classes: Mapping[str, list[str]], left_out: LeftOut) -> LabeledImage:
    data = read_value(path)
    if not isinstance(data, dict) or not isinstance(data.get("objects"), list):
        raise DatasetError(f"{path}: no objects", fix="export the project again, or remove the file")
    sides = as_dict(data.get("size"))
    size = as_size(sides.get("width"), sides.get("height"))
    objects = _objects(path, [as_dict(one) for one in data["objects"]], size, classes, left_out)
    return LabeledImage(path.name[: -len(".json")], size, list(objects))


def _objects(
    path: Path,
    given: Sequence[Mapping[str, Any]],
    size: Size | None,
    classes: Mapping[str, list[str]],
    left_out: LeftOut,
) -> Iterator[LabeledObject]:
    for number, one in enumerate(given, 1):
        title, kind = as_text(one.get("classTitle")), as_text(one.get("geometryType"))
        where = f"{path}: object {number}"
        read = _READERS.get(kind)
        if not title:
            left_out.add("objects", "without a classTitle", where)
        elif read is None:
            reason = f"of type {kind or 'none'}, which has no box and no mask"
            left_out.add("objects", reason, where, fault=False)
        elif (found := read(one, title, size, classes)) is None:
            left_out.add("objects", f"of type {kind} with malformed values, or beyond their image", where)
        else:
            yield found


def _rectangle(
    one: Mapping[str, Any], title: str, _size: Size | None, _classes: Mapping[str, list[str]]
) -> LabeledObject | None:
    corners = as_list(as_dict(one.get("points")).get("exterior"))
    numbers = as_numbers([value for corner in corners for value in as_list(corner)])
    if numbers is None or len(numbers) != 4:
        return None
    x1, y1, x2, y2 = numbers
    return LabeledObject(title, (min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1)))


def _polygon(
    one: Mapping[str, Any], title: str, size: Size | None, _classes: Mapping[str, list[str]]
) -> LabeledObject | None:
    points = as_dict(one.get("points"))
    outer = as_ring(points.get("exterior"))
    holes = [as_ring(hole) for hole in as_list(points.get("interior"))]
    if outer is None or None in holes:
        return None
    rings: Polygons = tuple(hole for hole in holes if hole is not None)
    if not rings:
        return LabeledObject(title, bounds_of((outer,)), segmentation=(outer,))
    if size is None:
        return None
    # COCO's polygons add up, so that a hole needs a mask.
    filled = masks.decode(masks.from_polygons((outer,), size))
    mask = masks.encode(filled & ~masks.decode(masks.from_polygons(rings, size)))
    return LabeledObject(title, bounds_of((outer,)), segmentation=mask)


def _bitmap(
    one: Mapping[str, Any], title: str, size: Size | None, _classes: Mapping[str, list[str]]
) -> LabeledObject | None:
    bitmap = as_dict(one.get("bitmap"))
    origin = as_numbers(as_list(bitmap.get("origin")))
    part = _decode(as_text(bitmap.get("data")))
    mask = None if origin is None or len(origin) != 2 or part is None else paste(part, origin, size)
    return None if mask is None else LabeledObject(title, bounds_of_mask(mask), segmentation=mask)


def _decode(data: str) -> BoolArray | None:
    """(H, W) of a base64 text of a compressed PNG file; ``None`` where it is none."""
    from PIL import Image

    from anydet.data.record.image_formats import open_png

    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(data, validate=True), _MOST_PNG_BYTES)
        with open_png(raw) as image:
            transparent = image.mode == "P" and "transparency" in image.info
            values = np.asarray(
                image.convert("RGBA" if transparent else "RGB") if image.mode == "P" else image
            )
    except (binascii.Error, zlib.error, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    channels = values.reshape(*values.shape[:2], -1)
    # Of a picture with transparency, that is the mask.
    shown = channels[:, :, -1] if channels.shape[2] in {2, 4} else channels.max(axis=2)
    mask: BoolArray = np.asarray(shown > 0, np.bool_)
    return mask


def paste(part: BoolArray, origin: Sequence[float], size: Size | None) -> RLE | None:
    """The mask of an image of which ``part`` (H, W) shows a region, cut where it leaves the image.

    ``None`` where the size of the image is not known or nothing is inside.
    """
    if size is None:
        return None
    left, top = int(origin[0]), int(origin[1])
    whole = np.zeros(size[::-1], np.bool_)
    inner = part[max(-top, 0) : max(size[1] - top, 0), max(-left, 0) : max(size[0] - left, 0)]
    y, x = max(top, 0), max(left, 0)
    whole[y : y + inner.shape[0], x : x + inner.shape[1]] = inner
    return masks.encode(whole) if whole.any() else None


def _graph(
    one: Mapping[str, Any], title: str, _size: Size | None, classes: Mapping[str, list[str]]
) -> LabeledObject | None:
    nodes = as_dict(one.get("nodes"))
    points: list[Point] = []
    for name in classes.get(title) or sorted(nodes):
        node = as_dict(nodes.get(name))
        pair = as_numbers(as_list(node.get("loc")))
        if pair is None or len(pair) != 2:
            points.append((0.0, 0.0, 0.0))
        else:
            points.append((*pair, 1.0 if node.get("disabled") else 2.0))
    if not any(seen for _, _, seen in points):
        return None
    return LabeledObject(title, bounds_of_points(points), keypoints=tuple(points))


_READERS = {
    "rectangle": _rectangle,
    "polygon": _polygon,
    "bitmap": _bitmap,
    "alpha_mask": _bitmap,
    "graph": _graph,
}
