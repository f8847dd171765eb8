"""How far two predictions of one object may be apart and still count as the same."""

from __future__ import annotations

from dataclasses import fields

from anydet.arguments import require_number
from anydet.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Largest differences of a pair of detections that count as equal.

    0.1 pixels for boxes: single precision differs by a hundredth, and the smallest usual mistake, half a
    pixel of a cell's center, by more.

    Attributes:
        box_px: of each of the four sides, in pixels of the original image.
        score: of scores of detections, states, keypoints and images, and of predicted uncertainties.
        mask: of 1 - IoU of masks.
        keypoint_px: of the distance of two keypoints.
        rotation_deg: of the angle between two rotations.
        translation_m: of the distance of two translations.
        depth: of the logarithm of depth and of corrections of the camera, about a fraction of the depth.
        ap: of the difference of AP, or ``None`` to leave it out of the verdict.
    """

    box_px: float = 0.1
    score: float = 0.001
    mask: float = 0.01
    keypoint_px: float = 0.1
    rotation_deg: float = 0.1
    translation_m: float = 0.001
    depth: float = 0.001
    ap: float | None = None

    def __post_init__(self) -> None:
        """Raises ``OptionError`` where a tolerance is no finite number of at least 0."""
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name != "ap" or value is not None:
                require_number(f"tolerance {one.name}", value, 0)

    def as_dict(self) -> dict[str, float | None]:
        """The fields."""
        return {one.name: getattr(self, one.name) for one in fields(self)}
