"""Engines of TensorRT and TensorRT-RTX behind one anydet adapter. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import AdapterSpec, CommandSpec

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``tensorrt`` adapter."""
    register(
        AdapterSpec(
            name="tensorrt",
            factory="anydet_tensorrt.adapter:TensorRTAdapter",
            summary="engines of TensorRT and TensorRT-RTX, built by 'anydet tensorrt build', on NVIDIA GPUs",
            tasks=("detect", "segment", "keypoints", "states", "pose", "classify"),
            capabilities=("predict", "inputs"),
            options_schema="anydet_tensorrt:options.schema.json",
            device="cuda",
        )
    )


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """``anydet tensorrt``: engines, and all that shows whether one predicts as its model does."""
    register(
        CommandSpec(
            "tensorrt",
            "anydet_tensorrt.commands:command",
            "Build TensorRT engines of ONNX models, and compare them with the models.",
        )
    )
