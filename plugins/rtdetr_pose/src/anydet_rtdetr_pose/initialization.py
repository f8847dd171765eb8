"""First weights of what is trained from scratch.

``transformers`` draws gammas of batch norms and most weights from N(0, 0.01), which is fit for weights that
are loaded afterwards. Here convolutions and linear layers begin as in the RT-DETR paper's code.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers.models.rt_detr_v2.modeling_rt_detr_v2 import (
    RTDetrV2ForObjectDetection,
    RTDetrV2MLPPredictionHead,
    RTDetrV2MultiscaleDeformableAttention,
)


@torch.no_grad()
def initialize(detector: RTDetrV2ForObjectDetection) -> None:
    """Draw the weights of all but the backbone anew."""
    backbone = set(detector.model.backbone.modules())
    for module in detector.modules():
        if module not in backbone:
            _draw(module)
    for module in detector.modules():
        if isinstance(module, RTDetrV2MultiscaleDeformableAttention):
            nn.init.zeros_(module.sampling_offsets.weight)
            nn.init.zeros_(module.attention_weights.weight)
            module.sampling_offsets.bias.copy_(_star(module))
    _start_boxes(detector)
    _start_classes(detector)


def _draw(module: nn.Module) -> None:
    if isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _start_boxes(detector: RTDetrV2ForObjectDetection) -> None:
    """Boxes begin at their anchors."""
    heads = [*detector.model.decoder.bbox_embed, detector.model.enc_bbox_head]
    for head in heads:
        assert isinstance(head, RTDetrV2MLPPredictionHead)
        for parameter in head.layers[-1].parameters():
            nn.init.zeros_(parameter)


def _start_classes(detector: RTDetrV2ForObjectDetection) -> None:
    """Scores begin at 1 in 100, as most queries show nothing (Lin et al. 2017, "Focal Loss")."""
    bias = -math.log((1 - 0.01) / 0.01)
    for head in (*detector.model.decoder.class_embed, detector.model.enc_score_head):
        nn.init.constant_(head.bias, bias)


def _star(attention: RTDetrV2MultiscaleDeformableAttention) -> torch.Tensor:
    """Each attention head looks into its own direction, each point one step further (Zhu et al. 2020)."""
    angles = torch.arange(attention.n_heads) * (2 * math.pi / attention.n_heads)
    rays = torch.stack([angles.cos(), angles.sin()], dim=-1)
    rays = rays / rays.abs().amax(dim=-1, keepdim=True)
    steps = torch.arange(1, attention.n_points + 1.0)
    star = rays[:, None, None] * steps[:, None]
    return star.expand(-1, attention.n_levels, -1, -1).reshape(-1)
