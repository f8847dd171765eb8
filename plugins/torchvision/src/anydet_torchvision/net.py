"""``build_net``: the bare model of torchvision, with random weights, and the norms that its weights need."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.keypoint_rcnn import KeypointRCNN
from torchvision.ops import FrozenBatchNorm2d

from anydet.errors import OptionError
from anydet.training.detectors.pooling import pin_scales
from anydet_torchvision.about import About
from anydet_torchvision.zoo import builder_of

_TWO_STAGES = {"proposals": "rpn_post_nms_top_n_test", "nms_iou": "box_nms_thresh"}
_ONE_STAGE = {"nms_iou": "nms_thresh"}
_SIZES = {"min_size": "min_size", "max_size": "max_size"}


def build_net(about: About) -> Any:
    """The module that torchvision's own builder gives, in training mode.

    Raises ``OptionError`` for a number that the architecture does not have.
    """
    keypoints = {"num_keypoints": len(about.keypoint_names)} if about.keypoint_names else {}
    net: Any = builder_of(about.model)(
        weights=None,
        weights_backbone=None,
        num_classes=len(about.rows) + 1,
        **keypoints,
        **_numbers(about),
    )
    if about.norm_eps is not None:
        freeze_norms(net.backbone, about.norm_eps)
    if isinstance(net, GeneralizedRCNN):
        for name in ("box_roi_pool", "mask_roi_pool", "keypoint_roi_pool"):
            pool = getattr(net.roi_heads, name, None)
            if pool is not None:
                pin_scales(pool, _strides(len(pool.featmap_names), about.model))
    return net


def freeze_norms(module: nn.Module, eps: float) -> None:
    """Batch norms in a module become those of torchvision whose statistics and weights are fixed."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps))
        else:
            freeze_norms(child, eps)


def frozen_eps(module: nn.Module) -> float | None:
    """Epsilon of the frozen norms in a module, ``None`` where it has none."""
    return next((one.eps for one in module.modules() if isinstance(one, FrozenBatchNorm2d)), None)


def is_keypoint_model(net: Any) -> bool:
    """Whether it predicts keypoints."""
    return isinstance(net, KeypointRCNN)


def _numbers(about: About) -> dict[str, Any]:
    """What the builder takes of the numbers that are given."""
    names = (_TWO_STAGES if "rcnn" in about.model else _ONE_STAGE) | (
        {} if about.model.startswith("ssd") else _SIZES
    )
    given = {key: value for key in (*_SIZES, *_TWO_STAGES) if (value := getattr(about, key)) is not None}
    for key in given:
        if key not in names:
            why = "inputs of one size" if key in _SIZES else "no second stage"
            raise OptionError(f"{key}: {about.model} has {why}", fix=f"leave {key} out")
    least, most = given.get("min_size"), given.get("max_size")
    if least is not None and most is not None and most < least:
        raise OptionError(
            f"max_size {most} is smaller than min_size {least}",
            fix=f"set max_size to {least} or more; it is the maximum of the long side",
        )
    return {names[key]: value for key, value in given.items()}


def _strides(levels: int, model: str) -> tuple[int, ...]:
    """Of the levels that regions are pooled from: ResNet's four, or MobileNet's last two of one stride."""
    return (32, 32) if "mobilenet" in model else tuple(4 << level for level in range(levels))
