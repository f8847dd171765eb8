"""What this plugin offers, as data: importing it imports neither torch nor the model."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins import AdapterSpec, hookimpl
from anydet.plugins.specs import CommandSpec

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``adaptivestream`` adapter."""
    register(
        AdapterSpec(
            name="adaptivestream",
            factory="anydet_adaptivestream.adapter:AdaptiveStreamAdapter",
            summary="Joint semantic segmentation and image classification",
            tasks=("segment", "classify"),
            capabilities=("predict", "train", "ttt", "features", "self-supervised", "export-onnx"),
            options_schema="anydet_adaptivestream:options.schema.json",
            training_schema="anydet_adaptivestream:training.schema.json",
        )
    )


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """``anydet adaptivestream``: a quick test."""
    register(
        CommandSpec(
            "adaptivestream",
            "anydet_adaptivestream.commands:command",
            "Test training of joint segmentation and classification on this machine.",
        )
    )
