"""Families as data: what a preset sets at once.

To add a family, add a ``Recipe`` here, and a layout in ``layouts`` if its outputs are laid out in a new way.
"""

from __future__ import annotations

from dataclasses import dataclass

from anydet.types import Size

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How images become inputs and outputs become boxes.

    Attributes:
        layout: name in ``layouts.LAYOUTS``.
        size_wh: input (width, height) where the model's own is dynamic.
        resize: ``letterbox`` (image in the top left corner), ``letterbox-center``, ``stretch``, or
            ``shortest`` (aspect ratio kept without padding: short side to the smaller number of ``size_wh``,
            long side at most the larger; where the model's input is fixed it is stretched instead).
        channels: ``rgb`` or ``bgr``.
        mean: subtracted from pixel values of 0..255, in the order of ``channels``.
        std: divides what is left, so that 255 gives inputs of 0..1.
        pad: pixel value of the letterbox's border, 0..255, before ``mean`` and ``std``.
        nms_iou: IoU above which class-wise NMS drops the lesser box; ``None`` for families without NMS.
        first_label: label of the first class, for layouts with labels: 1 where 0 is background.
        names: of the classes, where all models of the family have the same.
    """

    layout: str
    size_wh: Size
    resize: str
    channels: str
    mean: Triple
    std: Triple
    nms_iou: float | None
    pad: float = 114.0
    first_label: int = 0
    names: tuple[str, ...] = ()

    @property
    def images(self) -> str:
        """How images are prepared, in a few words: ``letterbox, RGB 0..1``."""
        plain = {_ONE: "0..255", _UNIT: "0..1"}.get(self.std) if self.mean == _ZERO else None
        return f"{self.resize}, {self.channels.upper()} {plain or 'normalized'}"


_ZERO: Triple = (0.0, 0.0, 0.0)
_ONE: Triple = (1.0, 1.0, 1.0)
_UNIT: Triple = (255.0, 255.0, 255.0)
_HALF: Triple = (127.5, 127.5, 127.5)
_IMAGENET_MEAN: Triple = (123.675, 116.28, 103.53)
_IMAGENET_STD: Triple = (58.395, 57.12, 57.375)

PRESETS = {
    "yolox": Recipe("yolox", (640, 640), "letterbox", "bgr", _ZERO, _ONE, 0.65),
    "nanodet": Recipe(
        "nanodet",
        (320, 320),
        "letterbox-center",
        "bgr",
        (103.53, 116.28, 123.675),
        (57.375, 57.12, 58.395),
        0.6,
        pad=0.0,
    ),
    "fastestdet": Recipe("fastestdet", (352, 352), "stretch", "bgr", _ZERO, _UNIT, 0.45),
    "ultralytics": Recipe("ultralytics", (640, 640), "letterbox-center", "rgb", _ZERO, _UNIT, 0.7),
    "ultralytics-segment": Recipe(
        "ultralytics-segment", (640, 640), "letterbox-center", "rgb", _ZERO, _UNIT, 0.7
    ),
    "ultralytics-end2end": Recipe("end2end", (640, 640), "letterbox-center", "rgb", _ZERO, _UNIT, None),
    "yolov5": Recipe("yolov5", (640, 640), "letterbox-center", "rgb", _ZERO, _UNIT, 0.6),
    "detr": Recipe("detr", (1333, 800), "shortest", "rgb", _IMAGENET_MEAN, _IMAGENET_STD, None),
    "rtdetr": Recipe("detr-sigmoid", (640, 640), "stretch", "rgb", _ZERO, _UNIT, None),
    "rtdetr-deploy": Recipe("separate", (640, 640), "stretch", "rgb", _ZERO, _UNIT, None),
    "torchvision": Recipe("separate", (1333, 800), "shortest", "rgb", _ZERO, _UNIT, None, first_label=1),
    "yolo-nms": Recipe("separate", (640, 640), "letterbox-center", "rgb", _ZERO, _UNIT, None),
    "efficient-nms": Recipe("counted", (640, 640), "letterbox-center", "rgb", _ZERO, _UNIT, None),
    "scrfd": Recipe(
        "scrfd", (640, 640), "letterbox", "rgb", _HALF, (128.0, 128.0, 128.0), 0.4, pad=0.0, names=("face",)
    ),
    "yunet": Recipe("yunet", (640, 640), "letterbox", "bgr", _ZERO, _ONE, 0.3, pad=0.0, names=("face",)),
}
"""What each family's own reference code does; sources in ``layouts``."""
