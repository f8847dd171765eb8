"""CVAT's XML 1.1, for images and for video, as a data set.

Boxes state edges in pixels; one that is turned is the box around its corners, with these as its mask. Masks
are row by row run lengths within their box, the first of zeros. Points of skeletons are keypoints; what has
neither area nor skeleton (polylines, points, cuboids, tags) is left out and counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from anydet.data.annotation_tools.values import as_dataset, as_size
from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.objects import (
    LabeledImage,
    LabeledObject,
    Point,
    bounds_of,
    bounds_of_mask,
    bounds_of_points,
)
from anydet.data.dataset.splits import UNSPLIT, choose_split
from anydet.data.dataset.table import TableDataset
from anydet.data.xml import number_of, parse_xml, text_of
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.types import RLE, Polygons, Size

_SHAPES = {"box", "polygon", "mask", "ellipse", "skeleton"}
_NOT_SHAPES = {"attribute"}


@dataclass(frozen=True, slots=True)
class _Labels:
    """Labels of a task.

    Attributes:
        names: of objects, in their order.
        points: label of a skeleton -> labels of its points in their order.
    """

    names: tuple[str, ...]
    points: dict[str, list[str]]


def open_cvat(opened: Path, file: Path, wanted: str | None, images: Path | None) -> TableDataset:
    """Open the subset that is wanted, or the whole where images have none.

    Raises:
        DatasetError: the file is malformed.
    """
    root = parse_xml(file)
    labels, left_out = _read_labels(root), LeftOut()
    subsets = {image.get("subset") or "" for image in root.findall("image")} - {""}
    split = choose_split(opened, subsets, wanted) if subsets or wanted is not None else UNSPLIT
    usual = [
        file.parent / "images" / split.name,
        file.parent / "images",
        file.parent / split.name,
        file.parent,
    ]
    folder = images or next(one for one in usual if one.is_dir())
    tracks = root.findall("track")
    rows = (
        _frames(root, tracks, folder, labels, left_out)
        if tracks
        else [
            _image(file, image, labels, left_out)
            for image in root.findall("image")
            if split.name in {"", image.get("subset")}
        ]
    )
    return as_dataset(
        opened, file, split, rows, labels.names, folder=folder, named=images is not None, left_out=left_out
    )


def _read_labels(root: Element) -> _Labels:
    names: list[str] = []
    points: dict[str, list[str]] = defaultdict(list)
    # The labels of a project are listed again with each of its tasks.
    for label in root.iterfind("meta//labels/label"):
        name, parent = text_of(label, "name"), text_of(label, "parent")
        known = points[parent] if parent else names
        if name and name not in known:
            known.append(name)
    return _Labels(tuple(names), points)


def _image(file: Path, element: Element, labels: _Labels, left_out: LeftOut) -> LabeledImage:
    name = (element.get("name") or "").replace("\\", "/")
    if not name:
        raise DatasetError(f"{file}: image {element.get('id')}: no name", fix="export it again")
    size = _size(element.get("width"), element.get("height"))
    found = (
        _object(name, child, child.get("label"), size, labels=labels, left_out=left_out) for child in element
    )
    return LabeledImage(name, size, [one for one in found if one is not None])


def _frames(
    root: Element, tracks: Sequence[Element], folder: Path, labels: _Labels, left_out: LeftOut
) -> list[LabeledImage]:
    """Frames of a video that show an object, called as CVAT writes them: ``frame_000012``."""
    size = _size(root.findtext("meta//original_size/width"), root.findtext("meta//original_size/height"))
    frames: dict[int, list[LabeledObject]] = defaultdict(list)
    for track in tracks:
        for child in track:
            number = number_of(child.get("frame"))
            if number is None or child.get("outside") == "1":
                continue
            where = f"track {track.get('id')}, frame {number:g}"
            found = _object(where, child, track.get("label"), size, labels=labels, left_out=left_out)
            frames[int(number)] += [] if found is None else [found]
    names = (f"frame_{number:06d}" for number in sorted(frames))
    there = {path.stem: path.name for path in folder.glob("frame_*")} if frames else {}
    return [
        LabeledImage(there.get(name, f"{name}.png"), size, frames[number])
        for name, number in zip(names, sorted(frames), strict=True)
    ]


def _size(width: str | None, height: str | None) -> Size | None:
    return as_size(number_of(width), number_of(height))


def _object(
    image: str, element: Element, label: str | None, size: Size | None, *, labels: _Labels, left_out: LeftOut
) -> LabeledObject | None:
    """One shape of an image; ``None`` where it is no object."""
    where = f"{image}: {element.tag} {label}"
    if element.tag in _NOT_SHAPES:
        return None
    if element.tag not in _SHAPES:
        left_out.add("objects", f"of kind {element.tag}, which has no box and no mask", where, fault=False)
        return None
    found = label and _read_shape(element, label, size, labels)
    if not found:
        left_out.add("objects", f"of kind {element.tag} without a label, or with malformed numbers", where)
    return found or None


def _read_shape(element: Element, label: str, size: Size | None, labels: _Labels) -> LabeledObject | None:
    if element.tag == "box":
        return _box(element, label)
    if element.tag == "ellipse":
        return _ellipse(element, label)
    if element.tag == "skeleton":
        points = tuple(_skeleton(element, labels.points.get(label, [])))
        seen = any(seen for _, _, seen in points)
        return LabeledObject(label, bounds_of_points(points), keypoints=points) if seen else None
    if element.tag == "mask":
        mask = _mask(element, size)
        return None if mask is None else LabeledObject(label, bounds_of_mask(mask), segmentation=mask)
    ring = _pairs(element.get("points"))
    if ring is None or len(ring) < 6:
        return None
    return LabeledObject(label, bounds_of((ring,)), segmentation=(ring,))


def _numbers(element: Element, *names: str) -> tuple[float, ...] | None:
    values = [number_of(element.get(name)) for name in names]
    return None if None in values else tuple(value for value in values if value is not None)


def _box(element: Element, label: str) -> LabeledObject | None:
    edges = _numbers(element, "xtl", "ytl", "xbr", "ybr")
    if edges is None or edges[2] < edges[0] or edges[3] < edges[1]:
        return None
    x1, y1, x2, y2 = edges
    angle = number_of(element.get("rotation")) or 0.0
    if not angle:
        return LabeledObject(label, (x1, y1, x2 - x1, y2 - y1))
    corners: Polygons = (turned_ring(edges, angle, ((x1 + x2) / 2, (y1 + y2) / 2)),)
    return LabeledObject(label, bounds_of(corners), segmentation=corners)


def turned_ring(edges: Sequence[float], angle_deg: float, center: tuple[float, float]) -> tuple[float, ...]:
    """Corners x1, y1, x2, y2, ... of a box of edges x1, y1, x2, y2, turned clockwise in the image."""
    x1, y1, x2, y2 = edges
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    ring: list[float] = []
    for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)):
        dx, dy = x - center[0], y - center[1]
        ring += [center[0] + dx * cos - dy * sin, center[1] + dx * sin + dy * cos]
    return tuple(ring)


def _ellipse(element: Element, label: str) -> LabeledObject | None:
    numbers = _numbers(element, "cx", "cy", "rx", "ry")
    if numbers is None:
        return None
    cx, cy, rx, ry = numbers
    dx, dy = ellipse_reach(rx, ry, number_of(element.get("rotation")) or 0.0)
    return LabeledObject(label, (cx - dx, cy - dy, 2 * dx, 2 * dy))


def ellipse_reach(rx: float, ry: float, angle_deg: float) -> tuple[float, float]:
    """How far a turned ellipse reaches from its center along x and y."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)


def _pairs(text: str | None) -> tuple[float, ...] | None:
    """Numbers of ``x,y;x,y``."""
    values = [number_of(one) for pair in (text or "").split(";") for one in pair.split(",")]
    flat = tuple(value for value in values if value is not None)
    return flat if len(flat) == len(values) and len(flat) % 2 == 0 else None


def _skeleton(element: Element, order: Sequence[str]) -> Iterator[Point]:
    """Points in the order of the labels, (0, 0, 0) where one is missing or outside."""
    found: dict[str, Point] = {}
    for child in element.findall("points"):
        pair = _pairs(child.get("points"))
        if pair is not None and len(pair) == 2 and child.get("outside") != "1":
            found[child.get("label") or ""] = (*pair, 1.0 if child.get("occluded") == "1" else 2.0)
    names = order or sorted(found)
    yield from (found.get(name, (0.0, 0.0, 0.0)) for name in names)


def _mask(element: Element, size: Size | None) -> RLE | None:
    box = _numbers(element, "left", "top", "width", "height")
    runs = [number_of(one) for one in (element.get("rle") or "").split(",")]
    if box is None or size is None or any(run is None or run < 0 or run != int(run) for run in runs):
        return None
    left, top, width, height = map(int, box)
    counts = [int(run) for run in runs if run is not None]
    inside = left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1]
    if not inside or min(width, height) < 1 or sum(counts) != width * height:
        return None
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
    whole = np.zeros(size[::-1], np.bool_)
    whole[top : top + height, left : left + width] = values
    return masks.encode(whole) if values.any() else None
