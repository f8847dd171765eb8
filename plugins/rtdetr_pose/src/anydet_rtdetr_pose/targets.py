"""Objects of a batch as padded tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from anydet.training.batches.sample import Sample
from anydet_rtdetr_pose.recovery import nominal_camera


class Targets(NamedTuple):
    """What is on B images, T objects at most; rows beyond an image's own are padding.

    Attributes:
        valid: (B, T) bool, false in padding.
        class_ids: (B, T) int64.
        boxes: (B, T, 4) normalized center and size in the input.
        posed: (B, T) bool, whether rotation, translation and camera are known.
        rotations: (B, T, 3, 3) object to camera; the identity where unknown.
        translations_m: (B, T, 3) in the camera frame; (0, 0, 1) where unknown.
        keypoints: (B, T, K, 3) normalized x, y in the input, and visibility 0, 1, 2.
        seen_by: (B,) bool, whether the camera is known.
        intrinsics: (B, 4) fx, fy, cx, cy in pixels of the input; the nominal camera where unknown.
    """

    valid: Tensor
    class_ids: Tensor
    boxes: Tensor
    posed: Tensor
    rotations: Tensor
    translations_m: Tensor
    keypoints: Tensor
    seen_by: Tensor
    intrinsics: Tensor

    def labels(self) -> list[dict[str, Tensor]]:
        """What ``transformers`` starts denoising queries from."""
        pairs = zip(self.valid, self.class_ids, self.boxes, strict=True)
        return [{"class_labels": ids[rows], "boxes": boxes[rows]} for rows, ids, boxes in pairs]


def targets_of(sample: Sample, *, keypoints: int = 0) -> Targets:
    """The targets of one sample of the input's size, B = 1; crowds are left out, they are no single thing.

    Args:
        sample: boxes that leave the image are clipped to it.
        keypoints: how many points an object has.
    """
    size = torch.tensor([*sample.size_wh, *sample.size_wh])
    corners = torch.minimum(sample.boxes.clamp(min=0), size)
    rows = ~sample.iscrowd & (corners[:, 2:] > corners[:, :2]).all(dim=1)
    corners = corners[rows] / size
    camera = sample.intrinsics
    seen_by = camera is not None and bool(torch.isfinite(camera).all())
    posed, rotations, translations = _poses(sample, rows, seen_by=seen_by)
    return Targets(
        valid=torch.ones(1, len(corners), dtype=torch.bool),
        class_ids=sample.class_ids[rows][None],
        boxes=torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1)[
            None
        ],
        posed=posed[None],
        rotations=rotations[None],
        translations_m=translations[None],
        keypoints=_keypoints(sample, rows, keypoints)[None],
        seen_by=torch.tensor([seen_by]),
        intrinsics=(camera if camera is not None and seen_by else nominal_camera(sample.size_wh)).float()[
            None
        ],
    )


def stack_targets(targets: Sequence[Targets]) -> Targets:
    """A batch of them."""
    most = max(part.valid.shape[1] for part in targets)
    columns = []
    for name in Targets._fields:
        values = [getattr(part, name) for part in targets]
        per_image = name in ("seen_by", "intrinsics")
        columns.append(torch.cat(values if per_image else [_padded(each, most) for each in values]))
    return Targets(*columns)


def _padded(values: Tensor, length: int) -> Tensor:
    """(1, T, ...) to (1, length, ...) with zeros."""
    return torch.cat([values, values.new_zeros(1, length - values.shape[1], *values.shape[2:])], dim=1)


def _poses(sample: Sample, rows: Tensor, *, seen_by: bool) -> tuple[Tensor, Tensor, Tensor]:
    count = int(rows.sum())
    rotations, translations = torch.eye(3).repeat(count, 1, 1), torch.tensor([0.0, 0.0, 1.0]).repeat(count, 1)
    if sample.rotations is None or sample.translations_m is None or not seen_by:
        return torch.zeros(count, dtype=torch.bool), rotations, translations
    rotated, placed = sample.rotations[rows].float(), sample.translations_m[rows].float()
    known = torch.isfinite(rotated).all(dim=2).all(dim=1) & torch.isfinite(placed).all(dim=1)
    # Losses take the logarithm of the depth, and the projection divides by it.
    known &= torch.nan_to_num(placed[:, 2]) > 0
    rotations = torch.where(known[:, None, None], rotated, rotations)
    return known, rotations, torch.where(known[:, None], placed, translations)


def _keypoints(sample: Sample, rows: Tensor, count: int) -> Tensor:
    if not count:
        return torch.zeros(int(rows.sum()), 0, 3)
    if sample.keypoints is None:
        return torch.zeros(int(rows.sum()), count, 3)
    return sample.keypoints[rows] / torch.tensor([*sample.size_wh, 1.0])
