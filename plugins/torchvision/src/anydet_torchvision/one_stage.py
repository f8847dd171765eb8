"""``OneStage``: RetinaNet, FCOS, SSD and SSDlite, which say something of every anchor of every place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

from anydet.plugins.adapter import ClassLogits
from anydet.training.detectors.targets import Target
from anydet.training.model import NamedRows
from anydet_torchvision.model import Detector, Losses, of_parts


class OneStage(Detector):
    """Class logits are of all anchors, the same in all models of inputs of one size."""

    @property
    def _limited(self) -> Any:
        return self.net

    @property
    def _parts(self) -> tuple[nn.Module, ...]:
        return (self.net,)

    def class_logits(self, inputs: ImageList, boxes: list[Tensor] | None = None) -> ClassLogits:
        """Of all anchors, whatever ``boxes``: softmax with the background as 0 of an SSD, else sigmoids."""
        del boxes
        features = self.net.backbone(inputs.tensors)
        return self._class_logits(self.net.head(list(features.values())))

    def losses(self, images: list[Tensor], targets: list[Target]) -> Losses:
        """As ``Detector.losses``."""
        seen = dict[str, Any]()
        hook = self.net.head.register_forward_hook(lambda _, __, found: seen.update(found=found))
        try:
            losses, _ = self._trained(images, targets)
        finally:
            hook.remove()
        return losses, self._class_logits(seen["found"])

    def named_rows(self) -> Mapping[str, NamedRows]:
        """Of the classification head: for each anchor, the background's and those of the classes."""
        head = self.net.head.classification_head
        anchors = self.net.anchor_generator.num_anchors_per_location()
        if not isinstance(self.net, SSD):
            return of_parts({"head.classification_head.cls_logits": NamedRows(before=1, blocks=anchors[0])})
        rows = {}
        for level, (module, blocks) in enumerate(zip(head.module_list, anchors, strict=True)):
            # SSDlite's convolution stands behind a depthwise one.
            last = f".{len(module) - 1}" if isinstance(module, nn.Sequential) else ""
            name = f"head.classification_head.module_list.{level}{last}"
            rows[name] = NamedRows(before=1, blocks=blocks)
        return of_parts(rows)

    def _class_logits(self, found: Mapping[str, Tensor]) -> ClassLogits:
        logits = found["cls_logits"].float()
        valid = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
        if isinstance(self.net, SSD):
            return ClassLogits(logits[..., self.columns], valid, "softmax", background=0)
        return ClassLogits(logits[..., self.columns[1:]], valid, "sigmoid")
