"""Assignment of queries to objects at the least cost, by class, box and pose.

Source: Carion et al. 2020, "DETR", with the focal cost of Zhu et al. 2020, "Deformable DETR".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from anydet_rtdetr_pose.box_iou import iou_and_giou
from anydet_rtdetr_pose.outputs import Outputs
from anydet_rtdetr_pose.pose_decoding import decode_poses
from anydet_rtdetr_pose.symmetry import Symmetries
from anydet_rtdetr_pose.targets import Targets

_ALPHA, _GAMMA = 0.25, 2.0
_LARGE = 1e6
"""Stands for a cost that is not finite: only taken where there is no other query."""


@dataclass(frozen=True, slots=True)
class PoseCost:
    """A cost that begins at a training step.

    Attributes:
        weight: beside class (2), box (5) and overlap (2).
        start_step: first step at which it counts.
    """

    weight: float = 0.0
    start_step: int = 0

    def at(self, step: int) -> float:
        """The weight at a step."""
        return self.weight if step >= self.start_step else 0.0


@dataclass(frozen=True, slots=True)
class Matches:
    """M pairs of a query and an object, each with its image and decoder layer.

    Attributes:
        images: (M,) int64.
        layers: (M,) int64.
        queries: (M,) int64.
        objects: (M,) int64.
    """

    images: Tensor
    layers: Tensor
    queries: Tensor
    objects: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def of_outputs(self, values: Tensor) -> Tensor:
        """(M, ...) rows of (B, L, Q, ...)."""
        return values[self.images, self.layers, self.queries]

    def of_targets(self, values: Tensor) -> Tensor:
        """(M, ...) rows of (B, T, ...)."""
        return values[self.images, self.objects]


@dataclass(frozen=True, slots=True)
class Matcher:
    """Finds the assignment of least cost in each image and layer.

    Attributes:
        class_cost: of the focal loss.
        box_cost: of the L1 distance of normalized centers and sizes.
        giou_cost: of 1 - GIoU.
        z: of the difference of log depths.
        rotation: of the angle in radians to the nearest pose that looks the same.
        translation: of the distance relative to the true depth.
    """

    class_cost: float = 2.0
    box_cost: float = 5.0
    giou_cost: float = 2.0
    z: PoseCost = PoseCost()
    rotation: PoseCost = PoseCost()
    translation: PoseCost = PoseCost()

    @torch.no_grad()
    def match(
        self, outputs: Outputs, targets: Targets, symmetries: Symmetries, size_wh: Tensor, *, step: int = 0
    ) -> Matches:
        """The pairs, one for each object where there are queries enough.

        Args:
            outputs: without denoising queries.
            targets: of the same images.
            symmetries: of all classes.
            size_wh: (2,) of the input in pixels.
            step: of the training, for costs that begin later.
        """
        cost = self.cost(outputs, targets, symmetries, size_wh, step=step)
        # scipy refuses NaN and finds no assignment with infinite costs alone.
        cost = torch.nan_to_num(cost, nan=_LARGE, posinf=_LARGE, neginf=-_LARGE)
        return assign(cost, targets.valid)

    def cost(
        self, outputs: Outputs, targets: Targets, symmetries: Symmetries, size_wh: Tensor, *, step: int = 0
    ) -> Tensor:
        """(B, L, Q, T) of each query and object."""
        objects = targets.boxes[:, None, None]
        queries = outputs.boxes.float()[..., None, :]
        cost = self.class_cost * focal_cost(outputs.logits.float(), targets.class_ids)
        cost = cost + self.box_cost * (queries - objects).abs().sum(dim=-1)
        cost = cost - self.giou_cost * iou_and_giou(queries, objects)[1]
        weights = [part.at(step) for part in (self.z, self.rotation, self.translation)]
        if any(weights) and "log_z" in outputs.heads:
            cost = cost + _pose_cost(outputs, targets, symmetries, size_wh, weights)
        return cost


def assign(cost: Tensor, valid: Tensor) -> Matches:
    """The cheapest assignment in each (Q, T) of (B, L, Q, T); objects that are not ``valid`` are left out."""
    # One transfer for the whole batch; each one waits for the GPU.
    table, rows = cost.cpu().numpy(), valid.cpu().numpy()
    found = [
        (image, layer, linear_sum_assignment(table[image, layer][:, rows[image]]), rows[image].nonzero()[0])
        for image in range(len(table))
        for layer in range(table.shape[1])
    ]
    columns = [
        (np.full(len(pair[0]), image), np.full(len(pair[0]), layer), pair[0], objects[pair[1]])
        for image, layer, pair, objects in found
    ]
    joined = np.concatenate([np.stack(column) for column in columns], axis=1).astype(np.int64)
    return Matches(*torch.from_numpy(joined).to(cost.device))


def focal_cost(logits: Tensor, class_ids: Tensor) -> Tensor:
    """(B, L, Q, T) what the focal loss gains where a query (B, L, Q, C) predicts an object's class (B, T)."""
    chosen = class_ids[:, None, None].expand(*logits.shape[:3], class_ids.shape[1])
    probability = logits.sigmoid().gather(3, chosen)
    hit = _ALPHA * (1 - probability) ** _GAMMA * -(probability + 1e-8).log()
    miss = (1 - _ALPHA) * probability**_GAMMA * -(1 - probability + 1e-8).log()
    return hit - miss


def _pose_cost(
    outputs: Outputs, targets: Targets, symmetries: Symmetries, size_wh: Tensor, weights: list[float]
) -> Tensor:
    """(B, L, Q, T); 0 for objects of unknown pose."""
    heads = {name: values.float() for name, values in outputs.heads.items()}
    decoded = decode_poses(heads, outputs.boxes.float(), targets.intrinsics[:, None, None], size_wh)
    posed = targets.posed[:, None, None]
    # A depth of 1 where none is known: the logarithm and the division below stay finite.
    depth = torch.where(targets.posed, targets.translations_m[..., 2], 1.0)[:, None, None]
    cost = weights[0] * (decoded.log_z[..., None] - depth.log()).abs()
    if weights[1]:
        class_ids = targets.class_ids[:, None, None]
        # The arc cosine is safe here: its unbounded gradient does not matter under no_grad.
        cosine = symmetries.cosine(
            decoded.rotations[..., None, :, :], targets.rotations[:, None, None], class_ids
        )
        cost = cost + weights[1] * cosine.acos()
    if weights[2]:
        away = decoded.translations_m[..., None, :] - targets.translations_m[:, None, None]
        cost = cost + weights[2] * away.norm(dim=-1) / depth
    return torch.where(posed, cost, 0.0)
