"""``MultiTaskFasterRCNN``: torchvision's Faster R-CNN with a head for the state of objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from anydet.training.detectors.modes import evaluated_losses, switched
from anydet.training.detectors.regions import Regions
from anydet.training.detectors.targets import Target
from anydet.training.model import NamedRows, TorchModel
from anydet_fasterrcnn_multitask import heads
from anydet_fasterrcnn_multitask.architecture import Architecture
from anydet_fasterrcnn_multitask.pyramid import build_pyramid
from anydet_fasterrcnn_multitask.roi_heads import Detections, MultiTaskRoIHeads
from anydet_fasterrcnn_multitask.state_loss import StateLoss

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB values in 0..1."""
MULTIPLE = 32
"""Sides of inputs are padded to multiples of it."""
_TRAINING_PROPOSALS = 2000


class Training(NamedTuple):
    """What the model gives in training mode.

    Attributes:
        losses: by torchvision's names, and ``loss_state``.
        regions: those that were sampled for the second stage, with gradient.
    """

    losses: dict[str, Tensor]
    regions: Regions


class MultiTaskFasterRCNN(GeneralizedRCNN, TorchModel):  # type: ignore[misc]
    """Faster R-CNN (Ren et al. 2015) with feature pyramid, class, box and state heads.

    Names of tensors are torchvision's, so that its weights fit; the state head is ``roi_heads.state_head``.

    In training mode it takes images ((3, H, W) in 0..1, each of its own size) and targets and gives the
    losses ``loss_classifier``, ``loss_box_reg``, ``loss_objectness``, ``loss_rpn_box_reg``, ``loss_state``.
    A target has ``boxes`` (N, 4) xyxy in pixels, ``labels`` (N,) 1..C, ``states`` (N,), -1 where unknown.
    In evaluation mode it gives ``boxes``, ``scores``, ``labels``, ``states`` and ``state_scores`` an image.

    Args:
        architecture: what to build; weights are random.
        state_loss: loss of the state head.
        rois_per_image: regions of an image that the second stage is trained on.
        trainable_layers: stages of the backbone that learn, counted from the last; ``None`` for all.
    """

    backbone: BackboneWithFPN
    rpn: RegionProposalNetwork
    roi_heads: MultiTaskRoIHeads
    transform: GeneralizedRCNNTransform

    def __init__(
        self,
        architecture: Architecture,
        *,
        state_loss: StateLoss | None = None,
        rois_per_image: int = 512,
        trainable_layers: int | None = None,
    ) -> None:
        super().__init__(
            build_pyramid(architecture, trainable_layers),
            _proposal_network(architecture),
            _roi_heads(architecture, state_loss or StateLoss(), rois_per_image),
            build_transform(architecture),
        )
        self.architecture = architecture

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> Training | list[Detections]:
        """Losses and regions in training mode, else what is found in each image, in its own pixels."""
        inputs, targets = self.transform(images, targets)
        if self.training:
            features = self.pyramid(inputs.tensors)
            proposals, losses = self.rpn(inputs, features, targets)
            second, regions = self.roi_heads(features, proposals, inputs.image_sizes, targets)
            return Training({**second, **losses}, regions)
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        found: list[Detections] = self.transform.postprocess(self.detect(inputs), inputs.image_sizes, sizes)
        return found

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Levels of the backbone, ``backbone.0`` and so on, and of the pyramid, to ``neck.pool``."""
        levels = self.backbone.body(images)
        found = {"backbone": levels, "neck": self.backbone.fpn(levels)}
        return {f"{part}.{name}": level for part in found for name, level in found[part].items()}

    def module_names(self) -> Mapping[str, Sequence[str]]:
        """The pyramid is the neck, and the head the two stages on it."""
        return {"backbone": ("backbone.body",), "neck": ("backbone.fpn",), "head": ("rpn", "roi_heads")}

    def named_rows(self) -> Mapping[str, NamedRows]:
        """Of the box predictor, whose first class is the background, and of the state head."""
        box = "roi_heads.box_predictor"
        logits, deltas = NamedRows(before=1), NamedRows(each=4, before=4)
        rows = {
            f"{box}.cls_score": logits,
            f"{box}.bbox_pred": deltas,
            "roi_heads.state_head.3": NamedRows("states"),
        }
        return {f"{name}.{part}": each for name, each in rows.items() for part in ("weight", "bias")}

    def pyramid(self, tensors: Tensor) -> dict[str, Tensor]:
        """Level name -> (B, C, h, w) float32 of (B, 3, H, W) inputs, for both stages.

        Single precision because anchors are made in that of the features.
        """
        return {name: level.float() for name, level in self.backbone(tensors).items()}

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        weight: Tensor = next(self.parameters())
        return weight.device

    def prepare(self, images: list[Tensor]) -> ImageList:
        """(3, H, W) images in 0..1 as an input: normalized, resized, padded to multiples of 32."""
        with switched((self.transform,), training=False):
            inputs: ImageList = self.transform(images)[0]
        return inputs

    def detect(self, inputs: ImageList) -> list[Detections]:
        """What is found in prepared inputs, boxes in their pixels."""
        with switched((self.rpn, self.roi_heads), training=False):
            features = self.pyramid(inputs.tensors)
            proposals, _ = self.rpn(inputs, features)
            found: list[Detections] = self.roi_heads(features, proposals, inputs.image_sizes)
        return found

    def regions(self, inputs: ImageList, boxes: list[Tensor] | None = None) -> Regions:
        """Class logits of regions of prepared inputs; differentiable, in training and in evaluation mode.

        Args:
            inputs: of B images.
            boxes: (N_i, 4) of each image, in pixels of the input; ``None`` for what the first stage proposes.
        """
        features = self.pyramid(inputs.tensors)
        if boxes is None:
            with switched((self.rpn,), training=False):
                boxes, _ = self.rpn(inputs, features)
        found: Regions = self.roi_heads.regions(features, boxes, inputs.image_sizes)
        return found

    def evaluated_losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """The losses of training mode while batch norm and dropout behave as in evaluation mode.

        See ``modes.evaluated_losses``.
        """
        parts = self, self.rpn, self.roi_heads
        found: Training = evaluated_losses(self, parts, lambda: self(images, targets), images[0].device)
        return found.losses


def build_transform(architecture: Architecture) -> GeneralizedRCNNTransform:
    """Images to inputs: normalized, resized, padded."""
    sides = architecture.min_size, architecture.max_size
    return GeneralizedRCNNTransform(*sides, list(MEAN), list(STD), size_divisible=MULTIPLE)


def _proposal_network(architecture: Architecture) -> RegionProposalNetwork:
    """The first stage, with torchvision's numbers."""
    anchors = heads.build_anchors(architecture)
    top = {"training": _TRAINING_PROPOSALS, "testing": architecture.proposals}
    return RegionProposalNetwork(
        anchors,
        heads.build_proposal_head(architecture, anchors),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n=top,
        post_nms_top_n=top,
        nms_thresh=0.7,
        score_thresh=0.05 if architecture.backbone == "mobilenet_v3_large_320_fpn" else 0.0,
    )


def _roi_heads(architecture: Architecture, state_loss: StateLoss, rois_per_image: int) -> MultiTaskRoIHeads:
    """The second stage, with torchvision's numbers."""
    size = architecture.representation_size
    return MultiTaskRoIHeads(
        state_head=heads.build_state_head(architecture),
        state_loss=state_loss,
        box_roi_pool=heads.build_roi_pool(architecture),
        box_head=heads.build_box_head(architecture),
        box_predictor=FastRCNNPredictor(size, architecture.class_count + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=rois_per_image,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=0.05,
        nms_thresh=architecture.nms_iou,
        detections_per_img=100,
    )
