"""ONNX files and models of OpenVINO behind one anydet adapter. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import AdapterSpec

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``openvino`` adapter."""
    register(
        AdapterSpec(
            name="openvino",
            factory="anydet_openvino.adapter:OpenVinoAdapter",
            summary="ONNX detectors and OpenVINO's own files, on CPUs, GPUs and NPUs by OpenVINO",
            tasks=("detect", "segment", "keypoints", "states", "pose", "classify"),
            capabilities=("predict",),
            options_schema="anydet_openvino:options.schema.json",
        )
    )
