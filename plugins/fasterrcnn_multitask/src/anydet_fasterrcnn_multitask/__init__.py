"""Faster R-CNN with a state head behind an anydet adapter. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.specs import AdapterSpec, CommandSpec

PLUGIN_API = 2


@hookimpl
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """The ``fasterrcnn_multitask`` adapter."""
    register(
        AdapterSpec(
            name="fasterrcnn_multitask",
            factory="anydet_fasterrcnn_multitask.adapter:FasterRCNNMultiTask",
            summary="Faster R-CNN that also predicts the state of objects (bike parts)",
            tasks=("detect", "states"),
            capabilities=("predict", "train", "ttt", "features", "self-supervised", "export-onnx"),
            options_schema="anydet_fasterrcnn_multitask:options.schema.json",
            training_schema="anydet_fasterrcnn_multitask:training.schema.json",
        )
    )


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """``anydet fasterrcnn-multitask``: annotations made ready to train on."""
    register(
        CommandSpec(
            "fasterrcnn-multitask",
            "anydet_fasterrcnn_multitask.commands:command",
            "Prepare and split DelftBikes annotations for training.",
        )
    )
