"""Layouts: how families lay out their outputs.

Shapes and types distinguish outputs; names only where those do not, for many exporters number them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from anydet.errors import OptionError, did_you_mean
from anydet.runtime.layouts.candidates import Decoder
from anydet.runtime.layouts.classify import ImageClasses, bind_classes
from anydet.runtime.layouts.declared import Pixels, bind_detections, bind_pixels, bind_queries
from anydet.runtime.layouts.detr import bind_detr, bind_detr_sigmoid, bind_rfdetr
from anydet.runtime.layouts.end2end import bind_end2end
from anydet.runtime.layouts.faces import bind_scrfd, bind_yunet
from anydet.runtime.layouts.fastestdet import bind_fastestdet
from anydet.runtime.layouts.installed import installed_files
from anydet.runtime.layouts.layout_file import LayoutFile, is_path, packaged_layout, read_layout
from anydet.runtime.layouts.points import bind_oriented, bind_oriented_end2end, bind_pose, bind_pose_end2end
from anydet.runtime.layouts.separate import bind_counted, bind_mmdeploy, bind_separate
from anydet.runtime.layouts.shapes import Signature
from anydet.runtime.layouts.yolo import (
    bind_ultralytics,
    bind_ultralytics_segment,
    bind_yolov5,
    bind_yolox,
    bind_yolox_decoded,
)
from anydet.text import quoted
from anydet.types import Size

Bound: TypeAlias = Decoder | Pixels | ImageClasses
"""A layout bound to outputs: what decodes detections, classes of pixels, or those of images."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of laying out outputs.

    Attributes:
        bind: a decoder for outputs of this signature and this input size, or ``None`` where they don't fit.
        expects: what the outputs must look like, for messages; B is the batch axis, which may be missing.
    """

    bind: Callable[[Signature, Size], Bound | None]
    expects: str


def layout_of(file: LayoutFile) -> Layout:
    """What a layout file says of outputs."""
    return Layout(file.declaration.bind, file.declaration.expects)


FILES = (
    "nanodet",
    "picodet",
    "yolo-fastestv2",
    "yolo-fastestv2-maps",
    "yolov5-grid",
    "yolov5-face",
    "ultraface",
    "retinaface",
    "retinaface-parts",
    "blazeface",
    "blazeface-back",
    "blazeface-full",
    "palm",
)
"""Families that ``families/NAME.yaml`` describe, with how images are prepared."""


def family(name: str) -> LayoutFile:
    """One of ``FILES``."""
    return packaged_layout("anydet.runtime.layouts", f"families/{name}.yaml")


LAYOUTS = {
    "yolox": Layout(bind_yolox, "one output (B, cells of strides 8, 16, 32; 5 + C)"),
    "yolox-decoded": Layout(bind_yolox_decoded, "one output (B, cells of strides 8, 16, 32; 5 + C)"),
    "yolov5": Layout(bind_yolov5, "one output (B, 3 x cells of strides 8, 16, 32; 5 + C)"),
    "ultralytics": Layout(bind_ultralytics, "one output (B, 4 + C, cells of strides 8, 16, 32)"),
    "ultralytics-segment": Layout(
        bind_ultralytics_segment,
        "two outputs (B, 4 + C + M, cells of strides 8, 16, 32) and (B, M, H/4, W/4)",
    ),
    "ultralytics-pose": Layout(bind_pose, "one output (B, 4 + C + keypoints, cells of strides 8, 16, 32)"),
    "ultralytics-obb": Layout(bind_oriented, "one output (B, 4 + C + angle, cells of strides 8, 16, 32)"),
    "ultralytics-classify": Layout(bind_classes, "one output (B, C) of probabilities"),
    "end2end": Layout(bind_end2end, "one output (B, N, 6), or (B, N, 6 + M) and (B, M, H/4, W/4)"),
    "pose-end2end": Layout(bind_pose_end2end, "one output (B, N, 6 + keypoints)"),
    "obb-end2end": Layout(bind_oriented_end2end, "one output (B, N, 7)"),
    "fastestdet": Layout(bind_fastestdet, "one output (B, 5 + C, H/16, W/16)"),
    "detr": Layout(bind_detr, "two outputs (B, Q, C + 1) and (B, Q, 4)"),
    "detr-sigmoid": Layout(bind_detr_sigmoid, "two outputs (B, Q, C) and (B, Q, 4)"),
    "rfdetr": Layout(bind_rfdetr, "two outputs (B, Q, 4) and (B, Q, C) and, with masks, (B, Q, h, w)"),
    "separate": Layout(bind_separate, "boxes (B, N, 4), scores (B, N) and labels (B, N)"),
    "counted": Layout(
        bind_counted, "a count of detections (B, 1), boxes (B, N, 4), scores (B, N) and labels (B, N)"
    ),
    "mmdeploy": Layout(
        bind_mmdeploy, "boxes with scores (B, N, 5), labels (B, N) and, with masks, (B, N, h, w)"
    ),
    "scrfd": Layout(
        bind_scrfd,
        "for each of strides 8, 16, 32 a (B, 2 x cells, 1), a (B, 2 x cells, 4) and, with landmarks, "
        "a (B, 2 x cells, 10)",
    ),
    "yunet": Layout(
        bind_yunet, "for each of strides 8, 16, 32 two (B, cells, 1), a (B, cells, 4) and a (B, cells, 10)"
    ),
    **{name: layout_of(family(name)) for name in FILES},
}
"""Recognized by shapes and types."""
DECLARED = {
    "queries": Layout(bind_queries, "boxes_cxcywh (B, N, 4) and class_logits (B, N, C)"),
    "detections": Layout(bind_detections, "boxes_xyxy_px (B, N, 4), scores (B, N) and labels (B, N)"),
    "pixels": Layout(bind_pixels, "pixel_logits (B, C, H, W) and image_logits (B, C)"),
}
"""Of files that say what their outputs mean."""


def layout_named(name: str) -> Layout:
    """The layout of a name: recognized, declared by a description, a plugin's, or the file of that path.

    Raises ``OptionError`` where there is none, or the file is no layout.
    """
    if name in DECLARED:
        return DECLARED[name]
    if name in LAYOUTS:
        return LAYOUTS[name]
    file = file_named(name)
    assert file is not None, "those that are no files are in LAYOUTS"
    return layout_of(file)


def file_named(name: str) -> LayoutFile | None:
    """The layout file of a name or a path; ``None`` for layouts that are code.

    Raises ``OptionError`` where there is none, or the file is no layout.
    """
    if name in FILES:
        return family(name)
    if name in LAYOUTS or name in DECLARED:
        return None
    if is_path(name):
        return read_layout(name)
    installed = installed_files()
    if name not in installed:
        known = [*LAYOUTS, *installed]
        raise OptionError(
            f"no layout {quoted(name)} (known: {', '.join(known)}){did_you_mean(name, known)}",
            fix="name one of them, or a layout file: --option layout=FILE.yaml",
        )
    return installed[name]
