"""Anchors, proposals, and the heads of regions."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from anydet.training.detectors.pooling import pin_scales
from anydet_fasterrcnn_multitask.architecture import Architecture
from anydet_fasterrcnn_multitask.norms import norm_layer

_POOLED = 7
_HIDDEN = 256


def build_anchors(architecture: Architecture) -> AnchorGenerator:
    """One size a level for ResNets, all sizes on each of MobileNet's three levels, as torchvision has it."""
    ratios = (0.5, 1.0, 2.0)
    if architecture.backbone.startswith("resnet"):
        sizes: tuple[tuple[float, ...], ...] = tuple((size,) for size in architecture.anchor_sizes)
    else:
        sizes = (architecture.anchor_sizes,) * 3
    return AnchorGenerator(sizes, (ratios,) * len(sizes))


def build_roi_pool(architecture: Architecture) -> MultiScaleRoIAlign:
    """(N, C, 7, 7) features of boxes, each from the level of its size."""
    # The last, pooled level has proposals alone; regions are pooled from the others, as in torchvision.
    strides = (4, 8, 16, 32) if architecture.backbone.startswith("resnet") else (32, 32)
    pool = MultiScaleRoIAlign([str(i) for i in range(len(strides))], output_size=_POOLED, sampling_ratio=2)
    pin_scales(pool, strides)
    return pool


def build_box_head(architecture: Architecture) -> nn.Module:
    """Pooled features to (N, ``representation_size``): two layers, or four convolutions and one."""
    channels, size = architecture.pyramid_channels, architecture.representation_size
    if architecture.backbone == "resnet50_fpn_v2":
        norm = norm_layer(architecture.norm, architecture.backbone)
        head = FastRCNNConvFCHead((channels, _POOLED, _POOLED), [channels] * 4, [size], norm_layer=norm)
    else:
        head = TwoMLPHead(channels * _POOLED**2, size)
    built: nn.Module = head
    return built


def build_state_head(architecture: Architecture) -> nn.Sequential:
    """Features of a region to the logits of its state."""
    size = architecture.representation_size
    return nn.Sequential(
        nn.Linear(size, _HIDDEN),
        nn.ReLU(),
        nn.Dropout(architecture.dropout),
        nn.Linear(_HIDDEN, architecture.state_count),
    )


class ProposalHead(RPNHead):  # type: ignore[misc]
    """torchvision's, whose results are float32 under mixed precision too.

    Anchors and boxes take the precision of what is decoded: at 1000 pixels float16 has steps of half a
    pixel, bfloat16 of four.
    """

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Objectness and box deltas of each level."""
        objectness, deltas = super().forward(x)
        return [level.float() for level in objectness], [level.float() for level in deltas]


def build_proposal_head(architecture: Architecture, anchors: AnchorGenerator) -> ProposalHead:
    """Objectness and boxes of anchors; two convolutions in v2."""
    depth = 2 if architecture.backbone == "resnet50_fpn_v2" else 1
    channels = architecture.pyramid_channels
    return ProposalHead(channels, anchors.num_anchors_per_location()[0], conv_depth=depth)
