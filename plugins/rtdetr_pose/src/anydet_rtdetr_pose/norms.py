"""Other normalizations in place of a network's batch norms."""

from __future__ import annotations

import math

import torch
from timm.layers.norm_act import (
    BatchNormAct2d,
    FrozenBatchNormAct2d,
    GroupNormAct,
    convert_sync_batchnorm,
)
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from anydet_rtdetr_pose.architecture import Norm

_GROUPS = 32


def replace_norms(module: nn.Module, norm: Norm) -> int:
    """Put ``norm`` in the place of each batch norm below ``module``; gives how many there were.

    ``frozenbn`` keeps statistics and weights as they are and learns none of them. ``gn`` has groups of equal
    size, at most 32. ``syncbn`` averages statistics over processes, and is ``bn`` where there is one.
    """
    replaced = 0
    # A list, as setattr changes the dictionary that is iterated.
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _other(child, norm))
            replaced += 1
        else:
            replaced += replace_norms(child, norm)
    return replaced


def group_count(channels: int) -> int:
    """The largest divisor of ``channels`` and 32."""
    return math.gcd(channels, _GROUPS)


def _other(norm: nn.BatchNorm2d, kind: Norm) -> nn.Module:
    if kind == "gn":
        return _group(norm)
    if kind == "frozenbn":
        return _frozen(norm)
    return _synchronized(norm) if kind == "syncbn" else norm


def _synchronized(norm: nn.BatchNorm2d) -> nn.Module:
    # torch's own refuses tensors on the CPU, and one process needs no synchronizing
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    if not several or not torch.cuda.is_available():
        return norm
    shared: nn.Module = convert_sync_batchnorm(norm)  # type: ignore[no-untyped-call]
    return shared


def _frozen(norm: nn.BatchNorm2d) -> nn.Module:
    frozen: nn.Module
    if isinstance(norm, BatchNormAct2d):
        frozen = FrozenBatchNormAct2d(norm.num_features, eps=norm.eps)
        # timm's norms hold the activation too; a plain norm in their place would drop it silently.
        frozen.drop, frozen.act = norm.drop, norm.act
    else:
        frozen = FrozenBatchNorm2d(norm.num_features, eps=norm.eps)
    state = {key: value for key, value in norm.state_dict().items() if key != "num_batches_tracked"}
    frozen.load_state_dict(state)
    return frozen


def _group(norm: nn.BatchNorm2d) -> nn.Module:
    groups, channels = group_count(norm.num_features), norm.num_features
    if not isinstance(norm, BatchNormAct2d):
        return nn.GroupNorm(groups, channels)
    group = GroupNormAct(channels, groups)
    group.drop, group.act = norm.drop, norm.act
    return group
