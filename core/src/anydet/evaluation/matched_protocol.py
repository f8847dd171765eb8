"""Options of protocols: what evaluators of boxes and keypoints can be run with beside their defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field, fields
from typing import Protocol, runtime_checkable

from anydet.arguments import require_number
from anydet.dataclass import dataclass

OPTION_NAMES = {
    "iou_threshold": "--iou-threshold",
    "parents": "--class-hierarchy",
    "image_labels": "--image-labels",
    "box_area_factor": "--box-area-factor",
}
"""Fields of ``ProtocolOptions`` as ``anydet eval`` calls them."""
OPTION_OWNERS = {
    "iou_threshold": ("voc", "dota", "open-images", "olrp"),
    "parents": ("open-images",),
    "image_labels": ("open-images",),
    "box_area_factor": ("coco-keypoints",),
}
"""Evaluators that have an option, for messages."""


@dataclass(frozen=True, slots=True, eq=False)
class ProtocolOptions:
    """What protocols with options are run with.

    Attributes:
        iou_threshold: lowest IoU of a match, or ``None`` for that of the protocol.
        parents: Open Images: class name -> names of the classes right above it in the hierarchy.
        image_labels: Open Images: image -> class name -> whether the image was verified to show the class.
        box_area_factor: keypoints: area of objects whose area the source does not state, as a fraction of
            width x height.
    """

    iou_threshold: float | None = None
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    image_labels: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    box_area_factor: float | None = None

    def __post_init__(self) -> None:
        """Raises ``OptionError`` where a number is out of range."""
        if self.iou_threshold is not None:
            require_threshold(self.iou_threshold)
        if self.box_area_factor is not None:
            require_number("box_area_factor", self.box_area_factor, 0, above=True)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of those that are set."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) not in (None, {}))


@runtime_checkable
class ProtocolUser(Protocol):
    """An evaluator whose protocol has options, which are set before images are added."""

    @property
    def options(self) -> Collection[str]:
        """Names of those of ``ProtocolOptions`` that it has."""

    def use_options(self, options: ProtocolOptions) -> None:
        """Evaluate with these; those that the protocol does not have are left out."""


def require_threshold(value: float) -> None:
    """Raise ``OptionError`` unless it is an IoU that a match may need."""
    require_number("iou_threshold", value, 0, 1, above=True)
