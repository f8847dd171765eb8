"""ONNX detectors in OpenCV's DNN module behind one anydet adapter. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import AdapterSpec

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``opencv_dnn`` adapter."""
    register(
        AdapterSpec(
            name="opencv_dnn",
            factory="anydet_opencv_dnn.adapter:OpenCvDnnAdapter",
            summary="ONNX detectors in OpenCV's DNN module, on the CPU",
            tasks=("detect", "segment", "keypoints", "states", "pose", "classify"),
            capabilities=("predict",),
            options_schema="anydet_opencv_dnn:options.schema.json",
        )
    )
