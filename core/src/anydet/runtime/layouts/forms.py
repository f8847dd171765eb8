"""What the four numbers of a box can be, and the two of a landmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from anydet.geometry.boxes import cxcywh_to_xyxy, xywh_to_xyxy
from anydet.runtime.layouts.grids import Places
from anydet.types import FloatArray, Size


@dataclass(frozen=True, slots=True)
class BoxForm:
    """How numbers become boxes.

    Attributes:
        name: key of ``FORMS``.
        unit: of the numbers, where the form has several.
        variances: factors of center and size, of ``ssd``.
    """

    name: str
    unit: str = "pixels"
    variances: tuple[float, float] = (0.1, 0.2)

    def boxes(self, numbers: FloatArray, places: Places | None, input_wh: Size) -> FloatArray:
        """(K, 4) ``xyxy`` in input pixels of (K, 4) numbers, at these places of the grid."""
        form = FORMS[self.name]
        if places is None:
            assert form.free is not None, "a layout file is checked for its grid"
            return form.free(numbers * factor(self.unit, None, input_wh))
        with np.errstate(over="ignore"):  # infinite sizes are refused where candidates are selected
            if form.free is not None:
                return form.free(numbers * factor(self.unit, places, input_wh))
            assert form.placed is not None
            return form.placed(numbers, places, self, input_wh)


def factor(unit: str, places: Places | None, input_wh: Size) -> FloatArray:
    """What numbers of a unit are multiplied by to be pixels: (4,), or (K, 4) of the unit of a grid."""
    if unit == "parts":
        return np.array(input_wh * 2, np.float64)
    if unit == "pixels" or places is None:
        return np.ones(4)
    return np.tile(
        places.strides if unit == "strides" else places.anchors_wh, (1, 4 if unit == "strides" else 2)
    )


def _corners(numbers: FloatArray) -> FloatArray:
    return numbers


def _distances(numbers: FloatArray, places: Places, form: BoxForm, input_wh: Size) -> FloatArray:
    sides = numbers * factor(form.unit, places, input_wh)
    return np.concatenate([places.points_xy - sides[:, :2], places.points_xy + sides[:, 2:]], axis=1)


def _from_center(numbers: FloatArray, places: Places, form: BoxForm, input_wh: Size) -> FloatArray:
    pixels = numbers * factor(form.unit, places, input_wh)
    return _around(places.points_xy + pixels[:, :2], pixels[:, 2:])


def _yolox(numbers: FloatArray, places: Places, form: BoxForm, input_wh: Size) -> FloatArray:
    center = places.points_xy + numbers[:, :2] * places.strides
    return _around(center, np.exp(numbers[:, 2:]) * places.strides)


def _yolov3(numbers: FloatArray, places: Places, form: BoxForm, input_wh: Size) -> FloatArray:
    inside = 0.5 * (1 + np.tanh(0.5 * numbers[:, :2]))
    return _around((inside + places.cells_xy) * places.strides, np.exp(numbers[:, 2:]) * places.anchors_wh)


def _yolov5(numbers: FloatArray, places: Places, form: BoxForm, input_wh: Size) -> FloatArray:
    center = (2 * numbers[:, :2] - 0.5 + places.cells_xy) * places.strides
    return _around(center, (2 * numbers[:, 2:]) ** 2 * places.anchors_wh)


def _ssd(numbers: FloatArray, places: Places, form: BoxForm, input_wh: Size) -> FloatArray:
    of_center, of_size = form.variances
    center = places.points_xy + numbers[:, :2] * of_center * places.anchors_wh
    return _around(center, np.exp(numbers[:, 2:] * of_size) * places.anchors_wh)


def _around(center: FloatArray, size: FloatArray) -> FloatArray:
    return cxcywh_to_xyxy(np.concatenate([center, size], axis=1))


@dataclass(frozen=True, slots=True)
class Form:
    """One reading of four numbers.

    Attributes:
        formula: in words, for pages; p is the point of the cell, s the stride, a the anchor's size.
        units: of the numbers, the usual one first.
        anchors: whether anchors need sizes.
        free: boxes of numbers in pixels, which need no grid.
        placed: boxes of numbers at places of a grid.
    """

    formula: str
    units: tuple[str, ...] = ("strides",)
    anchors: bool = False
    free: Callable[[FloatArray], FloatArray] | None = None
    placed: Callable[[FloatArray, Places, BoxForm, Size], FloatArray] | None = None


FORMS: Mapping[str, Form] = {
    "corners": Form("x1, y1, x2, y2", ("pixels", "parts"), free=_corners),
    "center-size": Form("center x, y and width, height", ("pixels", "parts"), free=cxcywh_to_xyxy),
    "corner-size": Form("x1, y1 and width, height", ("pixels", "parts"), free=xywh_to_xyxy),
    "distances": Form(
        "distances from p to the left, upper, right and lower side", ("strides", "pixels"), placed=_distances
    ),
    "from-center": Form("center = p + xy, size = wh", ("pixels", "strides", "parts"), placed=_from_center),
    "yolox": Form("center = p + xy * s, size = exp(wh) * s", placed=_yolox),
    "yolov3": Form("center = (cell + sigmoid(xy)) * s, size = exp(wh) * a", anchors=True, placed=_yolov3),
    "yolov5": Form("center = (cell + 2 xy - 0.5) * s, size = (2 wh)^2 * a", anchors=True, placed=_yolov5),
    "ssd": Form("center = p + xy * v1 * a, size = exp(wh * v2) * a", anchors=True, placed=_ssd),
}
"""YOLOX: Ge et al. 2021; YOLOv3: Redmon and Farhadi 2018; YOLOv5: ultralytics/yolov5, ``Detect.forward``;
SSD: Liu et al. 2016; distances: FCOS, Tian et al. 2019."""
