"""Detectors of Hugging Face transformers behind an anydet adapter. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import AdapterSpec, CommandSpec

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``transformers`` adapter."""
    register(
        AdapterSpec(
            name="transformers",
            factory="anydet_transformers.adapter:Transformers",
            summary="DETR, RT-DETR, D-FINE, YOLOS, Mask2Former, OWL-ViT and other models of transformers",
            tasks=("detect", "segment"),
            capabilities=("predict", "train", "ttt", "features", "self-supervised", "export-onnx"),
            options_schema="anydet_transformers:options.schema.json",
            training_schema="anydet_transformers:training.schema.json",
        )
    )


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """``anydet transformers``: checkpoints as folders that the library loads."""
    register(
        CommandSpec(
            "transformers",
            "anydet_transformers.commands:command",
            "Save a trained model as a folder for transformers.",
        )
    )
