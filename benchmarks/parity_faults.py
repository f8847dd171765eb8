#!/usr/bin/env python3
"""Faults that are planted one at a time in real detectors, and what ``anydet parity --locate`` says of each.

    python benchmarks/runtime_parity.py                  # trains and exports models of the torch adapters
    python benchmarks/parity_faults.py                   # all faults and all clean pairs: minutes
    python benchmarks/parity_faults.py --only sigmoid    # those with "sigmoid" in their name
    python benchmarks/parity_faults.py --json OUT        # the table as JSON, too

A is the adapter ``onnxruntime`` with YOLOX-nano, NanoDet-m or FastestDet as they are published, or, for
poses, keypoints, states and masks, with a file that ``benchmarks/runtime_parity.py`` has trained and
exported; of some it is the torch adapter itself. B is ``onnxruntime`` with one fault in its options, its
code, or its model file. A fault counts as named where the first finding has the right step and a word of the
cause. Clean pairs differ in ways that change no result but by rounding (threads, graph optimizations, names
of nodes, another runtime, torch and the exported file); they are compared without tolerances, so that stages
are crossed for rounding alone, and any finding is a false accusation.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import anydet
from anydet.crosscheck.locating.locate import Located, locate, predict_both, records_of
from anydet.crosscheck.parity import ParitySettings
from anydet.crosscheck.tolerances import Tolerances
from anydet.geometry import masks
from anydet.geometry.placement import Placement
from anydet.geometry.pose_heads import PoseHeads
from anydet.geometry.rotations import matrix_to_rot6d, rot6d_rows_to_columns, turn_to
from anydet.plugins.manager import Plugins
from anydet.prediction.pipeline import Limits
from anydet.prediction.pixel_classes import predictions_of_pixels
from anydet.runtime.decoding import Decoding
from anydet.runtime.preprocess import Preprocessor
from anydet.types import AdapterSettings, ImagePredictions
from anydet_onnxruntime.adapter import OnnxRuntimeAdapter
from anydet_onnxruntime.session import Session

SHARED = Path(__file__).resolve().parents[1].parent / "shared/data"
MODELS = {
    "yolox": "yolox_nano_416_coco80.onnx",
    "nanodet": "nanodet_m_320_coco80.onnx",
    "fastestdet": "fastestdet_coco80.onnx",
}
TRAINED = {
    "poses": ("rtdetr_pose-poses", "rtdetr_pose", "pose"),
    "keypoints": ("rtdetr_pose-keypoints", "rtdetr_pose", "shapes"),
    "states": ("fasterrcnn_multitask-states", "fasterrcnn_multitask", "bikes"),
    "masks": ("adaptivestream-skip-decoder", "adaptivestream", "segmentation"),
}
"""Model -> run of ``runtime_parity.py``, its adapter, and its scenes."""
SIDE = 96
"""Of the inputs of ``rtdetr_pose``, in pixels."""
FLOOR = 0.05
"""Lowest score of the trained models' detections."""
Graph = onnx.ModelProto


class Detector(OnnxRuntimeAdapter):
    """The adapter of ONNX Runtime, with a fault in one of its parts.

    Args:
        settings: of the adapter.
        fault: changes parts after they are built.
        results: changes what ``predict`` gives.
        pixels: changes decoded images.
        loader: opens model files, ONNX Runtime by default.
    """

    def __init__(
        self,
        settings: AdapterSettings,
        *,
        fault: Callable[[Detector], None] = lambda _self: None,
        results: Callable[[ImagePredictions], ImagePredictions] = lambda found: found,
        pixels: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] | None = None,
    ) -> None:
        self._loader, self._results, self._pixels = loader, results, pixels
        self._wrap_decoder: Callable[[Any], Any] = lambda decoder: decoder
        super().__init__(settings)
        fault(self)

    def load(self, path: str) -> Any:
        """With the loader of this fault."""
        return self._loader(path) if self._loader else super().load(path)

    def _decoder(self, outputs: Any, input_wh: Any) -> Any:
        return self._wrap_decoder(super()._decoder(outputs, input_wh))

    def predict(self, records: Sequence[Any]) -> Any:
        """Changed pixels in, changed results out."""
        changed = records if self._pixels is None else [_Repainted(r, self._pixels) for r in records]
        for found in super().predict(changed):
            yield self._results(found)

    @property
    def stages(self) -> Any:
        """With the changed pixels."""
        stages = super().stages
        return stages if self._pixels is None else _PixelStages(stages, self._pixels)


class _Repainted:
    """A record with other pixels."""

    def __init__(self, record: Any, change: Callable[[Any], Any]) -> None:
        self._record, self._change = record, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record, name)

    def image(self) -> Any:
        return self._change(self._record.image())


class _PixelStages:
    def __init__(self, stages: Any, change: Callable[[Any], Any]) -> None:
        self._stages, self._change = stages, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stages, name)

    def pixels(self, record: Any) -> Any:
        return self._change(record.image())


@dataclass(frozen=True)
class Fault:
    """One planted fault.

    Attributes:
        name: what it is.
        model: of ``MODELS`` or ``TRAINED``.
        steps: of the finding that is right.
        words: one of them must be in its cause; any cause where there are none.
        options: of the adapter, changed.
        settings: of the adapter, changed.
        parts: of ``Detector``.
        graph: changes the model file.
        runtime: adapter of B.
        torch: whether A is the torch adapter, not its file.
    """

    name: str
    model: str
    steps: tuple[str, ...]
    words: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    graph: Callable[[Graph], None] | None = None
    runtime: str = "onnxruntime"
    torch: bool = False


# Preprocessing ---------------------------------------------------------------------------------------------


class _Resampler(Preprocessor):
    """Resizes images in another way."""

    def __init__(self, own: Preprocessor, resize: Callable[[Any, Any], Any], shift: int = 0) -> None:
        for name in ("_preprocess", "_source", "_tables", "_border"):
            setattr(self, name, getattr(own, name))
        self._resize, self._shift = resize, shift

    def _resized(self, image: Any, placement: Any) -> Any:
        same = placement.content_wh == placement.image_wh
        return image if same else self._resize(image, placement.content_wh)

    def _fill(self, target: Any, image: Any, placement: Any) -> None:
        super()._fill(target, image, placement)
        if self._shift:
            target[:] = np.roll(target, self._shift, axis=2)


def resampled(resize: Callable[[Any, Any], Any], shift: int = 0) -> dict[str, Any]:
    """Resized in another way, or moved to the right."""

    def fault(detector: Detector) -> None:
        detector._preprocessor = _Resampler(detector._preprocessor, resize, shift)

    return {"fault": fault}


def by_cv2(kind: int) -> Callable[[Any, Any], Any]:
    """Resize of OpenCV."""
    return lambda image, size: cv2.resize(image, size, interpolation=kind)


def by_pillow(kind: Any) -> Callable[[Any, Any], Any]:
    """Resize of Pillow."""
    return lambda image, size: np.asarray(Image.fromarray(image).resize(size, kind))


def aligned(image: Any, size: Any) -> Any:
    """Bilinear with aligned corners, as torch's ``align_corners=True``."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    made = torch.nn.functional.interpolate(tensor, size[::-1], mode="bilinear", align_corners=True)
    return made[0].permute(1, 2, 0).round().byte().numpy()


def prepared_as(**changes: Any) -> dict[str, Any]:
    """Another ``Preprocess``."""

    def fault(detector: Detector) -> None:
        how = replace(detector._preset.preprocess, **changes)
        detector._preset = replace(detector._preset, preprocess=how)
        detector._preprocessor = Preprocessor(how, detector._model.inputs.dtype)

    return {"fault": fault}


class _Misplaced(Preprocessor):
    """Makes the same inputs and forgets where the image stands in them."""

    def __init__(self, own: Preprocessor, change: Callable[[Any], Any]) -> None:
        self._own, self._change = own, change

    def batch(self, images: Any) -> Any:
        inputs, placements = self._own.batch(images)
        return inputs, [self._change(placement) for placement in placements]


def misplaced(change: Callable[[Any], Any]) -> dict[str, Any]:
    """Inputs are right, and their placement is not."""

    def fault(detector: Detector) -> None:
        detector._preprocessor = _Misplaced(detector._preprocessor, change)

    return {"fault": fault}


def recoded(image: Any) -> Any:
    """As JPEG of high quality once more: pixels as of another decoder."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=92)
    return np.asarray(Image.open(buffer).convert("RGB"))


# Decoding and selection ------------------------------------------------------------------------------------


class _Decoder:
    """A decoder whose scores or boxes are changed."""

    def __init__(self, own: Any, scores: Any, boxes: Any) -> None:
        self._own, self._scores, self._boxes = own, scores, boxes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def scores(self, outputs: Any) -> Any:
        own = self._own.scores(outputs)
        return self._scores(own, outputs) if self._scores else own

    def boxes(self, outputs: Any, rows: Any) -> Any:
        own = self._own.boxes(outputs, rows)
        return self._boxes(own, outputs, rows) if self._boxes else own


def decoded(scores: Any = None, boxes: Any = None) -> dict[str, Any]:
    """Scores or boxes are decoded in another way."""

    def fault(detector: Detector) -> None:
        detector._wrap_decoder = lambda own: _Decoder(own, scores, boxes)

    return {"fault": fault}


def sigmoid(x: Any) -> Any:
    """Logistic function."""
    return 1 / (1 + np.exp(-x))


def yolox_strides(rows: Any) -> Any:
    """(N, 1) stride of YOLOX-nano's cells."""
    counts = [52 * 52, 26 * 26, 13 * 13]
    return np.repeat([8.0, 16.0, 32.0], counts)[rows][:, None]


def half_cell(boxes: Any, _outputs: Any, rows: Any) -> Any:
    """Centers of cells where there are corners."""
    return boxes + 0.5 * yolox_strides(rows)


def without_exp(boxes: Any, outputs: Any, rows: Any) -> Any:
    """Widths and heights as the head gives them, times the stride."""
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    raw = outputs[0][rows, 2:4].astype(np.float64) * yolox_strides(rows)
    return np.concatenate([center - raw / 2, np.maximum(center + raw / 2, center - raw / 2)], axis=1)


def center_as_corner(boxes: Any, _outputs: Any, _rows: Any) -> Any:
    """The center is the upper left corner."""
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    return boxes + np.concatenate([half, half], axis=1)


class _Selecting(Decoding):
    """Suppression over all classes."""

    def _suppress(self, boxes: Any, scores: Any, class_ids: Any, most: int | None) -> Any:
        return super()._suppress(boxes, scores, np.zeros_like(class_ids), most)


def agnostic(detector: Detector) -> None:
    """Suppression over all classes."""
    own = detector._decoding
    detector._decoding = _Selecting(own.classes, own.nms_iou, own.score_floor, own.limit)


def best_class(scores: Any, _outputs: Any) -> Any:
    """All but the best class of a row score nothing."""
    return np.where(scores == scores.max(axis=1, keepdims=True), scores, 0)


def changed_results(change: Callable[[ImagePredictions], ImagePredictions]) -> dict[str, Any]:
    """Results are changed behind everything."""
    return {"results": change}


def boxes_of(found: ImagePredictions, change: Callable[[Any], Any]) -> ImagePredictions:
    """The result with changed boxes."""
    return replace(found, boxes_xyxy_px=change(found.boxes_xyxy_px))


# Model files -----------------------------------------------------------------------------------------------


def nodes_of(model: Graph, kind: str) -> list[Any]:
    """All nodes of an operator."""
    return [node for node in model.graph.node if node.op_type == kind]


def weight_of(model: Graph, node: Any) -> Any:
    """The initializer that a convolution uses."""
    return next(one for one in model.graph.initializer if one.name == node.input[1])


def insert_after(model: Graph, name: str, make: Callable[[str, str], list[Any]]) -> None:
    """Put nodes between a tensor and those that read it; the tensor keeps its name behind them."""
    node = next(n for n in model.graph.node if name in n.output)
    raw = f"{name}_planted"
    node.output[list(node.output).index(name)] = raw
    at = list(model.graph.node).index(node)
    for offset, new in enumerate(make(raw, name), start=1):
        model.graph.node.insert(at + offset, new)


def without_sigmoid(model: Graph) -> None:
    """The last sigmoid lets everything through."""
    node = nodes_of(model, "Sigmoid")[-1]
    node.op_type = "Identity"


def second_sigmoid(model: Graph) -> None:
    """Another sigmoid behind the last one."""
    name = nodes_of(model, "Sigmoid")[-1].output[0]
    insert_after(model, name, lambda raw, out: [helper.make_node("Sigmoid", [raw], [out], "planted")])


def swapped_classes(model: Graph) -> None:
    """Person and bicycle in each other's place."""
    name = model.graph.output[0].name
    order = [*range(5), 6, 5, *range(7, 85)]
    model.graph.initializer.append(numpy_helper.from_array(np.array(order), "planted_order"))
    insert_after(
        model,
        name,
        lambda raw, out: [helper.make_node("Gather", [raw, "planted_order"], [out], "planted", axis=2)],
    )


def half_precision(model: Graph) -> None:
    """Every convolution's output is rounded to float16."""
    for node in nodes_of(model, "Conv"):
        through(model, node.output[0], TensorProto.FLOAT16)


def through(model: Graph, name: str, kind: int) -> None:
    """A tensor is cast to a type and back."""

    def make(raw: str, out: str) -> list[Any]:
        return [
            helper.make_node("Cast", [raw], [f"{out}_small"], f"to_small_{out}", to=kind),
            helper.make_node("Cast", [f"{out}_small"], [out], f"to_float_{out}", to=TensorProto.FLOAT),
        ]

    insert_after(model, name, make)


def overflow(at: int) -> Callable[[Graph], None]:
    """One product beyond the range of float16, scaled back behind it."""

    def change(model: Graph) -> None:
        name = nodes_of(model, "Conv")[at].output[0]
        for value, key in ((1e5, "planted_up"), (1e-5, "planted_down")):
            model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), key))
        insert_after(
            model,
            name,
            lambda raw, out: [
                helper.make_node("Mul", [raw, "planted_up"], [f"{out}_up"], "planted_up"),
                helper.make_node(
                    "Cast", [f"{out}_up"], [f"{out}_half"], "planted_half", to=TensorProto.FLOAT16
                ),
                helper.make_node(
                    "Cast", [f"{out}_half"], [f"{out}_full"], "planted_full", to=TensorProto.FLOAT
                ),
                helper.make_node("Mul", [f"{out}_full", "planted_down"], [out], "planted_down"),
            ],
        )

    return change


def half_layer(at: int) -> Callable[[Graph], None]:
    """One convolution's output in float16."""
    return lambda model: through(model, nodes_of(model, "Conv")[at].output[0], TensorProto.FLOAT16)


def quantized_layer(at: int, levels: int = 255) -> Callable[[Graph], None]:
    """One activation in 8 bits, by a pair of QuantizeLinear and DequantizeLinear."""

    def change(model: Graph) -> None:
        name = nodes_of(model, "Conv")[at].output[0]
        model.graph.initializer.append(numpy_helper.from_array(np.array(0.25, np.float32), "planted_scale"))
        model.graph.initializer.append(
            numpy_helper.from_array(np.array(levels // 2, np.uint8), "planted_zero")
        )
        pair = ["planted_scale", "planted_zero"]
        insert_after(
            model,
            name,
            lambda raw, out: [
                helper.make_node("QuantizeLinear", [raw, *pair], [f"{out}_q"], "planted_q"),
                helper.make_node("DequantizeLinear", [f"{out}_q", *pair], [out], "planted_dq"),
            ],
        )

    return change


def changed_weight(at: int, change: Callable[[Any], Any]) -> Callable[[Graph], None]:
    """The weights of one convolution."""

    def edit(model: Graph) -> None:
        weight = weight_of(model, nodes_of(model, "Conv")[at])
        array = change(numpy_helper.to_array(weight).copy())
        weight.CopyFrom(numpy_helper.from_array(array.astype(np.float32), weight.name))

    return edit


def one_number(array: Any) -> Any:
    """One weight is another."""
    array.flat[3] += 0.5
    return array


def to_levels(array: Any) -> Any:
    """Per-tensor 8-bit weights."""
    scale = np.abs(array).max() / 127
    return np.round(array / scale) * scale


def to_brain(array: Any) -> Any:
    """Cut to bfloat16."""
    return (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def brain_weights(model: Graph) -> None:
    """All weights of convolutions cut to bfloat16."""
    for at in range(len(nodes_of(model, "Conv"))):
        changed_weight(at, to_brain)(model)


def other_attribute(kind: str, name: str, value: Any) -> Callable[[Graph], None]:
    """An attribute of the first node of an operator."""

    def change(model: Graph) -> None:
        node = nodes_of(model, kind)[0]
        kept = [one for one in node.attribute if one.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


# The faults ------------------------------------------------------------------------------------------------

FAULTS = (
    Fault("mirrored images", "yolox", ("pixels",), ("mirrored",), parts={"pixels": lambda x: x[:, ::-1]}),
    Fault(
        "images decoded as BGR", "yolox", ("channels",), ("BGR",), parts={"pixels": lambda x: x[..., ::-1]}
    ),
    Fault("another JPEG decoder", "nanodet", ("pixels",), ("decoder",), parts={"pixels": recoded}),
    Fault("RGB for BGR", "yolox", ("channels",), ("RGB",), options={"channels": "rgb"}),
    Fault(
        "RGB with mean and std reversed",
        "nanodet",
        ("channels",),
        ("RGB",),
        options={"channels": "rgb", "mean": "123.675,116.28,103.53", "std": "58.395,57.12,57.375"},
    ),
    Fault(
        "mean and std in RGB order",
        "nanodet",
        ("normalization",),
        ("reversed",),
        options={"mean": "123.675,116.28,103.53", "std": "58.395,57.12,57.375"},
    ),
    Fault("no mean", "nanodet", ("normalization",), ("mean",), options={"mean": "0"}),
    Fault("divided by 255", "yolox", ("normalization",), ("255",), options={"std": "255"}),
    Fault(
        "not divided by 255",
        "fastestdet",
        ("normalization",),
        ("0..255", "std"),
        parts=prepared_as(std=(1.0,) * 3),
    ),
    Fault(
        "ImageNet's mean and std",
        "fastestdet",
        ("normalization",),
        ("mean", "ImageNet"),
        options={"mean": "123.675,116.28,103.53", "std": "58.395,57.12,57.375"},
    ),
    Fault("a std of 57 in all channels", "nanodet", ("normalization",), ("std",), options={"std": "57"}),
    Fault("black border", "yolox", ("letterbox",), ("border",), options={"pad": "0"}),
    Fault(
        "letterbox in the center",
        "yolox",
        ("letterbox",),
        ("center",),
        options={"resize": "letterbox-center"},
    ),
    Fault("stretched", "nanodet", ("resize",), ("stretch",), options={"resize": "stretch"}),
    Fault("letterboxed", "fastestdet", ("resize",), ("letterbox",), options={"resize": "letterbox"}),
    Fault(
        "antialiased resize",
        "yolox",
        ("resize",),
        ("antialias",),
        parts=resampled(by_pillow(Image.Resampling.BILINEAR)),
    ),
    Fault(
        "nearest neighbor",
        "fastestdet",
        ("resize",),
        ("nearest",),
        parts=resampled(by_cv2(cv2.INTER_NEAREST)),
    ),
    Fault("area averaging", "nanodet", ("resize",), ("area",), parts=resampled(by_cv2(cv2.INTER_AREA))),
    Fault("aligned corners", "yolox", ("resize",), ("aligned",), parts=resampled(aligned)),
    Fault(
        "resized pixels not rounded",
        "fastestdet",
        ("resize",),
        ("rounded",),
        parts=prepared_as(rounded=False),
    ),
    Fault(
        "sides of the resized image rounded down",
        "yolox",
        ("letterbox",),
        ("down",),
        parts=prepared_as(size_rounding="down"),
    ),
    Fault(
        "image one pixel further",
        "yolox",
        ("letterbox",),
        ("1 px",),
        parts=resampled(by_cv2(cv2.INTER_LINEAR), 1),
    ),
    Fault(
        "offset not subtracted",
        "nanodet",
        ("letterbox",),
        ("offset",),
        parts=misplaced(lambda p: replace(p, offset_xy=(0, 0))),
    ),
    Fault(
        "border taken for image",
        "yolox",
        ("letterbox",),
        ("size",),
        parts=misplaced(lambda p: replace(p, content_wh=p.input_wh)),
    ),
    Fault("sigmoid missing in the model", "fastestdet", ("activation",), ("missing",), graph=without_sigmoid),
    Fault("sigmoid twice in the model", "nanodet", ("activation",), ("once more",), graph=second_sigmoid),
    Fault(
        "sigmoid once more in decoding",
        "nanodet",
        ("activation",),
        ("once more",),
        parts=decoded(scores=lambda s, _o: sigmoid(s)),
    ),
    Fault(
        "objectness left out",
        "yolox",
        ("activation",),
        ("objectness",),
        parts=decoded(scores=lambda _s, o: o[0][:, 5:]),
    ),
    Fault("two classes swapped in the model", "yolox", ("classes",), ("order",), graph=swapped_classes),
    Fault(
        "class ids count from 1",
        "fastestdet",
        ("classes",),
        ("+1",),
        parts=changed_results(lambda r: replace(r, class_ids=np.minimum(r.class_ids + 1, 79))),
    ),
    Fault(
        "half a cell in decoding", "yolox", ("boxes",), ("0.5 of the stride",), parts=decoded(boxes=half_cell)
    ),
    Fault(
        "half a pixel in decoding",
        "nanodet",
        ("boxes",),
        ("+0.5",),
        parts=decoded(boxes=lambda b, _o, _r: b + 0.5),
    ),
    Fault("exponential missing", "yolox", ("boxes",), ("exponential",), parts=decoded(boxes=without_exp)),
    Fault(
        "center taken for corner",
        "fastestdet",
        ("boxes",),
        ("center",),
        parts=decoded(boxes=center_as_corner),
    ),
    Fault(
        "sides counted inclusively",
        "nanodet",
        ("boxes",),
        ("inclusively",),
        parts=decoded(boxes=lambda b, _o, _r: b + np.array([0, 0, 1, 1])),
    ),
    Fault("suppression at IoU 0.45", "yolox", ("nms",), ("IoU of 0.45",), options={"nms_iou": 0.45}),
    Fault(
        "suppression over all classes",
        "nanodet",
        ("nms",),
        ("all classes as one",),
        parts={"fault": agnostic},
    ),
    Fault(
        "best class of a row alone",
        "yolox",
        ("nms",),
        ("best class",),
        parts=decoded(scores=best_class),
    ),
    Fault(
        "100 candidates before suppression",
        "yolox",
        ("nms",),
        ("best 100 candidates",),
        options={"max_candidates": 100},
    ),
    Fault("threshold 0.05", "fastestdet", ("threshold",), ("0.05",), settings={"score_floor": 0.05}),
    Fault(
        "20 detections an image",
        "nanodet",
        ("nms",),
        ("20 detections",),
        parts=changed_results(lambda r: r.take(np.argsort(-r.scores, kind="stable")[:20])),
    ),
    Fault(
        "boxes rounded to pixels",
        "yolox",
        ("rounding",),
        ("pixels",),
        parts=changed_results(lambda r: boxes_of(r, np.rint)),
    ),
    Fault(
        "scores rounded to 2 decimals",
        "fastestdet",
        ("rounding",),
        ("2 decimals",),
        parts=changed_results(lambda r: replace(r, scores=r.scores.round(2))),
    ),
    Fault(
        "float16 in all convolutions",
        "yolox",
        ("precision",),
        ("the model is computed in float16",),
        graph=half_precision,
    ),
    Fault("float16 in one convolution", "nanodet", ("precision",), ("float16",), graph=half_layer(10)),
    Fault("float16 overflow in one node", "yolox", ("precision",), ("overflow",), graph=overflow(20)),
    Fault(
        "bfloat16 weights",
        "fastestdet",
        ("precision",),
        ("weights are rounded to bfloat16",),
        graph=brain_weights,
    ),
    Fault("one activation in 8 bits", "yolox", ("precision",), ("quantized",), graph=quantized_layer(30)),
    Fault(
        "one layer's weights in 8 bits",
        "nanodet",
        ("precision",),
        ("levels",),
        graph=changed_weight(40, to_levels),
    ),
    Fault("one weight changed", "fastestdet", ("model",), ("1 of",), graph=changed_weight(33, one_number)),
    Fault(
        "upsampling of another kind",
        "nanodet",
        ("model",),
        ("mode",),
        graph=other_attribute("Resize", "mode", "nearest"),
    ),
    Fault(
        "a steeper leaky ReLU",
        "nanodet",
        ("model",),
        ("alpha",),
        graph=other_attribute("LeakyRelu", "alpha", 0.2),
    ),
)


# Poses, keypoints, states and masks -------------------------------------------------------------------------


class _ImagesCamera(Placement):
    """A placement that leaves the camera as the image has it."""

    def camera_to_input(self, camera: Any) -> Any:
        return camera


class _Unscaled(PoseHeads):
    """Poses with the image's camera for that of the input."""

    def poses(self, boxes_xyxy_px: Any, placement: Placement, camera: Any) -> Any:
        parts = (getattr(placement, name) for name in ("image_wh", "content_wh", "offset_xy", "input_wh"))
        return super().poses(boxes_xyxy_px, _ImagesCamera(*parts), camera)


def heads_as(change: Callable[[PoseHeads], PoseHeads]) -> dict[str, Any]:
    """Other heads of poses."""
    return wrapped("pose_heads", lambda own, _decoder, _outputs, _rows: change(own))


def wrapped(method: str, change: Callable[[Any, Any, Any, Any], Any]) -> dict[str, Any]:
    """What a method of the decoder gives, changed."""

    def fault(detector: Detector) -> None:
        detector._wrap_decoder = lambda own: _Wrapped(own, method, change)

    return {"fault": fault}


class _Wrapped:
    """A decoder one of whose methods gives something else."""

    def __init__(self, own: Any, method: str, change: Callable[[Any, Any, Any, Any], Any]) -> None:
        self._own = own
        given = getattr(own, method)
        setattr(self, method, lambda outputs, rows: change(given(outputs, rows), own, outputs, rows))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def of_corner(points: Any, decoder: Any, outputs: Any, rows: Any) -> Any:
    """Offsets are added to the corner of the box."""
    boxes = decoder.boxes(outputs, rows)
    half = (boxes[:, None, 2:] - boxes[:, None, :2]) / 2
    return np.concatenate([points[..., :2] - half, points[..., 2:]], axis=-1)


def without_point_sigmoid(points: Any, _decoder: Any, _outputs: Any, _rows: Any) -> Any:
    """Logits for the scores of keypoints, as far as a file may state them."""
    scores = np.clip(points[..., 2:], 1e-6, 1 - 1e-6)
    return np.concatenate([points[..., :2], np.log(scores / (1 - scores))], axis=-1)


def softmax(x: Any) -> Any:
    """Of each row."""
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def posed(change: Callable[[Any], Any]) -> dict[str, Any]:
    """Results with other poses."""
    return changed_results(lambda found: replace(found, poses=change(found.poses)))


def turned_poses(poses: Any, left: Any, *, axes: Any = (1.0, 1.0, 1.0)) -> Any:
    """Rotations turned by matrices, and translations along other axes."""
    rotations = left @ poses.rotations
    return replace(
        poses,
        rotations=rotations,
        rot6d=matrix_to_rot6d(rotations),
        translations_m=poses.translations_m * np.array(axes),
    )


OPENGL = np.diag([1.0, -1.0, -1.0])


def ordered(output: str, order: Sequence[int], axis: int) -> Callable[[Graph], None]:
    """Columns of an output in another order."""

    def change(model: Graph) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(order), "planted_order"))
        insert_after(
            model,
            output,
            lambda raw, out: [
                helper.make_node("Gather", [raw, "planted_order"], [out], "planted", axis=axis)
            ],
        )

    return change


def points_in_input(found: ImagePredictions) -> ImagePredictions:
    """Keypoints in pixels of the input, to which images are stretched."""
    scale = SIDE / np.array(found.size_wh)
    points = found.keypoints
    return replace(found, keypoints=np.concatenate([points[..., :2] * scale, points[..., 2:]], axis=-1))


def nearest_classes(detector: Detector) -> None:
    """The likeliest class is chosen in the input, and stretched by its nearest pixel."""

    def result(key: str, decoder: Any, outputs: Any, placement: Any) -> ImagePredictions:
        logits = decoder.pixel_logits(outputs)
        size = placement.image_wh
        planes = [cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST) for plane in logits]
        return predictions_of_pixels(
            key,
            softmax(np.stack(planes, axis=-1)).transpose(2, 0, 1),
            decoder.image_scores(outputs).tolist(),
            detector.classes,
            detector.settings,
            min_area_px=detector._model.description.min_area_px,
        )

    detector._pixels_result = result  # type: ignore[method-assign]


def mirrored_masks(found: ImagePredictions) -> ImagePredictions:
    """Class masks from right to left."""
    semantic = {c: masks.encode(masks.decode(m)[:, ::-1]) for c, m in found.semantic_mask.items()}
    return replace(found, semantic_mask=semantic)


def second_softmax(found: ImagePredictions) -> ImagePredictions:
    """Scores of image classes through a softmax once more."""
    scores = tuple(softmax(np.array(found.classification.scores)).tolist())
    best = replace(found.classification, score=max(scores), scores=scores)
    return replace(found, classification=best)


OF_PARTS = (
    Fault(
        "intrinsics not scaled to the input",
        "poses",
        ("poses",),
        ("not scaled to the input",),
        parts=heads_as(
            lambda own: _Unscaled(**{name: getattr(own, name) for name in own.__dataclass_fields__})
        ),
    ),
    Fault(
        "rows of rotations read as columns",
        "poses",
        ("poses",),
        ("rows",),
        parts=heads_as(lambda own: replace(own, rot6d=rot6d_rows_to_columns(own.rot6d))),
    ),
    Fault(
        "offset of the projected center left out",
        "poses",
        ("poses",),
        ("offset of the projected center",),
        parts=heads_as(lambda own: replace(own, offsets=0 * own.offsets)),
    ),
    Fault(
        "rotations left as seen along the ray",
        "poses",
        ("poses",),
        ("allocentric",),
        parts=posed(lambda p: turned_poses(p, turn_to(p.translations_m).transpose(0, 2, 1))),
    ),
    Fault(
        "OpenGL's camera",
        "poses",
        ("poses",),
        ("OpenGL",),
        parts=posed(lambda p: turned_poses(p, OPENGL, axes=(1, -1, -1))),
    ),
    Fault(
        "translations in millimeters",
        "poses",
        ("poses",),
        ("millimeters",),
        parts=posed(lambda p: replace(p, translations_m=1000 * p.translations_m)),
    ),
    Fault(
        "left and right keypoints swapped",
        "keypoints",
        ("keypoints",),
        ("swapped in pairs",),
        parts=changed_results(lambda r: replace(r, keypoints=swapped_first(r.keypoints))),
    ),
    Fault(
        "keypoints in another order in the model",
        "keypoints",
        ("keypoints",),
        ("order",),
        graph=lambda model: ordered("keypoints", rotated_points(model), 2)(model),
    ),
    Fault(
        "sigmoid of keypoint scores missing",
        "keypoints",
        ("activation", "keypoints"),
        ("sigmoid is missing",),
        parts=wrapped("landmarks", without_point_sigmoid),
    ),
    Fault(
        "keypoints counted from the corner of the box",
        "keypoints",
        ("keypoints",),
        ("added to its corner",),
        parts=wrapped("landmarks", of_corner),
    ),
    Fault(
        "keypoints in pixels of the input",
        "keypoints",
        ("keypoints",),
        ("pixels of the input",),
        parts=changed_results(points_in_input),
    ),
    Fault(
        "states in another order in the model",
        "states",
        ("states",),
        ("order",),
        graph=ordered("state_scores", (1, 0, 2, 3), 2),
    ),
    Fault(
        "softmax of states twice",
        "states",
        ("states",),
        ("softmax is applied once more",),
        parts=wrapped("state_scores", lambda own, _d, _o, _r: softmax(own)),
    ),
    Fault(
        "state ids count from 1",
        "states",
        ("states",),
        ("state ids are +1",),
        parts=changed_results(lambda r: replace(r, states=r.states + 1)),
    ),
    Fault(
        "class masks by the nearest pixel",
        "masks",
        ("masks",),
        ("nearest",),
        parts={"fault": nearest_classes},
    ),
    Fault("class masks mirrored", "masks", ("masks",), ("mirrored",), parts=changed_results(mirrored_masks)),
    Fault(
        "classes of pixels in another order in the model",
        "masks",
        ("classes",),
        ("order",),
        graph=ordered("pixel_logits", (0, 2, 1, 3, 4), 1),
    ),
    Fault(
        "softmax of image classes twice",
        "masks",
        ("activation",),
        ("softmax is applied once more",),
        parts=changed_results(second_softmax),
    ),
)


def swapped_first(points: Any) -> Any:
    """The first two keypoints in each other's place."""
    return points[:, [1, 0, *range(2, points.shape[1])]]


def rotated_points(model: Graph) -> list[int]:
    """Columns of an output of keypoints, each point in the place of the one before."""
    (output,) = (one for one in model.graph.output if one.name == "keypoints")
    count = output.type.tensor_type.shape.dim[2].dim_value // 3
    return [3 * ((k + 1) % count) + c for k in range(count) for c in range(3)]


# Exported files, beside the model in torch ------------------------------------------------------------------


def described(change: Callable[[dict[str, Any]], None]) -> Callable[[Graph], None]:
    """The description in the file's metadata, changed."""

    def edit(model: Graph) -> None:
        (entry,) = (one for one in model.metadata_props if one.key == "anydet")
        content = json.loads(entry.value)
        change(content)
        entry.value = json.dumps(content)

    return edit


def prepares(**changes: Any) -> Callable[[Graph], None]:
    """Another preprocessing in the metadata."""
    return described(lambda content: content["preprocess"].update(changes))


def renamed_classes(content: dict[str, Any]) -> None:
    """The first two names in each other's place."""
    names = content["classes"]
    names[0], names[1] = names[1], names[0]


def higher_floor(model: Graph) -> None:
    """Detections of a file of Faster R-CNN below 0.3 are none."""
    (node,) = (n for n in model.graph.node if "scores" in n.output)
    # scores = where(found, scores, 0), and the label of what is not found is -1.
    (labels,) = (n for n in model.graph.node if "labels" in n.output)
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.3, np.float32), "planted_floor"))
    at = list(model.graph.node).index(node)
    model.graph.node.insert(
        at, helper.make_node("Greater", [node.input[1], "planted_floor"], ["planted_found"], "planted")
    )
    for one in (node, labels):
        one.input[0] = "planted_found"


OF_FILES = (
    Fault(
        "metadata: another mean",
        "states",
        ("normalization",),
        ("mean",),
        graph=prepares(mean=[0.5, 0.5, 0.5]),
        torch=True,
    ),
    Fault(
        "metadata: no std",
        "masks",
        ("normalization",),
        ("std",),
        graph=prepares(std=[1.0, 1.0, 1.0]),
        torch=True,
    ),
    Fault(
        "metadata: BGR",
        "poses",
        ("channels",),
        ("BGR",),
        graph=prepares(channels="bgr"),
        torch=True,
    ),
    Fault(
        "metadata: without antialiasing",
        "keypoints",
        ("resize",),
        ("antialias",),
        graph=prepares(interpolation="bilinear"),
        torch=True,
    ),
    Fault(
        "metadata: two classes swapped",
        "poses",
        ("classes",),
        ("order",),
        graph=described(renamed_classes),
        torch=True,
    ),
    Fault("a threshold in the file", "states", ("threshold",), ("0.3",), graph=higher_floor, torch=True),
    Fault(
        "a threshold of the adapter",
        "keypoints",
        ("threshold",),
        ("below about",),
        settings={"score_floor": 0.15},
        torch=True,
    ),
    Fault(
        "one weight of the file changed",
        "poses",
        ("model",),
        ("1 of",),
        graph=changed_weight(5, one_number),
        torch=True,
    ),
)


# Clean pairs -----------------------------------------------------------------------------------------------


def unoptimized(path: str) -> Any:
    """A session without graph optimizations."""
    import onnxruntime

    session = Session(path, threads=1)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session


def renamed(model: Graph) -> None:
    """Other names of all nodes."""
    for i, node in enumerate(model.graph.node):
        node.name = f"node_{i}"


def other_tensors(model: Graph) -> None:
    """Other names of all tensors but inputs, outputs and weights."""
    kept = {
        one.name for part in (model.graph.input, model.graph.output, model.graph.initializer) for one in part
    }
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name and name not in kept:
                    names[i] = f"t_{name}"


def exact_inputs(detector: Detector) -> None:
    """Normalization in double precision."""
    own = detector._preprocessor
    made = type(own)(detector._preset.preprocess, np.float32)
    how = detector._preset.preprocess
    values = np.arange(256, dtype=np.float64)
    made._tables = np.stack(
        [(values / how.divisor - mean) / std for mean, std in zip(how.mean, how.std, strict=True)]
    ).astype(np.float32)
    detector._preprocessor = made


def stable(found: ImagePredictions) -> ImagePredictions:
    """Results in another order."""
    return found.take(np.arange(len(found))[::-1])


HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
OF_OPENVINO = tuple(
    Fault(
        "OpenVINO in bfloat16",
        model,
        ("precision",),
        ("as in bfloat16",),
        options={"precision": "bf16"},
        runtime="openvino",
    )
    for model in ("yolox", "nanodet")
)
OTHERS = ("opencv_dnn", *(("openvino",) if HAS_OPENVINO else ()))
CLEAN = (
    Fault("the same once more", "yolox", ()),
    Fault("two threads", "nanodet", (), options={"threads": 2}),
    Fault("no graph optimizations", "yolox", (), parts={"loader": unoptimized}),
    Fault("no graph optimizations", "nanodet", (), parts={"loader": unoptimized}),
    Fault("no graph optimizations", "fastestdet", (), parts={"loader": unoptimized}),
    *(Fault(f"by {name}", model, (), runtime=name) for name in OTHERS for model in MODELS),
    Fault("other names of nodes", "nanodet", (), graph=renamed),
    Fault("other names of tensors", "fastestdet", (), graph=other_tensors),
    Fault("normalization in double precision", "nanodet", (), parts={"fault": exact_inputs}),
    Fault("results in another order", "yolox", (), parts=changed_results(stable)),
    *(Fault("torch and its file", model, (), torch=True) for model in TRAINED),
    *(
        Fault(f"by {name}", model, (), runtime=name)
        for name in OTHERS
        for model in TRAINED
        if (name, model) != ("opencv_dnn", "states")
    ),
)


@dataclass(frozen=True)
class Files:
    """Where models and images are.

    Attributes:
        models: folder of the published ones.
        trained: what ``runtime_parity.py`` wrote.
        dataset: images for the published ones.
        images: how many.
    """

    models: Path
    trained: Path
    dataset: Path
    images: int

    def model(self, name: str) -> Path:
        """The ONNX file of a model."""
        if name in TRAINED:
            return self.trained / "exports" / TRAINED[name][0] / "model.onnx"
        return self.models / MODELS[name]

    def records(self, name: str) -> list[Any]:
        """Images for a model."""
        scenes = self.trained / "data" / TRAINED[name][2] / "val" if name in TRAINED else self.dataset
        return list(records_of(anydet.open_dataset(scenes), self.images))


def detector(fault: Fault, plugins: Plugins, folder: Path, files: Files) -> Any:
    """B: the adapter with the fault."""
    path = files.model(fault.model)
    if fault.graph is not None:
        model = onnx.load(str(path))
        fault.graph(model)
        path = folder / f"{fault.model}.onnx"
        onnx.save(model, str(path))
    ours = fault.model in TRAINED
    options = {"threads": 1, **({} if ours else {"preset": fault.model}), **fault.options}
    values = {"score_floor": FLOOR if ours else 0.001, "batch_size": 1, **fault.settings}
    settings = plugins.settings(fault.runtime, options=options, checkpoint=str(path), **values)
    if fault.runtime == "onnxruntime":
        return Detector(settings, **fault.parts)
    return plugins.adapter(fault.runtime, settings)


def torch_adapter(fault: Fault, plugins: Plugins, files: Files) -> Any:
    """A, where it is the adapter that was trained."""
    run, name, _ = TRAINED[fault.model]
    checkpoint = str(files.trained / "runs" / run)
    return plugins.adapter(
        name, plugins.settings(name, checkpoint=checkpoint, score_floor=FLOOR, batch_size=1)
    )


def run(fault: Fault, plugins: Plugins, files: Files) -> Located:
    """What is said of one fault."""
    floor = FLOOR if fault.model in TRAINED else 0.001
    with tempfile.TemporaryDirectory() as folder:
        if fault.torch:
            right = torch_adapter(fault, plugins, files)
        else:
            right = detector(Fault("", fault.model, ()), plugins, Path(), files)
        wrong = detector(fault, plugins, Path(folder), files)
        # Of a clean pair, no difference is left to the tolerances: stages are crossed for rounding, too.
        limits = Tolerances() if fault.steps else Tolerances(box_px=0.0, score=0.0)
        both = predict_both(
            right, wrong, files.records(fault.model), ParitySettings(limits), limits=Limits(floor)
        )
        return locate(both)


def is_named(fault: Fault, found: Located) -> bool:
    """Whether the first finding has the right step and cause."""
    if not found.findings:
        return False
    first = found.findings[0]
    return first.step in fault.steps and (not fault.words or any(word in first.cause for word in fault.words))


def main() -> None:
    """Plant all faults and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=SHARED / "models")
    parser.add_argument("--trained", type=Path, default=Path("build/runtime_parity"))
    parser.add_argument("--dataset", type=Path, default=SHARED / "coco128")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--only", default="", help="faults with this in their name")
    parser.add_argument("--model", choices=[*MODELS, *TRAINED], help="faults of this model alone")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    plugins = Plugins.from_env()
    files = Files(arguments.models, arguments.trained, arguments.dataset, arguments.images)
    missing = {name for name in TRAINED if not files.model(name).exists()}
    if missing:
        print(f"left out without benchmarks/runtime_parity.py: {', '.join(sorted(missing))}")
    rows = []
    if not HAS_OPENVINO:
        print("left out without the package openvino: its bfloat16, and its float32 as clean pairs")
    for fault in (*FAULTS, *OF_PARTS, *OF_FILES, *(OF_OPENVINO if HAS_OPENVINO else ()), *CLEAN):
        wanted = arguments.only in fault.name and arguments.model in (None, fault.model)
        if not wanted or fault.model in missing:
            continue
        found = run(fault, plugins, files)
        clean = not fault.steps
        good = not found.findings if clean else is_named(fault, found)
        said = "; ".join(f"{one.step}: {one.cause}" for one in found.findings) or found.reason
        rows.append(
            {
                "fault": fault.name,
                "model": fault.model,
                "clean": clean,
                "good": good,
                "cured": found.cured,
                "said": said,
                "evidence": [one.evidence for one in found.findings],
            }
        )
        mark = "ok " if good else "BAD"
        print(f"{mark} {fault.model:<10} {fault.name:<42} {said[:150]}", flush=True)
    faults, clean_rows = ([row for row in rows if row["clean"] is side] for side in (False, True))
    print(f"\nnamed rightly: {sum(row['good'] for row in faults)} of {len(faults)} faults")
    print(f"false accusations: {sum(not row['good'] for row in clean_rows)} in {len(clean_rows)} clean pairs")
    print(f"cured by A's stages: {sum(bool(row['cured']) for row in faults)} of {len(faults)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
