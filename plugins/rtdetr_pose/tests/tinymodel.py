"""An architecture of some ten thousand weights."""

from __future__ import annotations

from typing import Any

from anydet_rtdetr_pose.architecture import Architecture, Inputs, read_model

CLASSES = ("ball", "cube", "cup")
MODEL = {
    "backbone": {"name": "tiny_cnn", "args": {"width_mult": 0.5}},
    "projector": {"d_model": 32},
    "transformer": {"decoder_layers": 2, "ffn_dim": 32, "attention_heads": 4, "expansion": 0.5},
}
"""The key ``model`` of it."""


def tiny_architecture(**changes: Any) -> Architecture:
    """For inputs of 96 x 64 pixels."""
    chosen = {"classes": CLASSES, "num_queries": 12, "num_denoising": 8, "inputs": Inputs(size_wh=(96, 64))}
    return Architecture(**{"model": read_model(MODEL), **chosen, **changes})
