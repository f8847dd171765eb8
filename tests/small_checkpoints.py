"""Small models of the torch adapters, with random weights."""

from __future__ import annotations

import torch

from anydet.training.checkpoints.checkpoint import Checkpoint
from anydet_adaptivestream.model import AdaptiveStream, Architecture
from anydet_fasterrcnn_multitask.architecture import Architecture as RcnnArchitecture
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.saved import About
from anydet_rtdetr_pose.architecture import Architecture as DetrArchitecture
from anydet_rtdetr_pose.architecture import Backbone, Inputs, Model, Projector, Transformer
from anydet_rtdetr_pose.model import PoseDetector

CLASSES = ("background", "circle", "square", "triangle", "star")
"""Of the scenes that adaptivestream begins to train on."""
OURS = "adaptivestream", "fasterrcnn_multitask", "rtdetr_pose"


def whole(adapter):
    """A checkpoint with random weights, as training would write it."""
    torch.manual_seed(0)
    if adapter == "adaptivestream":
        built = Architecture(len(CLASSES))
        described = {"architecture": built.as_dict(), "image_size": 64}
        return Checkpoint(adapter, AdaptiveStream(built).state_dict(), described, CLASSES)
    if adapter == "fasterrcnn_multitask":
        sizes = {"min_size": 64, "max_size": 96, "pyramid_channels": 16, "representation_size": 8}
        about = About(RcnnArchitecture.of(len(CLASSES), "resnet18_fpn", norm="group", **sizes), CLASSES)
        state = MultiTaskFasterRCNN(about.architecture).state_dict()
        return Checkpoint(adapter, state, about.description(), CLASSES)
    model = Model(
        backbone=Backbone(name="tiny_cnn", args={"width_mult": 0.5}),
        projector=Projector(d_model=32),
        transformer=Transformer(decoder_layers=2, ffn_dim=32, attention_heads=4),
    )
    built = DetrArchitecture(classes=CLASSES, model=model, inputs=Inputs(size_wh=(64, 64)), num_queries=12)
    return Checkpoint(adapter, PoseDetector(built).state_dict(), built.description(), CLASSES)
