"""Mistakes in what the four numbers of a box mean: format, unit, order of x and y, turned images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from anydet.evaluation.explanation.cause import Cause, moved
from anydet.geometry.boxes import BOX_FORMATS, to_xywh_px
from anydet.types import FloatArray

_WORDS = {
    "xywh": "left, top, width, height",
    "xyxy": "corners (left, top, right, bottom)",
    "cxcywh": "center, width, height",
}
_SOURCES = {**_WORDS, "yxyx": "corners, y first (top, left, bottom, right)"}
"""What files hold, beside what they may be taken for; TensorFlow's detectors put y first."""
_AMONG_ORDERS = "yxyx", "xyxy"
"""Source and taken that are found as x and y swapped."""


def format_causes(box_format: str | None = None) -> Iterator[Cause]:
    """One meaning of the four numbers taken for another, or fractions for pixels, or both.

    Args:
        box_format: how the file's boxes were read, one of ``geometry.boxes.BOX_FORMATS``; where it is known,
            what to do names the option that reads them rightly.
    """
    kind, _, unit = (box_format or "").partition("_")
    unit = unit or "abs"
    changes = (
        ("", unit, unit),
        ("fractions of the image, taken for pixels", "norm", "abs"),
        ("pixels, taken for fractions", "abs", "norm"),
    )
    for number, taken in enumerate(sorted(_WORDS, key=lambda name: name != kind)):
        for source, (change, written, read) in product(_SOURCES, changes):
            if not change and (source == taken or (source, taken) == _AMONG_ORDERS):
                continue
            # Another unit alone scales the boxes, whatever their numbers mean: one cause, with the option
            # that names the file's own format, and no others that differ from it by rounding.
            if source == taken and number:
                continue
            meaning = f"{_SOURCES[source]}, taken for {_WORDS[taken]}" if source != taken else ""
            yield Cause(
                "box format",
                "boxes are " + "; ".join(filter(None, (meaning, change))),
                _remedy(source, written, known=taken == kind),
                moved(_reread, f"{source}_{written}", f"{taken}_{read}"),
            )


def _remedy(source: str, unit: str, *, known: bool) -> str:
    """The option that reads such boxes, where there is one and the file is read as it was taken."""
    if known and f"{source}_{unit}" in BOX_FORMATS:
        return f"pass --bbox-format {source}_{unit}"
    return f"convert from {_SOURCES[source]}{' in fractions' * (unit == 'norm')} where boxes are written"


def _reread(boxes: FloatArray, sizes_wh: FloatArray, source: str, taken: str) -> FloatArray:
    """Boxes whose four numbers were ``taken`` for one format and are of another; ``norm`` is fractions."""
    kind, _, unit = source.partition("_")
    low, size = boxes[:, :2], boxes[:, 2:]
    first = low + size / 2 if taken.startswith("cxcywh") else low
    second = low + size if taken.startswith("xyxy") else size
    sides = np.maximum(np.tile(sizes_wh, 2), 1.0)
    numbers = np.concatenate([first, second], axis=1) / (sides if taken.endswith("norm") else 1.0)
    if kind == "yxyx":
        kind, numbers = "xyxy", numbers[:, [1, 0, 3, 2]]
    numbers = numbers * sides if unit == "norm" else numbers
    return to_xywh_px(numbers, f"{kind}_abs", np.ones(2, np.int64))


def order_causes() -> Iterator[Cause]:
    """Which is first: x and y, or width and height, in each other's place."""
    for name, undo in (
        ("x and y of boxes are swapped", moved(_swap)),
        ("x and y of boxes are swapped, in fractions of the image", moved(_swap_fractions)),
        ("x and y of boxes are swapped, width and height are not", moved(_swap_corner)),
        ("x and y of centers are swapped, width and height are not", moved(_swap_center)),
        ("width and height of boxes are swapped", moved(_swap_sides)),
    ):
        yield Cause("order", name, "write x before y, and width before height", undo)
    yield Cause(
        "order",
        "width and height of the image are swapped where boxes are scaled",
        "numpy's shape is (height, width), Pillow's size is (width, height)",
        moved(_swap_scale),
    )


def _swap(boxes: FloatArray, _: FloatArray) -> FloatArray:
    return boxes[:, [1, 0, 3, 2]]


def _swap_fractions(boxes: FloatArray, sizes_wh: FloatArray) -> FloatArray:
    return _swap(boxes / np.maximum(np.tile(sizes_wh, 2), 1.0), sizes_wh) * np.tile(sizes_wh, 2)


def _swap_corner(boxes: FloatArray, _: FloatArray) -> FloatArray:
    return boxes[:, [1, 0, 2, 3]]


def _swap_center(boxes: FloatArray, _: FloatArray) -> FloatArray:
    center = (boxes[:, :2] + boxes[:, 2:] / 2)[:, ::-1]
    return np.concatenate([center - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


def _swap_sides(boxes: FloatArray, _: FloatArray) -> FloatArray:
    size = boxes[:, [3, 2]]
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2 - size / 2, size], axis=1)


def _swap_scale(boxes: FloatArray, sizes_wh: FloatArray) -> FloatArray:
    return boxes / np.maximum(np.tile(sizes_wh, 2), 1.0) * np.tile(sizes_wh[:, ::-1], 2)


def turn_causes() -> Iterator[Cause]:
    """Boxes of a mirrored or rotated image, in pixels of that image."""
    mirror = "mirror boxes back after predicting on a mirrored image"
    turn = "turn images by their EXIF orientation before predicting, or turn boxes back"
    down = "count y downwards from the top of the image"
    yield Cause("turned", "boxes are mirrored left to right", mirror, moved(_flip, True, False))
    yield Cause("turned", "boxes are mirrored top to bottom", down, moved(_flip, False, True))
    yield Cause("turned", "boxes are of images turned upside down", turn, moved(_flip, True, True))
    yield Cause("turned", "boxes are of images rotated clockwise", turn, moved(_rotate, False, True))
    yield Cause("turned", "boxes are of images rotated anticlockwise", turn, moved(_rotate, True, False))


def _flip(boxes: FloatArray, sizes_wh: FloatArray, in_x: bool, in_y: bool) -> FloatArray:
    flipped = sizes_wh - boxes[:, :2] - boxes[:, 2:]
    return np.concatenate([np.where((in_x, in_y), flipped, boxes[:, :2]), boxes[:, 2:]], axis=1)


def _rotate(boxes: FloatArray, sizes_wh: FloatArray, in_x: bool, in_y: bool) -> FloatArray:
    """Mirrored along the diagonal and then in x or y: a quarter turn back."""
    return _flip(_swap(boxes, sizes_wh), sizes_wh, in_x, in_y)
