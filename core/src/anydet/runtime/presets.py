"""Families as data: what a preset sets at once.

To add a family, write a layout file (``layouts/families``), whose images and NMS make a preset of it; or add
a ``Preset`` here, of a layout that is there or takes code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from anydet.errors import OptionError, did_you_mean
from anydet.plugins.export import ModelDescription
from anydet.plugins.preprocess import Preprocess, Triple
from anydet.runtime.layouts import FILES, family, file_named
from anydet.runtime.layouts.installed import installed_files
from anydet.runtime.layouts.layout_file import LayoutFile
from anydet.text import quoted


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
        background_last: whether the last column of scores is of no class, unless there are as many as COCO
            has or names for all.
        alternatives: layouts of the same shapes, one of which is taken where values are not of ``layout``.
        certain: whether outputs of its shapes are of no other family, so that it needs no naming.
        rare: whether its shapes are mostly those of other families, so that it is named where none of these
            fits.
        caution: what to check where it was chosen by the outputs.
    """

    layout: str
    preprocess: Preprocess
    nms_iou: float | None
    first_label: int = 0
    names: tuple[str, ...] = ()
    background_last: bool = False
    alternatives: tuple[str, ...] = ()
    certain: bool = False
    rare: bool = False
    caution: str = ""

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


def preset_of(layout: str, file: LayoutFile) -> Preset | None:
    """What a layout file says of images and NMS; ``None`` where it says nothing of images."""
    if file.preprocess is None:
        return None
    how, nms_iou = file.preprocess, file.nms_iou
    return Preset(layout, how, nms_iou, names=file.names, certain=file.certain, caution=file.caution)


_ZERO: Triple = (0.0, 0.0, 0.0)
_ONE: Triple = (1.0, 1.0, 1.0)
_UNIT: Triple = (255.0, 255.0, 255.0)
_HALF: Triple = (127.5, 127.5, 127.5)
_IMAGENET_MEAN: Triple = (123.675, 116.28, 103.53)
_IMAGENET_STD: Triple = (58.395, 57.12, 57.375)
_BGR_MEAN: Triple = (103.53, 116.28, 123.675)
_BGR_STD: Triple = (57.375, 57.12, 58.395)

_BLACK: Triple = _ZERO

_LETTERBOX = Preprocess("letterbox", (640, 640), channels="bgr")
_CENTERED = Preprocess("letterbox-center", (640, 640), std=_UNIT, scale_back="ratio")
# Boxes return by sides since Ultralytics 8.4; before, as in YOLOv5, by one ratio.
_ULTRALYTICS = replace(_CENTERED, scale_back="sides")
_STRETCHED = Preprocess("stretch", (640, 640), interpolation="bilinear-antialias", std=_UNIT)
_CROPPED = Preprocess("crop-center", (224, 224), interpolation="bilinear-antialias", std=_UNIT)
_SHORTEST = Preprocess("shortest", (1333, 800), std=_UNIT)

PRESETS = {
    "yolox": Preset(
        "yolox",
        replace(_LETTERBOX, size_rounding="down", scale_back="ratio"),
        0.65,
        alternatives=("yolox-decoded",),
    ),
    "fastestdet": Preset("fastestdet", Preprocess("stretch", (352, 352), channels="bgr", std=_UNIT), 0.45),
    "ultralytics": Preset("ultralytics", _ULTRALYTICS, 0.7),
    "ultralytics-segment": Preset("ultralytics-segment", _ULTRALYTICS, 0.7),
    "ultralytics-pose": Preset("ultralytics-pose", _ULTRALYTICS, 0.7, rare=True),
    "ultralytics-obb": Preset("ultralytics-obb", _ULTRALYTICS, 0.7, rare=True),
    "ultralytics-classify": Preset("ultralytics-classify", _CROPPED, None, rare=True),
    "ultralytics-end2end": Preset("end2end", _ULTRALYTICS, None),
    "ultralytics-pose-end2end": Preset("pose-end2end", _ULTRALYTICS, None, rare=True),
    "ultralytics-obb-end2end": Preset("obb-end2end", _ULTRALYTICS, None, rare=True),
    "yolov5": Preset("yolov5", _CENTERED, 0.6, alternatives=("yolov5-grid",)),
    "detr": Preset(
        "detr",
        replace(_SHORTEST, interpolation="bilinear-antialias", mean=_IMAGENET_MEAN, std=_IMAGENET_STD),
        None,
    ),
    "rtdetr": Preset("detr-sigmoid", _STRETCHED, None),
    "rfdetr": Preset(
        "rfdetr",
        Preprocess("stretch", (560, 560), rounded=False, mean=_IMAGENET_MEAN, std=_IMAGENET_STD),
        None,
        background_last=True,
        caution="images are resized as rfdetr 1.11 does; of LW-DETR's own export say preset=lwdetr, whose "
        "code antialiases",
    ),
    "lwdetr": Preset("rfdetr", replace(_STRETCHED, mean=_IMAGENET_MEAN, std=_IMAGENET_STD), None),
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
    "mmdeploy": Preset(
        "mmdeploy",
        replace(_LETTERBOX, mean=_BGR_MEAN, std=_BGR_STD, size_rounding="down", scale_back="ratio"),
        None,
        caution="images are prepared as for RTMDet (BGR, letterbox); others of MMDetection may differ: "
        "see data_preprocessor of their config: options channels, mean, std",
    ),
    "yunet": Preset("yunet", replace(_LETTERBOX, pad_value=_BLACK), 0.3, names=("face",)),
    **{name: preset for name in FILES if (preset := preset_of(name, family(name))) is not None},
}
"""What each family's own reference code does; sources in ``layouts``."""


def known_presets() -> dict[str, Preset]:
    """``PRESETS``, and those of the layouts that plugins register."""
    installed = {name: preset_of(name, file) for name, file in installed_files().items()}
    return {**{name: preset for name, preset in installed.items() if preset is not None}, **PRESETS}


def preset_named(name: str) -> Preset:
    """The preset of a name; ``OptionError`` where there is none."""
    if name in PRESETS:
        return PRESETS[name]
    known = known_presets()
    if name not in known:
        raise OptionError(
            f"no preset {quoted(name)} (known: {', '.join(known)}){did_you_mean(name, known)}",
            fix="leave preset= out to see which ones fit the model",
        )
    return known[name]


def preset_of_layout(name: str) -> Preset | None:
    """The preset that a layout brings: that of a file which says how images are prepared.

    ``None`` for the others; raises ``OptionError`` where there is no such layout.
    """
    file = file_named(name)
    return None if file is None else preset_of(name, file)
