"""RT-DETR with pose heads behind an anydet adapter. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import AdapterSpec

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``rtdetr_pose`` adapter."""
    register(
        AdapterSpec(
            name="rtdetr_pose",
            factory="anydet_rtdetr_pose.adapter:RTDETRPose",
            summary="RT-DETR that also predicts depth, rotation and translation of objects",
            tasks=("detect", "pose"),
            capabilities=("predict", "train", "ttt", "features", "self-supervised", "export-onnx"),
            options_schema="anydet_rtdetr_pose:options.schema.json",
            training_schema="anydet_rtdetr_pose:training.schema.json",
        )
    )
