"""Backbones with a feature pyramid on top (Lin et al. 2017, "Feature Pyramid Networks")."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import nn
from torchvision.models import mobilenet_v3_large, resnet18, resnet50
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from anydet.errors import OptionError
from anydet_fasterrcnn_multitask.architecture import Architecture
from anydet_fasterrcnn_multitask.norms import norm_layer

_RESNETS = {"resnet50_fpn": resnet50, "resnet50_fpn_v2": resnet50, "resnet18_fpn": resnet18}


def build_pyramid(architecture: Architecture, trainable_layers: int | None = None) -> BackboneWithFPN:
    """(B, 3, H, W) inputs to level name -> (B, ``pyramid_channels``, h, w); weights are random.

    Args:
        architecture: backbone, norm and channels.
        trainable_layers: stages of the backbone that learn, counted from the last; ``None`` for all.

    Raises:
        OptionError: the backbone has fewer stages.
    """
    resnet = architecture.backbone in _RESNETS
    body, stages = _resnet(architecture) if resnet else _mobilenet(architecture)
    learning = len(stages) if trainable_layers is None else trainable_layers
    if learning > len(stages):
        raise OptionError(
            f"trainable_backbone_layers: {architecture.backbone} has {len(stages)} stages, not {learning}",
            fix=f"use 0 to {len(stages)}",
        )
    for stage in stages[: len(stages) - learning]:
        for module in stage:
            module.requires_grad_(False)
    return _with_pyramid(architecture, body)


Stages = list[list[nn.Module]]
"""Modules of each stage that is frozen as one, first ones first, as torchvision cuts them."""


def _resnet(architecture: Architecture) -> tuple[nn.Module, Stages]:
    name = architecture.backbone
    body = _RESNETS[name](weights=None, norm_layer=norm_layer(architecture.norm, name))
    layers: Stages = [[layer] for layer in (body.layer1, body.layer2, body.layer3, body.layer4)]
    return body, [[body.conv1, body.bn1], *layers]


def _mobilenet(architecture: Architecture) -> tuple[nn.Module, Stages]:
    norm = norm_layer(architecture.norm, architecture.backbone)
    body = mobilenet_v3_large(weights=None, norm_layer=norm).features
    starts = [*_strided_blocks(body), len(body)]
    return body, [list(body[a:b]) for a, b in pairwise(starts)]


def _strided_blocks(features: nn.Sequential) -> list[int]:
    """Positions of MobileNet's blocks that begin a stage; the first and the last block always do."""
    # torchvision marks these blocks itself (_is_cn) and cuts its own detectors by the mark.
    strided = [i for i, block in enumerate(features) if getattr(block, "_is_cn", False)]
    return [0, *strided, len(features) - 1]


def _with_pyramid(architecture: Architecture, body: nn.Module) -> BackboneWithFPN:
    name = architecture.backbone
    if isinstance(body, nn.Sequential):
        levels: dict[str, Any] = {str(i): body[i].out_channels for i in _strided_blocks(body)[-2:]}
    else:
        widest: int = body.inplanes  # type: ignore[assignment]
        levels = {f"layer{i}": widest >> (4 - i) for i in range(1, 5)}
    # torchvision's first ResNet detectors have no norms in the pyramid; extra ones would not fit their
    # weights.
    normed = architecture.norm == "group" or name == "resnet50_fpn_v2"
    return BackboneWithFPN(
        body,
        {layer: str(level) for level, layer in enumerate(levels)},
        list(levels.values()),
        architecture.pyramid_channels,
        extra_blocks=LastLevelMaxPool(),
        norm_layer=norm_layer(architecture.norm, name) if normed else None,
    )
