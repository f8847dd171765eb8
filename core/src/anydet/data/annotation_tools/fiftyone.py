"""FiftyOne's datasets on disk: ``samples.json`` with ``data/``, or ``labels.json`` of image detections.

Boxes are x, y, width, height in parts of the image's sides; masks cover their box. A label of
``labels.json`` is a name or an index into its ``classes`` (``FiftyOneImageDetectionDataset``). Of the
fields of samples, ``ground_truth`` is taken, else the only one with labels that have no confidence. Tags
that are called like splits are the splits.
"""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anydet.data.annotation_tools.supervisely import paste
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
from anydet.data.dataset.folder import find_images
from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.objects import LabeledImage, LabeledObject, Point, bounds_of, bounds_of_points
from anydet.data.dataset.splits import SPLITS, UNSPLIT, choose_split
from anydet.data.dataset.table import TableDataset
from anydet.data.record.pixels import ImageFile
from anydet.errors import DatasetError
from anydet.inputs import there_is
from anydet.types import RLE, BoolArray, Size

_PREFERRED = "ground_truth"
_LISTS = {"Detections": "detections", "Polylines": "polylines", "Keypoints": "keypoints"}
"""Kind of a field -> where it keeps its labels."""
_DATA = "data/"


def open_fiftyone(opened: Path, file: Path, wanted: str | None, images: Path | None) -> TableDataset:
    """Open one split, or the whole where no tag is called like one.

    Raises:
        DatasetError: the file is malformed, or several fields may be the ground truth.
    """
    if file.name == "labels.json":
        return _open_labels(opened, file, wanted, images)
    samples = [as_dict(one) for one in as_list(as_dict(read_value(file)).get("samples"))]
    tags = [{tag for tag in as_list(one.get("tags")) if isinstance(tag, str)} for one in samples]
    splits = set().union(*tags) & {*SPLITS, "test"}
    split = choose_split(opened, splits, wanted) if splits or wanted is not None else UNSPLIT
    names = [as_text(one.get("filepath")).replace("\\", "/") for one in samples]
    if "" in names:
        raise DatasetError(f"{file}: sample {names.index('')}: no filepath", fix="export it again")
    inside = all(name.startswith(_DATA) for name in names)
    folder = images or (file.parent / _DATA if inside and (file.parent / _DATA).is_dir() else file.parent)
    field, left_out = _choose_field(file, samples), LeftOut()
    rows = [
        _sample(name.removeprefix(_DATA) if inside else name, one, field, folder, left_out)
        for name, one, own in zip(names, samples, tags, strict=True)
        if not split.name or split.name in own
    ]
    return as_dataset(
        opened,
        file,
        split,
        rows,
        _class_names(file, field),
        folder=folder,
        named=images is not None,
        left_out=left_out,
    )


def _choose_field(file: Path, samples: Sequence[Mapping[str, Any]]) -> str:
    """The field of the ground truth."""
    found: dict[str, bool] = {}
    for sample in samples:
        for name, value in sample.items():
            if (kind := as_text(as_dict(value).get("_cls"))) in _LISTS:
                labels = as_list(value.get(_LISTS[kind]))
                scored = any(as_number(as_dict(one).get("confidence")) is not None for one in labels)
                found[name] = found.get(name, False) or scored
    if _PREFERRED in found:
        return _PREFERRED
    candidates = [name for name, scored in found.items() if not scored]
    if len(candidates) != 1:
        what = f"fields {', '.join(sorted(found))}" if found else "no field of detections or polylines"
        raise DatasetError(
            f"{file}: {what}: none is called {_PREFERRED!r}, and none is the only one without confidences",
            fix=f"export the field of the labels as {_PREFERRED!r}",
        )
    return candidates[0]


def _class_names(file: Path, field: str) -> tuple[str, ...]:
    """The classes that ``metadata.json`` lists for a field, or for all."""
    listed = file.parent / "metadata.json"
    if not there_is(listed):
        return ()
    data = as_dict(read_value(listed))
    info = as_dict(data.get("info"))
    own = [as_dict(one.get("classes")).get(field) or one.get("default_classes") for one in (data, info)]
    names = next((as_list(one) for one in own if one), [])
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _sample(
    name: str, sample: Mapping[str, Any], field: str, folder: Path, left_out: LeftOut
) -> LabeledImage:
    metadata = as_dict(sample.get("metadata"))
    size = as_size(metadata.get("width"), metadata.get("height"))
    labels = as_dict(sample.get(field))
    given = as_list(labels.get(_LISTS.get(as_text(labels.get("_cls")), "")))
    return _labeled(name, size, given, folder, left_out)


def _labeled(
    name: str, size: Size | None, given: Sequence[object], folder: Path, left_out: LeftOut
) -> LabeledImage:
    # Parts of the image become pixels with the size of the file, where none is stated.
    shown = size or (ImageFile(folder / name).size_wh() if given and (folder / name).is_file() else None)
    return LabeledImage(name, shown, list(_objects(name, given, shown, left_out)))


def _open_labels(opened: Path, file: Path, wanted: str | None, images: Path | None) -> TableDataset:
    """``{"classes": [...], "labels": {"<stem of an image>": [{"label", "bounding_box"}]}}``."""
    if wanted is not None:
        raise DatasetError(f"{file}: it has no splits", fix="leave out --split")
    data = as_dict(read_value(file))
    folder = images or (file.parent / _DATA if (file.parent / _DATA).is_dir() else file.parent)
    keys = {key.rpartition(".")[0]: key for key in find_images(folder)} if folder.is_dir() else {}
    left_out, classes = LeftOut(), as_list(data.get("classes"))
    rows = [
        _labeled(keys.get(name, name), None, _with_names(as_list(given), classes), folder, left_out)
        for name, given in as_dict(data.get("labels")).items()
    ]
    names = tuple(dict.fromkeys(name for name in classes if isinstance(name, str)))
    return as_dataset(
        opened, file, UNSPLIT, rows, names, folder=folder, named=images is not None, left_out=left_out
    )


def _with_names(given: Sequence[object], classes: Sequence[object]) -> list[dict[str, Any]]:
    """Detections whose labels are names; a number that is no index of ``classes`` stays."""
    found = [as_dict(one) for one in given]
    return [{**one, "label": _class_name(one.get("label"), classes)} for one in found]


def _class_name(label: object, classes: Sequence[object]) -> object:
    number = as_number(label)
    if number is None or not number.is_integer() or not 0 <= number < len(classes):
        return label
    return classes[int(number)]


def _objects(
    image: str, given: Sequence[object], size: Size | None, left_out: LeftOut
) -> Iterator[LabeledObject]:
    for number, value in enumerate(given):
        one = as_dict(value)
        label, where = as_text(one.get("label")), f"{image}: label {number}"
        if as_number(one.get("label")) is not None:
            left_out.add("objects", "whose label is a number that is no index of classes", where)
        elif not label:
            left_out.add("objects", "without a label", where)
        elif size is None:
            left_out.add("objects", "of an image that states no size and is not there", where)
        elif (found := _object(one, label, size)) is None:
            left_out.add("objects", "with a malformed bounding_box or points", where)
        else:
            yield found


def _object(one: Mapping[str, Any], label: str, size: Size) -> LabeledObject | None:
    attributes = as_dict(one.get("attributes"))
    crowd = any(bool(source.get("iscrowd")) for source in (one, attributes))
    if "bounding_box" in one:
        box = as_numbers(as_list(one["bounding_box"]))
        if box is None or len(box) != 4 or min(box[2:]) < 0:
            return None
        x, y, width, height = (part * size[i % 2] for i, part in enumerate(box))
        mask = _mask(one.get("mask"), (x, y), size)
        return LabeledObject(label, (x, y, width, height), crowd=crowd, segmentation=mask)
    points = as_list(one.get("points"))
    if points and as_list(points[0]) and isinstance(as_list(points[0])[0], list):
        rings = [as_ring(ring, (float(size[0]), float(size[1]))) for ring in points]
        closed = tuple(ring for ring in rings if ring is not None)
        if len(closed) < len(rings) or not (one.get("closed") or one.get("filled")):
            return None
        return LabeledObject(label, bounds_of(closed), crowd=crowd, segmentation=closed)
    keypoints = tuple(_point(point, size) for point in points)
    seen = any(visibility for _, _, visibility in keypoints)
    return LabeledObject(label, bounds_of_points(keypoints), keypoints=keypoints) if seen else None


def _point(value: object, size: Size) -> Point:
    """A point in pixels; one of NaN is not labeled."""
    pair = as_numbers(as_list(value))
    return (0.0, 0.0, 0.0) if pair is None or len(pair) != 2 else (pair[0] * size[0], pair[1] * size[1], 2.0)


def _mask(value: object, corner: tuple[float, float], size: Size) -> RLE | None:
    """The mask of a detection: a compressed numpy array, which covers its box."""
    text = as_text(as_dict(as_dict(value).get("$binary")).get("base64")) or as_text(value)
    part = _decode(text, size) if text else None
    return None if part is None else paste(part, (round(corner[0]), round(corner[1])), size)


def _decode(text: str, size: Size) -> BoolArray | None:
    # No array of a mask is larger than its image; its values may be of eight bytes.
    most = size[0] * size[1] * 8 + 4096
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), most)
        array = np.load(io.BytesIO(raw), allow_pickle=False)
    except (binascii.Error, zlib.error, ValueError, OSError, EOFError, MemoryError):
        return None
    mask: BoolArray | None = array > 0 if array.ndim == 2 and array.dtype.kind in "buif" else None
    return mask
