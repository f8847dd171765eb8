"""What a model is built of: backbones with feature pyramids, their norms, and the heads that go with them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large, resnet18, resnet50
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import _mobilenet_extractor, _resnet_fpn_extractor
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from anydet.errors import OptionError
from anydet_fasterrcnn_multitask.architecture import Architecture, Backbone, Norm

_RESNETS = {"resnet50_fpn": resnet50, "resnet50_fpn_v2": resnet50, "resnet18_fpn": resnet18}
_LARGEST_GROUP_COUNT = 32
_POOLED = 7


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalisation over 32 groups, or over as many as divide the channels (MobileNet's 24 and 40)."""
    return nn.GroupNorm(math.gcd(_LARGEST_GROUP_COUNT, channels), channels)


def norm_layer(norm: Norm, backbone: Backbone) -> Any:
    """What makes the norm of so many channels."""
    if norm == "frozen":
        # torchvision's COCO weights of this backbone were trained with no epsilon
        return partial(FrozenBatchNorm2d, eps=0.0) if backbone == "resnet50_fpn" else FrozenBatchNorm2d
    return {"batch": nn.BatchNorm2d, "group": group_norm}[norm]


def build_backbone(architecture: Architecture, trainable_layers: int | None = None) -> nn.Module:
    """The feature pyramid, with random weights: image tensor to level name -> (B, 256, h, w).

    Args:
        architecture: backbone and norm.
        trainable_layers: stages that learn, counted from the last; ``None`` for all.

    Raises:
        OptionError: the backbone has fewer stages.
    """
    name = architecture.backbone
    norm = norm_layer(architecture.norm, name)
    most = trainable_stages(name)
    layers = most if trainable_layers is None else trainable_layers
    if layers > most:
        raise OptionError(
            f"trainable_backbone_layers: {name} has {most} stages, not {layers}", fix=f"use 0 to {most}"
        )
    pyramid_norm = norm if architecture.norm == "group" or name == "resnet50_fpn_v2" else None
    if name in _RESNETS:
        body = _RESNETS[name](weights=None, norm_layer=norm)
        pyramid = _resnet_fpn_extractor(body, layers, norm_layer=pyramid_norm)
    else:
        body = mobilenet_v3_large(weights=None, norm_layer=norm)
        pyramid = _mobilenet_extractor(body, True, layers, norm_layer=pyramid_norm)
    found: nn.Module = pyramid
    return found


def trainable_stages(backbone: Backbone) -> int:
    """How many stages can be frozen one by one."""
    return 5 if backbone in _RESNETS else 6


def build_anchors(architecture: Architecture) -> AnchorGenerator:
    """One size a level for ResNets, all sizes on each of MobileNet's three levels, as torchvision has it."""
    ratios = (0.5, 1.0, 2.0)
    if architecture.backbone in _RESNETS:
        sizes: tuple[tuple[float, ...], ...] = tuple((size,) for size in architecture.anchor_sizes)
    else:
        sizes = (architecture.anchor_sizes,) * 3
    return AnchorGenerator(sizes, (ratios,) * len(sizes))


def build_roi_pool(architecture: Architecture) -> MultiScaleRoIAlign:
    """(N, 256, 7, 7) features of boxes, each from the level of its size."""
    levels = 4 if architecture.backbone in _RESNETS else 2
    return MultiScaleRoIAlign([str(i) for i in range(levels)], output_size=_POOLED, sampling_ratio=2)


def build_box_head(architecture: Architecture, channels: int) -> nn.Module:
    """Pooled features to (N, ``representation_size``): two layers, or four convolutions and one."""
    size = architecture.representation_size
    if architecture.backbone == "resnet50_fpn_v2":
        norm = norm_layer(architecture.norm, architecture.backbone)
        head = FastRCNNConvFCHead((channels, _POOLED, _POOLED), [256] * 4, [size], norm_layer=norm)
    else:
        head = TwoMLPHead(channels * _POOLED**2, size)
    built: nn.Module = head
    return built


def build_state_head(architecture: Architecture) -> nn.Sequential:
    """Features of a region to the logits of its state."""
    size = architecture.representation_size
    return nn.Sequential(
        nn.Linear(size, 256),
        nn.ReLU(),
        nn.Dropout(architecture.dropout),
        nn.Linear(256, architecture.state_count),
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


def build_proposal_head(architecture: Architecture, channels: int, anchors: AnchorGenerator) -> ProposalHead:
    """Objectness and boxes of anchors; two convolutions in v2."""
    depth = 2 if architecture.backbone == "resnet50_fpn_v2" else 1
    return ProposalHead(channels, anchors.num_anchors_per_location()[0], conv_depth=depth)
