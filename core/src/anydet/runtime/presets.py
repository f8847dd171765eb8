"""Families as data: what a preset sets at once.

To add a family, add a ``Preset`` here, and a layout in ``layouts`` if its outputs are laid out in a new way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from anydet.plugins.export import ModelDescription
from anydet.plugins.preprocess import Preprocess, Triple


@dataclass(frozen=True, slots=True)
class Preset:
    """How images become inputs and outputs become boxes.

    Attributes:
        layout: name that ``layouts.layout_named`` knows.
        preprocess: of images; its size is that of models whose own is dynamic. ``shortest`` becomes
            ``stretch`` where the model's input is fixed.
        nms_iou: IoU above which class-wise NMS drops the lesser box; ``None`` for families without NMS.
        first_label: label of the first class, for layouts with labels: 1 where 0 is background.
        names: of the classes, where all models of the family have the same.
    """

    layout: str
    preprocess: Preprocess
    nms_iou: float | None
    first_label: int = 0
    names: tuple[str, ...] = ()

    @property
    def images(self) -> str:
        """How images are prepared, in a few words: ``letterbox, RGB 0..1``."""
        how = self.preprocess
        scale = {(1.0, _ONE): "0..255", (1.0, _UNIT): "0..1", (255.0, _ONE): "0..1"}
        plain = scale.get((how.divisor, how.std)) if how.mean == _ZERO else None
        return f"{how.resize}, {how.channels.upper()} {plain or 'normalized'}"


def described_preset(description: ModelDescription) -> Preset:
    """The preset of a file that describes itself."""
    return Preset(description.layout, description.preprocess, None)


_ZERO: Triple = (0.0, 0.0, 0.0)
_ONE: Triple = (1.0, 1.0, 1.0)
_UNIT: Triple = (255.0, 255.0, 255.0)
_HALF: Triple = (127.5, 127.5, 127.5)
_IMAGENET_MEAN: Triple = (123.675, 116.28, 103.53)
_IMAGENET_STD: Triple = (58.395, 57.12, 57.375)

_BLACK: Triple = _ZERO

_LETTERBOX = Preprocess("letterbox", (640, 640), channels="bgr")
_CENTERED = Preprocess("letterbox-center", (640, 640), std=_UNIT)
_STRETCHED = Preprocess("stretch", (640, 640), std=_UNIT)
_SHORTEST = Preprocess("shortest", (1333, 800), std=_UNIT)

PRESETS = {
    "yolox": Preset("yolox", _LETTERBOX, 0.65),
    "nanodet": Preset(
        "nanodet",
        Preprocess(
            "letterbox-center",
            (320, 320),
            channels="bgr",
            mean=(103.53, 116.28, 123.675),
            std=(57.375, 57.12, 58.395),
            pad_value=_BLACK,
        ),
        0.6,
    ),
    "fastestdet": Preset("fastestdet", Preprocess("stretch", (352, 352), channels="bgr", std=_UNIT), 0.45),
    "ultralytics": Preset("ultralytics", _CENTERED, 0.7),
    "ultralytics-segment": Preset("ultralytics-segment", _CENTERED, 0.7),
    "ultralytics-end2end": Preset("end2end", _CENTERED, None),
    "yolov5": Preset("yolov5", _CENTERED, 0.6),
    "detr": Preset("detr", replace(_SHORTEST, mean=_IMAGENET_MEAN, std=_IMAGENET_STD), None),
    "rtdetr": Preset("detr-sigmoid", _STRETCHED, None),
    "rtdetr-deploy": Preset("separate", _STRETCHED, None),
    "torchvision": Preset("separate", _SHORTEST, None, first_label=1),
    "yolo-nms": Preset("separate", _CENTERED, None),
    "efficient-nms": Preset("counted", _CENTERED, None),
    "scrfd": Preset(
        "scrfd",
        replace(_LETTERBOX, channels="rgb", mean=_HALF, std=(128.0, 128.0, 128.0), pad_value=_BLACK),
        0.4,
        names=("face",),
    ),
    "yunet": Preset("yunet", replace(_LETTERBOX, pad_value=_BLACK), 0.3, names=("face",)),
}
"""What each family's own reference code does; sources in ``layouts``."""
