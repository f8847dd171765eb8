"""The second stage: class, box and state of regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss

from anydet.training.detectors.regions import Regions
from anydet.training.detectors.targets import Target
from anydet_fasterrcnn_multitask.state_loss import StateLoss

Features: TypeAlias = Mapping[str, Tensor]
SizesHW: TypeAlias = list[tuple[int, int]]
Detections: TypeAlias = dict[str, Tensor]


class MultiTaskRoIHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's heads, and a state head.

    In training all three look at the same sampled regions, whose features are computed once. In prediction
    states are predicted from features pooled at the final boxes, after regression and suppression, as that is
    what a detection claims to show.

    Args:
        state_head: (N, representation) to (N, S) logits.
        state_loss: what a wrong state costs.
        **torchvision: as ``RoIHeads`` has it.

    Attributes:
        all_states: whether regions get the logits of their states, which is for distillation alone: it takes
            time, and dropout draws random numbers.
    """

    def __init__(self, *, state_head: nn.Module, state_loss: StateLoss, **torchvision: Any) -> None:
        super().__init__(**torchvision)
        self.state_head = state_head
        self.state_loss = state_loss
        self.all_states = False

    def forward(
        self,
        features: Features,
        proposals: list[Tensor],
        image_shapes: SizesHW,
        targets: list[Target] | None = None,
    ) -> tuple[dict[str, Tensor], Regions] | list[Detections]:
        """Losses and the regions sampled for them in training mode, else what is found in the inputs."""
        if self.training:
            return self._losses(features, proposals, image_shapes, targets)
        return self._detections(features, proposals, image_shapes)

    def region_features(self, features: Features, boxes: list[Tensor], image_shapes: SizesHW) -> Tensor:
        """(sum N_i, representation) of the boxes of all images."""
        pooled: Tensor = self.box_head(self.box_roi_pool(features, boxes, image_shapes))
        return pooled

    def regions(self, features: Features, boxes: list[Tensor], image_shapes: SizesHW) -> Regions:
        """Class logits, and what goes with them, of boxes."""
        regions = self.region_features(features, boxes, image_shapes)
        logits, deltas = self.box_predictor(regions)
        return self._regions(boxes, regions, logits.float(), deltas.float(), image_shapes)

    def _losses(
        self,
        features: Features,
        proposals: list[Tensor],
        image_shapes: SizesHW,
        targets: list[Target] | None,
    ) -> tuple[dict[str, Tensor], Regions]:
        proposals, matched, labels, deltas = self.select_training_samples(proposals, targets)
        regions = self.region_features(features, proposals, image_shapes)
        logits, predicted = self.box_predictor(regions)
        # Under mixed precision heads give half precision, too coarse for box deltas and for sums of losses.
        logits, predicted = logits.float(), predicted.float()
        class_loss, box_loss = fastrcnn_loss(logits, predicted, labels, deltas)
        states = matched_states(targets or [], matched, labels)
        # Dropped, not ignored by index: torch's mean over ignored rows alone is NaN.
        known = states >= 0
        state_loss = self.state_loss(self.state_head(regions[known]), states[known])
        losses = {"loss_classifier": class_loss, "loss_box_reg": box_loss, "loss_state": state_loss}
        return losses, self._regions(proposals, regions, logits, predicted, image_shapes)

    def _regions(
        self, boxes: list[Tensor], regions: Tensor, logits: Tensor, predicted: Tensor, image_shapes: SizesHW
    ) -> Regions:
        """What is said of the boxes of all images, image by image."""
        states = self.state_head(regions) if self.all_states else None
        return Regions.of(boxes, logits, predicted, image_shapes, states)

    def _detections(
        self, features: Features, proposals: list[Tensor], image_shapes: SizesHW
    ) -> list[Detections]:
        logits, deltas = self.box_predictor(self.region_features(features, proposals, image_shapes))
        boxes, scores, labels = self.postprocess_detections(
            logits.float(), deltas.float(), proposals, image_shapes
        )
        # Pooled anew at the final boxes: regression may have moved them far from their proposals.
        states = self.state_head(self.region_features(features, boxes, image_shapes)).float().softmax(-1)
        return [
            {"boxes": b, "scores": s, "labels": c, "states": p.argmax(-1), "state_scores": p}
            for b, s, c, p in zip(boxes, scores, labels, states.split([len(b) for b in boxes]), strict=True)
        ]


def matched_states(targets: Sequence[Target], matched: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    """(sum N_i,) state of what each sampled region shows; -1 for background and where it is unknown.

    Args:
        targets: ground truth of each image, with "states".
        matched: index of the ground truth that each region overlaps most.
        labels: class of each region, 0 for background.
    """
    found = []
    for target, indices, classes in zip(targets, matched, labels, strict=True):
        states = torch.full_like(indices, -1)
        positive = classes > 0
        states[positive] = target["states"][indices[positive]]
        found.append(states)
    return torch.cat(found)
