"""``Architecture``: everything that decides which tensors a model has and what it does with an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta

from anydet.errors import TrainingError
from anydet_delftbikes.parts import STATES

Backbone: TypeAlias = Literal["resnet50_fpn", "resnet50_fpn_v2", "mobilenet_v3_large_320_fpn", "resnet18_fpn"]
Norm: TypeAlias = Literal["frozen", "batch", "group"]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Pixels: TypeAlias = Annotated[int, Meta(ge=1, le=100_000)]

USUAL_BACKBONE: Backbone = "resnet50_fpn"


@dataclass(frozen=True, slots=True)
class Scale:
    """How torchvision's weights of a backbone want to see images.

    Attributes:
        min_size: the short side of an input, in pixels.
        max_size: the most that the long side may have.
        proposals: regions that go into the second stage.
    """

    min_size: int
    max_size: int
    proposals: int = 1000


SCALES: dict[Backbone, Scale] = {
    "resnet50_fpn": Scale(800, 1333),
    "resnet50_fpn_v2": Scale(800, 1333),
    "mobilenet_v3_large_320_fpn": Scale(320, 640, 150),
    "resnet18_fpn": Scale(800, 1333),
}
ANCHOR_SIZES: tuple[float, ...] = (32, 64, 128, 256, 512)
"""Sides of torchvision's anchors, in pixels of an input whose short side is 800."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model, described so that its checkpoint rebuilds it.

    Attributes:
        class_count: classes without the background.
        backbone: name, as torchvision has it.
        norm: ``frozen`` batch statistics (of pretrained weights), those of the ``batch``, or ``group``
            normalization, which learns from scratch with small batches (Wu and He 2018, "Group
            Normalization"; He et al. 2019, "Rethinking ImageNet Pre-training").
        state_count: states that a thing can be in.
        pyramid_channels: features of each place of the pyramid.
        representation_size: features of a region, from which class, box and state are predicted.
        dropout: fraction of features hidden from the last layer of the state head while training.
        min_size: the short side of an input, in pixels.
        max_size: the most that the long side may have.
        anchor_sizes: sides of the anchors in pixels of the input, small ones first: five.
        proposals: regions of an image that go into the second stage in prediction.
        nms_iou: detections of a class that overlap more than this are one.
    """

    class_count: Count
    backbone: Backbone = USUAL_BACKBONE
    norm: Norm = "frozen"
    state_count: Annotated[int, Meta(ge=0, le=1_000_000)] = len(STATES)
    pyramid_channels: Count = 256
    representation_size: Count = 1024
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    min_size: Pixels = 800
    max_size: Pixels = 1333
    anchor_sizes: tuple[Annotated[float, Meta(gt=0, le=1e6)], ...] = ANCHOR_SIZES
    proposals: Count = 1000
    nms_iou: Annotated[float, Meta(ge=0, le=1)] = 0.5

    @classmethod
    def of(cls, class_count: int, backbone: Backbone = USUAL_BACKBONE, **changes: Any) -> Architecture:
        """The usual one of a backbone, with changes; ``None`` changes nothing."""
        scale = asdict(SCALES[backbone])
        given = {key: value for key, value in changes.items() if value is not None}
        return cls(class_count, backbone, **{**scale, **given}).checked()

    def description(self) -> dict[str, Any]:
        """Plain data for checkpoints."""
        return {**asdict(self), "anchor_sizes": list(self.anchor_sizes)}

    def with_options(self, options: Mapping[str, Any]) -> Architecture:
        """Those options that name a field and are not ``None``, in place of what is here."""
        given = {
            key: value
            for key, value in options.items()
            if key in self.__dataclass_fields__ and value is not None
        }
        return replace(self, **given).checked()

    def checked(self) -> Architecture:
        """Itself, lists as tuples; raises ``TrainingError`` where the sizes contradict each other."""
        if self.max_size < self.min_size:
            raise TrainingError(
                f"max_size {self.max_size} is smaller than min_size {self.min_size}",
                fix=f"set max_size to {self.min_size} or more; it is the maximum of the long side",
            )
        if len(self.anchor_sizes) != len(ANCHOR_SIZES):
            raise TrainingError(
                f"anchor_sizes: {len(self.anchor_sizes)} numbers instead of {len(ANCHOR_SIZES)}",
                fix="give one size per level, such as 32,64,128,256,512",
            )
        return replace(self, anchor_sizes=tuple(self.anchor_sizes))


def scaled_anchors(min_size: int) -> tuple[float, ...]:
    """Anchors that cover the same fraction of an input as torchvision's do at 800 pixels, at least 4 wide."""
    return tuple(max(4, round(size * min_size / 800)) for size in ANCHOR_SIZES)
