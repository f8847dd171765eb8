"""ONNX detectors of several families behind one anydet adapter. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import AdapterSpec, CommandSpec

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``onnxruntime`` adapter."""
    register(
        AdapterSpec(
            name="onnxruntime",
            factory="anydet_onnxruntime.adapter:OnnxRuntimeAdapter",
            summary="ONNX detectors: YOLO, NanoDet, FastestDet, DETR families, torchvision, faces",
            tasks=("detect", "segment", "keypoints", "states", "pose", "classify"),
            capabilities=("predict",),
            options_schema="anydet_onnxruntime:options.schema.json",
        )
    )


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """``anydet quantize``: what ONNX Runtime quantizes and the evaluator lets pass."""
    register(
        CommandSpec(
            "quantize",
            "anydet_onnxruntime.commands:command",
            "Quantize an ONNX model to int8, leaving in float the layers that cost AP.",
        )
    )
