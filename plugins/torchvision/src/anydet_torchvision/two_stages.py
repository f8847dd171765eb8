"""``TwoStages``: Faster, Mask and Keypoint R-CNN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from anydet.plugins.adapter import ClassLogits
from anydet.training.detectors.modes import switched
from anydet.training.detectors.regions import Regions
from anydet.training.detectors.targets import Target
from anydet.training.model import NamedRows
from anydet_torchvision.model import Detector, Losses, of_parts


class TwoStages(Detector):
    """Class logits are of regions: those that the first stage proposes, or others that are given."""

    @property
    def _limited(self) -> Any:
        return self.net.roi_heads

    @property
    def _parts(self) -> tuple[nn.Module, ...]:
        return self.net, self.net.rpn, self.net.roi_heads

    def class_logits(self, inputs: ImageList, boxes: list[Tensor] | None = None) -> ClassLogits:
        """Of regions; softmax, the background is 0."""
        heads = self.net.roi_heads
        features = self.net.backbone(inputs.tensors)
        if boxes is None:
            with switched((self.net.rpn,), training=False):
                boxes, _ = self.net.rpn(inputs, features)
        pooled = heads.box_head(heads.box_roi_pool(features, boxes, inputs.image_sizes))
        return self._class_logits(boxes, heads.box_predictor(pooled), inputs)

    def losses(self, images: list[Tensor], targets: list[Target]) -> Losses:
        """As ``Detector.losses``; logits are of the regions that were sampled."""
        heads, seen = self.net.roi_heads, dict[str, Any]()
        hooks = (
            heads.box_roi_pool.register_forward_pre_hook(lambda _, given: seen.update(boxes=given[1])),
            heads.box_predictor.register_forward_hook(lambda _, __, found: seen.update(found=found)),
        )
        try:
            losses, inputs = self._trained(images, targets)
        finally:
            for hook in hooks:
                hook.remove()
        return losses, self._class_logits(seen["boxes"], seen["found"], inputs)

    def named_rows(self) -> Mapping[str, NamedRows]:
        """Of the predictors of classes, boxes and masks, whose first class is the background."""
        rows = {
            "roi_heads.box_predictor.cls_score": NamedRows(before=1),
            "roi_heads.box_predictor.bbox_pred": NamedRows(each=4, before=4),
        }
        if self.net.roi_heads.has_mask():
            rows["roi_heads.mask_predictor.mask_fcn_logits"] = NamedRows(before=1)
        return of_parts(rows)

    def _class_logits(
        self, boxes: list[Tensor], found: tuple[Tensor, Tensor], inputs: ImageList
    ) -> ClassLogits:
        columns, (logits, deltas) = self.columns, found
        deltas = deltas.reshape(len(deltas), -1, 4)[:, columns].flatten(1)
        return Regions.of(boxes, logits[:, columns], deltas, inputs.image_sizes).class_logits()
