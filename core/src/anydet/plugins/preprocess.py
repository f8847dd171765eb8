"""``Preprocess``: how images become inputs, the same plain data in adapters, model files and runtimes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from anydet.geometry.placement import Placement
from anydet.types import Size

Triple: TypeAlias = tuple[float, float, float]
Resize: TypeAlias = Literal["letterbox", "letterbox-center", "stretch", "crop-center", "shortest", "none"]

GRAY: Triple = (114.0, 114.0, 114.0)
_ZERO: Triple = (0.0, 0.0, 0.0)
_ONE: Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How an RGB image of pixel values 0..255 becomes a model's input.

    ``input = (pixel / divisor - mean) / std``, after resizing; padding is normalized like pixels.

    Attributes:
        resize: ``letterbox`` keeps the aspect ratio and leaves the image in the top left corner of the input,
            ``letterbox-center`` in its center; ``stretch`` changes the aspect ratio; ``crop-center`` keeps it
            and fills the input with the center of the image, as classifiers have it; ``shortest`` keeps it
            without padding, the short side becoming the smaller number of ``size_wh`` and the long side at
            most the larger; ``none`` leaves the size as it is.
        size_wh: (width, height) of the input in pixels.
        interpolation: ``bilinear`` as OpenCV's ``INTER_LINEAR`` and torch's ``bilinear``, or
            ``bilinear-antialias``, which widens the filter where it shrinks, as Pillow does.
        rounded: whether resized pixels are whole numbers, as those of 8-bit images are.
        size_rounding: how sides are rounded after scaling: to the ``nearest`` whole number, or ``down`` as
            torchvision's detectors do.
        scale_back: how boxes return from a letterbox: by the ``sides`` that the image really got, or by the
            one ``ratio`` that its sides had before they were rounded, as the own code of most families does.
        pad_value: pixel values of padding, in the order of ``channels``.
        pad_to_multiple: sides of the input are padded to multiples of it, to the right and below.
        channels: ``rgb`` or ``bgr``.
        divisor: divides pixel values; 255 makes them 0..1.
        mean: subtracted then, in the order of ``channels``.
        std: divides what is left.
    """

    resize: Resize
    size_wh: Size
    interpolation: Literal["bilinear", "bilinear-antialias"] = "bilinear"
    rounded: bool = True
    size_rounding: Literal["nearest", "down"] = "nearest"
    scale_back: Literal["sides", "ratio"] = "sides"
    pad_value: Triple = GRAY
    pad_to_multiple: int = 1
    channels: Literal["rgb", "bgr"] = "rgb"
    divisor: float = 1.0
    mean: Triple = _ZERO
    std: Triple = _ONE

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: names of the attributes, lists in place of tuples."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """What ``as_dict`` gave; raises ``ValueError`` that names what is wrong."""
        import msgspec

        unknown = sorted(set(values) - set(cls.__slots__))
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}")
        try:
            return msgspec.convert(dict(values), cls).checked()
        except msgspec.ValidationError as exc:
            raise ValueError(str(exc)) from exc

    def checked(self) -> Preprocess:
        """Itself; raises ``ValueError`` where sizes or divisors cannot be."""
        if min(self.size_wh) < 1 or self.pad_to_multiple < 1:
            raise ValueError(
                f"size_wh {self.size_wh} and pad_to_multiple {self.pad_to_multiple} must be positive"
            )
        if not (self.divisor > 0 and min(self.std) > 0):
            raise ValueError(f"divisor {self.divisor} and std {self.std} must be positive")
        return self

    def content_wh(self, image_wh: Size) -> Size:
        """Size that an image of ``image_wh`` pixels is resized to."""
        if self.resize in {"stretch", "none"}:
            return self.size_wh if self.resize == "stretch" else image_wh
        if self.resize == "crop-center":
            return _covering(image_wh, self.size_wh)
        if self.resize == "shortest":
            ratios = min(self.size_wh) / min(image_wh), max(self.size_wh) / max(image_wh)
        else:
            ratios = self.size_wh[0] / image_wh[0], self.size_wh[1] / image_wh[1]
        ratio = min(ratios)
        if self.size_rounding == "down":
            return max(1, math.floor(image_wh[0] * ratio)), max(1, math.floor(image_wh[1] * ratio))
        return max(1, round(image_wh[0] * ratio)), max(1, round(image_wh[1] * ratio))

    def input_wh(self, image_wh: Size) -> Size:
        """Size of the input for an image of ``image_wh`` pixels."""
        width, height = self.content_wh(image_wh) if self.resize in {"shortest", "none"} else self.size_wh
        multiple = self.pad_to_multiple
        return -(-width // multiple) * multiple, -(-height // multiple) * multiple

    def placement(self, image_wh: Size) -> Placement:
        """Where an image of ``image_wh`` pixels stands in its input."""
        content, size = self.content_wh(image_wh), self.input_wh(image_wh)
        width, height = self.size_wh
        ratio = max(image_wh[0] / width, image_wh[1] / height) if self._returns_by_ratio else None
        return Placement(
            image_wh, content, self._offset(width - content[0], height - content[1]), size, ratio
        )

    def _offset(self, across: int, down: int) -> Size:
        """Where an image stands that leaves so many pixels of the input; of a crop, fewer than none."""
        if self.resize == "crop-center":
            return -round(-across / 2), -round(-down / 2)  # halves to even, as torchvision's CenterCrop
        return (across // 2, down // 2) if self.resize == "letterbox-center" else (0, 0)

    @property
    def _returns_by_ratio(self) -> bool:
        return self.scale_back == "ratio" and self.resize in {"letterbox", "letterbox-center"}


def _covering(image_wh: Size, size_wh: Size) -> Size:
    """The smallest size of the image's aspect ratio that covers another; the longer side is rounded down."""
    (width, height), (across, down) = image_wh, size_wh
    if width * down > height * across:
        return down * width // height, down
    return across, across * height // width
