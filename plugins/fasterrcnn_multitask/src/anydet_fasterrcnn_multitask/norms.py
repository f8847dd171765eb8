"""Normalization layers of backbones."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from anydet_fasterrcnn_multitask.architecture import Backbone, Norm

_LARGEST_GROUP_COUNT = 32


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalization over 32 groups, or over as many as divide the channels (MobileNet's 24 and 40)."""
    return nn.GroupNorm(math.gcd(_LARGEST_GROUP_COUNT, channels), channels)


def norm_layer(norm: Norm, backbone: Backbone) -> Any:
    """What makes the norm of so many channels."""
    if norm == "frozen":
        # torchvision's COCO weights of this backbone were trained with no epsilon
        return partial(FrozenBatchNorm2d, eps=0.0) if backbone == "resnet50_fpn" else FrozenBatchNorm2d
    return {"batch": nn.BatchNorm2d, "group": group_norm}[norm]
