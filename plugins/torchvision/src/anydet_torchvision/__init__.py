"""torchvision's detection models behind an anydet adapter. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import AdapterSpec

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``torchvision`` adapter."""
    register(
        AdapterSpec(
            name="torchvision",
            factory="anydet_torchvision.adapter:Torchvision",
            summary="torchvision's detectors: Faster, Mask and Keypoint R-CNN, RetinaNet, FCOS, SSD, SSDlite",
            tasks=("detect", "segment", "keypoints"),
            capabilities=("predict", "train", "ttt", "features", "self-supervised", "export-onnx"),
            options_schema="anydet_torchvision:options.schema.json",
            training_schema="anydet_torchvision:training.schema.json",
        )
    )
