"""Label Studio's JSON and JSON-MIN as a data set.

Regions are in percent of the image; a rectangle is turned around its upper left corner. Brush masks are
RGBA images in a run-length code of their own, of which the last channel is the mask. Of several people's
annotations of one image, that of the ground truth is taken, else the first. A region with several labels
is an object for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from anydet.data.annotation_tools.cvat import ellipse_reach, turned_ring
from anydet.data.annotation_tools.values import (
    as_dataset,
    as_dict,
    as_list,
    as_number,
    as_numbers,
    as_ring,
    as_size,
    as_text,
    read_value,
)
from anydet.data.dataset.folder import is_image
from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.objects import LabeledImage, LabeledObject, bounds_of, bounds_of_mask
from anydet.data.dataset.splits import UNSPLIT
from anydet.data.dataset.table import TableDataset
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.types import RLE, Polygons, Size

_META = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"}
_OPAQUE = 127


def open_label_studio(opened: Path, file: Path, wanted: str | None, images: Path | None) -> TableDataset:
    """Open an export, which has no splits.

    Raises:
        DatasetError: it is malformed, or a split is wanted.
    """
    if wanted is not None:
        raise DatasetError(f"{file}: exports of Label Studio have no splits", fix="leave out --split")
    tasks, left_out = as_list(read_value(file)), LeftOut()
    rows = [one for task in tasks if (one := _task(as_dict(task), left_out)) is not None]
    usual = [file.parent / name for name in ("images", "upload", "")]
    folder = images or next(one for one in usual if one.is_dir())
    return as_dataset(
        opened, file, UNSPLIT, rows, (), folder=folder, named=images is not None, left_out=left_out
    )


def _task(task: Mapping[str, Any], left_out: LeftOut) -> LabeledImage | None:
    where = f"task {task.get('id')}"
    name = _image_name(as_dict(task.get("data")) or task)
    regions = _regions(task, where, left_out)
    if not name:
        left_out.add("images", "without an image file in their task", where)
    elif regions is None:
        left_out.add("images", "without an annotation", f"{where}: {name}", fault=False)
    else:
        sizes = (as_size(one.get("original_width"), one.get("original_height")) for one in regions)
        size = next((one for one in sizes if one is not None), None)
        return LabeledImage(name, size, list(_objects(regions, name, left_out)))
    return None


def _image_name(data: Mapping[str, Any]) -> str:
    """``image``, else the first value that is called like an image file."""
    texts = (as_text(data.get("image")), *(as_text(v) for k, v in data.items() if k not in _META))
    return next((name for text in texts if _names_image(name := text.replace("\\", "/"))), "")


def _names_image(name: str) -> bool:
    # An address may have a query; that of local files has the path in it: /data/local-files/?d=folder/1.jpg
    paths = (name.partition("?d=")[2], name.partition("?")[0])
    return any(is_image(path.rpartition("/")[2].strip()) for path in paths if path)


def _regions(task: Mapping[str, Any], where: str, left_out: LeftOut) -> list[dict[str, Any]] | None:
    """Regions of the annotation that is taken, or those of JSON-MIN; ``None`` where nobody annotated it."""
    if "annotations" not in task and "completions" not in task:
        # JSON-MIN has the regions of each control under its name.
        lists = [as_list(value) for key, value in task.items() if key not in _META]
        return [as_dict(region) for regions in lists for region in regions]
    given = [as_dict(one) for one in as_list(task.get("annotations") or task.get("completions"))]
    valid = [one for one in given if not one.get("was_cancelled")]
    if not valid:
        return None
    taken = next((one for one in valid if one.get("ground_truth")), valid[0])
    for _ in valid[1:]:
        left_out.add("annotations", "of an image of which another one is taken", where, fault=False)
    return [as_dict(region) for region in as_list(taken.get("result"))]


def _objects(regions: Sequence[Mapping[str, Any]], image: str, left_out: LeftOut) -> Iterator[LabeledObject]:
    labels: dict[str, list[str]] = {}
    for region in regions:
        # A shape and its labels may be several entries with one id.
        if key := as_text(region.get("id")):
            labels.setdefault(key, []).extend(_labels(region))
    for number, region in enumerate(regions):
        value = as_dict(region.get("value")) or region
        kind = _kind(region, value)
        names = _labels(region) or list(dict.fromkeys(labels.get(as_text(region.get("id")), ())))
        size = as_size(region.get("original_width"), region.get("original_height"))
        where = f"{image}: region {region.get('id', number)}"
        if not kind:
            if not (_labels(region) and "labels" in value):
                reason = f"of type {region.get('type')}, which has no box and no mask"
                left_out.add("objects", reason, where, fault=False)
        elif not names:
            left_out.add("objects", "without a label", where)
        elif size is None:
            left_out.add("objects", "without original_width or original_height", where)
        elif (found := _shape(kind, names[0], value, size)) is None:
            left_out.add("objects", f"of type {kind} with malformed numbers", where)
        else:
            if len(names) > 1:
                what = f"{where} ({', '.join(names)})"
                effect = "read as an object for each label"
                left_out.add("regions", "with several labels", what, fault=False, effect=effect)
            yield from (replace(found, name=name) for name in names)


def _kind(region: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """rectangle, polygon, ellipse or brush, by what the region has; "" for others."""
    if as_list(value.get("rle")):
        return "brush"
    if "points" in value:
        return "polygon"
    if "radiusX" in value:
        return "ellipse"
    kind = as_text(region.get("type"))
    point = kind.startswith("keypoint") or "keypointlabels" in value
    return "rectangle" if "width" in value and "height" in value and not point else ""


def _labels(region: Mapping[str, Any]) -> list[str]:
    """The labels of a region, each once, under whichever kind of labels."""
    value = as_dict(region.get("value")) or region
    lists = (as_list(given) for key, given in value.items() if key.endswith("labels"))
    return list(dict.fromkeys(one for given in lists for one in given if isinstance(one, str) and one))


def _shape(kind: str, label: str, value: Mapping[str, Any], size: Size) -> LabeledObject | None:
    scale = size[0] / 100, size[1] / 100
    if kind == "brush":
        mask = decode_brush(as_list(value.get("rle")), size)
        return None if mask is None else LabeledObject(label, bounds_of_mask(mask), segmentation=mask)
    if kind == "polygon":
        ring = as_ring(value.get("points"), scale)
        return None if ring is None else LabeledObject(label, bounds_of((ring,)), segmentation=(ring,))
    sides = ("x", "y", "radiusX", "radiusY") if kind == "ellipse" else ("x", "y", "width", "height")
    numbers = as_numbers([value.get(side) for side in sides])
    if numbers is None or min(numbers[2:]) < 0:
        return None
    x, y, width, height = (number * scale[i % 2] for i, number in enumerate(numbers))
    angle = as_number(value.get("rotation")) or 0.0
    if kind == "ellipse":
        dx, dy = ellipse_reach(width, height, angle)
        return LabeledObject(label, (x - dx, y - dy, 2 * dx, 2 * dy))
    if not angle:
        return LabeledObject(label, (x, y, width, height))
    corners: Polygons = (turned_ring((x, y, x + width, y + height), angle, (x, y)),)
    return LabeledObject(label, bounds_of(corners), segmentation=corners)


def decode_brush(code: Sequence[object], size_wh: Size) -> RLE | None:
    """The mask of a brush region; ``None`` where the code is malformed or of another size.

    The code (thi.ng's rle-pack) is a stream of bits: the number of values (32 bits), their width less one
    (5), four widths of lengths less one (4 each); then blocks of a bit, which of the four (2), the length
    less one, and one value that repeats (bit 1) or that many values.
    """
    if not all(isinstance(value, int) and 0 <= value < 256 for value in code):
        return None
    bits = np.unpackbits(np.array(code, np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        chunk = bits[place : place + count]
        if len(chunk) < count:
            raise EOFError
        place += count
        return int("".join(map(str, chunk.tolist())), 2)

    values: list[np.ndarray] = []
    total = size_wh[0] * size_wh[1] * 4
    try:
        if take(32) != total:
            return None
        width = take(5) + 1
        lengths = [take(4) + 1 for _ in range(4)]
        done = 0
        while done < total:
            repeats = take(1)
            count = take(lengths[take(2)]) + 1
            if repeats:
                values.append(np.full(count, take(width), np.int64))
            else:
                values.append(np.array([take(width) for _ in range(count)], np.int64))
            done += count
    except EOFError:
        return None
    if done != total:
        return None
    mask = np.concatenate(values).reshape(size_wh[1], size_wh[0], 4)[:, :, 3] > _OPAQUE
    return masks.encode(mask) if mask.any() else None
