"""``Detector``: a bare model of torchvision with what anydet needs beside its outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.image_list import ImageList

from anydet.plugins.adapter import ClassLogits
from anydet.training.detectors.modes import evaluated_losses, switched
from anydet.training.detectors.targets import Target
from anydet.training.model import NamedRows, TorchModel
from anydet_torchvision.about import About

Losses: TypeAlias = tuple[Mapping[str, Tensor], ClassLogits]
Detections: TypeAlias = dict[str, Tensor]
PREFIX = "net."
"""Before the names that tensors have in torchvision."""


class Inputs(list[Tensor]):
    """Images that are inputs already: what a model without its transform gets.

    Args:
        images: an input of B images.
    """

    def __init__(self, images: ImageList) -> None:
        super().__init__(images.tensors)
        self.images = images


class Ready(nn.Module):
    """In place of a model's transform, where images are ``Inputs`` and boxes stay in their pixels."""

    def forward(self, images: Inputs, targets: Any = None) -> tuple[ImageList, Any]:
        """Both as they are."""
        return images.images, targets

    @staticmethod
    def postprocess(found: list[Detections], _shapes: Any, _sizes: Any) -> list[Detections]:
        """The same."""
        return found


class Detector(TorchModel):
    """A bare model, taken apart into its transform and the rest.

    All else is what torchvision does: its ``forward`` gives detections and losses. Names of tensors are
    torchvision's, with ``net.`` before them.

    Args:
        about: what the bare model is.
        net: the bare model.
    """

    def __init__(self, about: About, net: Any) -> None:
        super().__init__()
        self.about = about
        self.net = net
        self.transform, self.net.transform = self.net.transform, Ready()
        self.usual_detections: int = self._limited.detections_per_img

    @property
    @abstractmethod
    def _limited(self) -> Any:
        """The module that has the thresholds of detections."""

    @abstractmethod
    def class_logits(self, inputs: ImageList, boxes: list[Tensor] | None = None) -> ClassLogits:
        """Class logits of prepared inputs; differentiable, in training and in evaluation mode.

        Args:
            inputs: of B images.
            boxes: (N_i, 4) regions of each image, in pixels of the input, for a model that has some.
        """

    @abstractmethod
    def losses(self, images: list[Tensor], targets: list[Target]) -> Losses:
        """Losses of training mode by name, and the class logits that they are made of."""

    @property
    @abstractmethod
    def _parts(self) -> tuple[nn.Module, ...]:
        """Modules that look at their mode to decide whether to give losses."""

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        weight: Tensor = next(self.parameters())
        return weight.device

    @property
    def columns(self) -> list[int]:
        """Labels that class logits are of, the background's first; without COCO's gaps."""
        return [0, *self.about.labels]

    @property
    def nms_iou(self) -> float:
        """Detections of a class that overlap more than this are one."""
        return float(self._limited.nms_thresh)

    def prepare(self, images: list[Tensor]) -> ImageList:
        """(3, H, W) images in 0..1 as an input: normalized, resized, padded."""
        with switched((self.transform,), training=False):
            inputs: ImageList = self.transform(images)[0]
        return inputs

    def limit(self, score_floor: float, most: int) -> None:
        """The lowest score of a detection, and the most of an image; for the next ``detect``."""
        self._limited.score_thresh = score_floor
        self._limited.detections_per_img = most

    def detect(self, inputs: ImageList) -> list[Detections]:
        """What is found in prepared inputs, boxes in their pixels."""
        with switched(self._parts, training=False):
            found: list[Detections] = self.net(Inputs(inputs))
        return found

    def evaluated_losses(self, images: list[Tensor], targets: list[Target]) -> Mapping[str, Tensor]:
        """The losses of training mode while batch norm behaves as in evaluation mode."""
        return evaluated_losses(self, self._parts, lambda: self.losses(images, targets)[0], self.device)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Levels of the backbone, and of the pyramid on it where there is one."""
        backbone = self.net.backbone
        if not isinstance(backbone, BackboneWithFPN):
            return {f"backbone.{name}": level for name, level in backbone(images).items()}
        levels = backbone.body(images)
        found = {"backbone": levels, "neck": backbone.fpn(levels)}
        return {f"{part}.{name}": level for part in found for name, level in found[part].items()}

    def module_names(self) -> Mapping[str, Sequence[str]]:
        """The pyramid is the neck, and the head what looks at it."""
        pyramid = isinstance(self.net.backbone, BackboneWithFPN)
        return {
            "backbone": ("net.backbone.body" if pyramid else "net.backbone",),
            "neck": ("net.backbone.fpn",) if pyramid else (),
            "head": tuple(f"net.{name}" for name in ("rpn", "roi_heads", "head") if hasattr(self.net, name)),
        }

    def _trained(self, images: list[Tensor], targets: list[Target]) -> tuple[Mapping[str, Tensor], ImageList]:
        inputs, targets = self.transform(images, targets)
        losses: Mapping[str, Tensor] = self.net(Inputs(inputs), targets)
        return {name.removeprefix("loss_"): loss for name, loss in losses.items()}, inputs


def of_parts(names: Mapping[str, NamedRows]) -> dict[str, NamedRows]:
    """Of weights and biases of modules of a bare model."""
    return {f"{PREFIX}{name}.{part}": rows for name, rows in names.items() for part in ("weight", "bias")}
