"""LabelMe's JSON, a file for each image, as a data set.

Polygons, rectangles (two corners in any order, or four), circles (center and a point of the edge) and masks
are objects; shapes of one label and ``group_id`` are one object, as in LabelMe's own ``labelme2coco.py``.
Points, lines and strips of lines have no area and are left out. Versions before 4 state no size of the image.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from anydet.data.annotation_tools.values import (
    as_dataset,
    as_dict,
    as_list,
    as_number,
    as_ring,
    as_size,
    as_text,
    read_value,
)
from anydet.data.dataset.folder import is_image
from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.objects import (
    Box,
    LabeledImage,
    LabeledObject,
    bounds_of,
    bounds_of_mask,
)
from anydet.data.dataset.splits import UNSPLIT, choose_split
from anydet.data.dataset.table import TableDataset
from anydet.data.yolo.data_yaml import read_name_list
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.types import RLE, Polygons, Size

_WITHOUT_AREA = {"point", "points", "line", "linestrip"}
_NO_CLASSES = {"__ignore__", "_background_"}
"""Lines of LabelMe's ``labels.txt`` that are no classes."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A shape: polygons, or a mask, or a box alone."""

    box: Box
    segmentation: Polygons | RLE | None
    corners: tuple[float, ...] = ()


def open_labelme(
    opened: Path, files: Mapping[str, Sequence[Path]], wanted: str | None, images: Path | None
) -> TableDataset:
    """Open the files of a split.

    Args:
        opened: what the user named.
        files: split -> JSON files; "" where there are no splits.
        wanted: the split wanted.
        images: image folder that the user named.

    Raises:
        DatasetError: none of the files can be read.
    """
    split = UNSPLIT if "" in files and wanted is None else choose_split(opened, files, wanted)
    chosen, left_out = files[split.name], LeftOut()
    base = opened if opened.is_dir() else opened.parent
    # Names of images are relative to their file, and may lead beside its folder.
    folder = images or (base / split.name if split.name and "" not in files else base)
    rows = left_out.read_files(
        "file of labels", chosen, lambda file: _image(file, folder, images is not None, left_out)
    )
    first = chosen[0]
    return as_dataset(
        opened,
        first,
        split,
        rows,
        _names(base, folder),
        folder=folder,
        named=images is not None,
        left_out=left_out,
        files=chosen,
    )


def _names(*folders: Path) -> tuple[str, ...]:
    """Classes of LabelMe's ``labels.txt``, where there is one."""
    file = next((folder / "labels.txt" for folder in folders if (folder / "labels.txt").is_file()), None)
    table = None if file is None else read_name_list(file).classes
    return () if table is None else tuple(name for name in table.names if name not in _NO_CLASSES)


def _image(file: Path, folder: Path, named: bool, left_out: LeftOut) -> LabeledImage:
    content = read_value(file)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise DatasetError(f"{file}: no list of shapes", fix="save it in LabelMe again")
    key = _key(file, as_text(content.get("imagePath")), folder, named)
    if not named and not (folder / key).is_file() and as_text(content.get("imageData")):
        left_out.add(
            "images",
            "that are nowhere but inside of their JSON file",
            file,
            fault=False,
            effect="their labels are read, their pixels are not",
            fix="write the image files beside them",
        )
    if any(as_dict(content.get("flags")).values()):
        effect = "not read"
        left_out.add("flags", "of images", file, fault=False, effect=effect)
    size = as_size(content.get("imageWidth"), content.get("imageHeight"))
    return LabeledImage(key, size, list(_objects(file, content["shapes"], size, left_out)))


def _key(file: Path, stated: str, folder: Path, named: bool) -> str:
    """The image of a file, relative to the folder: as it states, else the image that is called like it."""
    path = stated.replace("\\", "/")
    if named or not path:
        return PureWindowsPath(stated).name if path else _beside(file, folder)
    if "\0" in path:
        raise DatasetError(f"{file}: imagePath cannot be a path", fix="save it in LabelMe again")
    place = Path(os.path.relpath(os.path.normpath(file.parent / path), folder))
    # Of another machine, or of a place that the files were moved from.
    if not (folder / place).is_file() or place.parts[:1] == ("..",):
        return _beside(file, folder) or path
    return place.as_posix()


def _beside(file: Path, folder: Path) -> str:
    """The image file beside a JSON file that is called like it; "" where there is none."""
    names = (name for name in sorted(os.listdir(file.parent)) if is_image(name))  # noqa: PTH208 - names alone
    name = next((name for name in names if Path(name).stem == file.stem), "")
    place = os.path.relpath(file.parent / name, folder)
    return Path(place).as_posix() if name and not place.startswith("..") else ""


def _objects(
    file: Path, shapes: Sequence[object], size: Size | None, left_out: LeftOut
) -> Iterator[LabeledObject]:
    """Objects in the order of their first shapes."""
    groups: dict[tuple[str, object], list[_Part]] = {}
    for number, given in enumerate(shapes, start=1):
        shape = as_dict(given)
        label, kind = as_text(shape.get("label")), as_text(shape.get("shape_type")) or "polygon"
        where = f"{file}: shape {number} ({kind} {label})"
        if kind in _WITHOUT_AREA:
            left_out.add("objects", f"of kind {kind}, which has no area", where, fault=False)
        elif not label:
            left_out.add("objects", "without a label", where)
        elif label in _NO_CLASSES:
            left_out.add("objects", f"labeled {label}", where, fault=False)
        elif (part := _part(kind, shape, size)) is None:
            left_out.add("objects", f"of kind {kind} with malformed points, mask or image size", where)
        else:
            group = shape.get("group_id")
            # A shape in no group is an object by itself.
            key = group if isinstance(group, int | str) else (number,)
            groups.setdefault((label, key), []).append(part)
    for (label, _), parts in groups.items():
        found = parts[0] if len(parts) == 1 else _united(parts, size)
        if found is None:
            left_out.add("objects", "of several masks on an image without a size", f"{file}: {label}")
        else:
            yield LabeledObject(label, found.box, segmentation=found.segmentation)


def _part(kind: str, shape: Mapping[str, Any], size: Size | None) -> _Part | None:
    points = [as_list(point) for point in as_list(shape.get("points"))]
    flat = [as_number(value) for point in points for value in point]
    if any(len(point) != 2 for point in points) or None in flat:
        return None
    corners = tuple(value for value in flat if value is not None)
    if kind == "mask":
        return _mask(corners, shape.get("mask"), size)
    if kind == "circle":
        return _circle(corners)
    if kind == "rectangle":
        if len(corners) not in {4, 8}:
            return None
        box = bounds_of((corners,))
        x, y, width, height = box
        ring = (x, y, x + width, y, x + width, y + height, x, y + height)
        return _Part(box, None, ring)
    ring_of = as_ring(points)
    return None if ring_of is None else _Part(bounds_of((ring_of,)), (ring_of,), ring_of)


def _circle(corners: tuple[float, ...]) -> _Part | None:
    """A polygon that is at most a pixel inside of the circle, as ``labelme2coco.py`` makes it."""
    if len(corners) != 4:
        return None
    x, y, edge_x, edge_y = corners
    radius = math.hypot(edge_x - x, edge_y - y)
    if radius <= 0:
        return None
    count = max(int(math.pi / math.acos(1 - 1 / radius)), 12) if radius > 1 else 12
    angles = [2 * math.pi * step / count for step in range(count)]
    ring = tuple(v for a in angles for v in (x + radius * math.sin(a), y + radius * math.cos(a)))
    return _Part((x - radius, y - radius, 2 * radius, 2 * radius), (ring,), ring)


def _mask(corners: tuple[float, ...], code: object, size: Size | None) -> _Part | None:
    """A PNG of the pixels of the box, both corners included."""
    if len(corners) != 4 or size is None:
        return None
    x1, y1 = int(min(corners[0::2])), int(min(corners[1::2]))
    try:
        with Image.open(io.BytesIO(base64.b64decode(as_text(code), validate=True))) as opened:
            pixels = np.asarray(opened.convert("L")) > 0
    except (OSError, ValueError, binascii.Error, Image.DecompressionBombError):
        return None
    width, height = size
    if x1 < 0 or y1 < 0 or x1 + pixels.shape[1] > width or y1 + pixels.shape[0] > height:
        return None
    whole = np.zeros((height, width), np.bool_)
    whole[y1 : y1 + pixels.shape[0], x1 : x1 + pixels.shape[1]] = pixels
    if not whole.any():
        return None
    mask = masks.encode(whole)
    return _Part(bounds_of_mask(mask), mask)


def _united(parts: Sequence[_Part], size: Size | None) -> _Part | None:
    """Shapes of a group as one; ``None`` where it takes the image's size, which is not stated."""
    rings = tuple(part.corners for part in parts)
    if all(rings):
        boxes = [(x, y, x + w, y + h) for x, y, w, h in (part.box for part in parts)]
        box = bounds_of(tuple(boxes))
        alone = all(part.segmentation is None for part in parts)
        return _Part(box, None if alone else rings)
    if size is None:
        return None
    whole = np.zeros((size[1], size[0]), np.bool_)
    for part in parts:
        own = (
            part.segmentation
            if isinstance(part.segmentation, RLE)
            else masks.from_polygons((part.corners,), size)
        )
        whole |= masks.decode(own)
    mask = masks.encode(whole)
    return _Part(bounds_of_mask(mask), mask)
