"""``Criterion``: the losses of all decoder layers, of the encoder's proposals and of denoising queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from anydet_rtdetr_pose.box_iou import iou_and_giou
from anydet_rtdetr_pose.losses import detection, pose
from anydet_rtdetr_pose.matcher import Matcher, Matches
from anydet_rtdetr_pose.outputs import Denoising, Outputs
from anydet_rtdetr_pose.pose_decoding import decode_poses
from anydet_rtdetr_pose.recovery import delta_to, nominal_camera, projected_px
from anydet_rtdetr_pose.symmetry import Symmetries
from anydet_rtdetr_pose.targets import Targets

WEIGHTS: Mapping[str, float] = {
    "class": 1.0,
    "box": 5.0,
    "giou": 2.0,
    "z": 1.0,
    "rot": 1.0,
    "off": 1.0,
    "t": 0.5,
    "k": 1.0,
    "keypoints": 1.0,
    "mim": 1.0,
}
"""Name of a loss -> its default weight."""


@dataclass(frozen=True, eq=False)
class Criterion:
    """Adds up what a batch costs.

    Each decoder layer is matched and counts by itself, as do the encoder's proposals, for class and box
    alone. Losses are divided by the number of objects.

    Attributes:
        matcher: assigns queries to objects.
        symmetries: of all classes.
        weights: of the losses by name, see ``WEIGHTS``.
        class_loss: the target score is the IoU with ``varifocal``, 1 with ``focal``.
        uncertainty: whether depth and rotation errors are judged by their predicted scales.
    """

    matcher: Matcher
    symmetries: Symmetries
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    class_loss: Literal["varifocal", "focal"] = "varifocal"
    uncertainty: bool = False

    def losses(
        self, outputs: Outputs, targets: Targets, size_wh: tuple[int, int], *, step: int = 0
    ) -> dict[str, Tensor]:
        """Name -> weighted loss: ``class``, ``box``, ...; ``class_dn``, ... of denoising queries.

        Args:
            outputs: of a model in training or evaluation mode.
            targets: of the same images.
            size_wh: of the input in pixels.
            step: of the training, for matching costs that begin later.
        """
        size = torch.tensor(size_wh, dtype=torch.float32, device=outputs.logits.device)
        # Under autocast products of rotations would go back to half precision, which rounds angles and
        # depths.
        with torch.autocast(outputs.logits.device.type, enabled=False):
            noisy, others = outputs.split()
            losses = self._decoder(others, targets, size, step)
            for name, loss in self._proposals(outputs, targets, size).items():
                losses[name] = losses[name] + loss
            if noisy is not None and outputs.denoising is not None:
                matches = denoising_matches(outputs.denoising, targets, noisy.logits.shape[1])
                # Each object appears once in every group.
                count = _object_count(targets) * outputs.denoising.groups
                found = self._found(noisy, targets, matches, size, count)
                losses |= {f"{name}_dn": loss for name, loss in found.items()}
            if outputs.camera is not None:
                losses["k"] = self.weighted("k", _camera(outputs.camera.float(), targets, size_wh, size))
        return losses

    def _decoder(self, outputs: Outputs, targets: Targets, size: Tensor, step: int) -> dict[str, Tensor]:
        matches = self.matcher.match(outputs, targets, self.symmetries, size, step=step)
        return self._found(outputs, targets, matches, size, _object_count(targets))

    def _proposals(self, outputs: Outputs, targets: Targets, size: Tensor) -> dict[str, Tensor]:
        # Proposals come before the decoder: one layer, without the heads that read its states.
        proposals = outputs._replace(
            logits=outputs.proposal_logits[:, None], boxes=outputs.proposal_boxes[:, None], heads={}
        )
        matches = self.matcher.match(proposals, targets, self.symmetries, size)
        return self._found(proposals, targets, matches, size, _object_count(targets))

    def _found(
        self, outputs: Outputs, targets: Targets, matches: Matches, size: Tensor, count: Tensor
    ) -> dict[str, Tensor]:
        """Weighted losses of queries that were matched, and of the classes of all."""
        boxes = matches.of_outputs(outputs.boxes.float())
        true = matches.of_targets(targets.boxes)
        losses = {
            "class": self._classes(outputs.logits.float(), targets, matches, boxes, true),
            "box": detection.box_l1_loss(boxes, true),
            "giou": detection.giou_loss(boxes, true),
        }
        rows = {name: matches.of_outputs(values.float()) for name, values in outputs.heads.items()}
        if "keypoints" in rows:
            losses["keypoints"] = _keypoints(rows["keypoints"], boxes, matches.of_targets(targets.keypoints))
        if "log_z" in rows:
            losses |= self._poses(rows, boxes, targets, matches, size)
        return {name: self.weighted(name, loss / count) for name, loss in losses.items()}

    def _classes(
        self, logits: Tensor, targets: Targets, matches: Matches, boxes: Tensor, true: Tensor
    ) -> Tensor:
        scores = torch.zeros_like(logits)
        place = (matches.images, matches.layers, matches.queries, matches.of_targets(targets.class_ids))
        if self.class_loss == "focal":
            scores[place] = 1.0
            return detection.focal_loss(logits, scores)
        # an IoU of 0 is no reason to take a found object for background
        # The score is a target, and a target carries no gradient.
        scores[place] = iou_and_giou(boxes.detach(), true)[0].clamp(min=1e-6)
        return detection.varifocal_loss(logits, scores)

    def _poses(
        self,
        rows: Mapping[str, Tensor],
        boxes: Tensor,
        targets: Targets,
        matches: Matches,
        size: Tensor,
    ) -> dict[str, Tensor]:
        """Of queries whose object's pose is known; the others count 0 and keep the heads in the graph."""
        posed, true = matches.of_targets(targets.posed), matches.of_targets(targets.boxes)
        camera = targets.intrinsics[matches.images]
        # Boxes are detached: they learn from their own losses alone.
        decoded = decode_poses(rows, boxes.detach(), camera, size)
        rotations, placed = self.symmetries.nearest(
            decoded.rotations,
            matches.of_targets(targets.rotations),
            matches.of_targets(targets.translations_m),
            matches.of_targets(targets.class_ids),
        )
        # Before the losses, not behind: a NaN or infinite gradient times the zero of a later where is NaN.
        placed = torch.where(posed[:, None], placed, placed.new_tensor([0.0, 0.0, 1.0]))
        errors = {
            "z": pose.log_z_loss(decoded.log_z, placed[:, 2]),
            "rot": pose.rotation_loss(decoded.rotations, rotations),
            "off": pose.offset_loss(rows["offsets"], boxes, projected_px(placed, camera) / size, true),
            "t": pose.translation_loss(decoded.translations_m, placed),
        }
        if self.uncertainty:
            errors["z"] = pose.by_uncertainty(errors["z"], rows["log_sigma_z"][:, 0])
            errors["rot"] = pose.by_uncertainty(errors["rot"], rows["log_sigma_rot"][:, 0])
        return {name: torch.where(posed, error, 0.0).sum() for name, error in errors.items()}

    def weighted(self, name: str, loss: Tensor) -> Tensor:
        """The loss times its weight."""
        return loss * self.weights.get(name, WEIGHTS[name])


def denoising_matches(denoising: Denoising, targets: Targets, layers: int) -> Matches:
    """Matches of denoising queries, which start at a known object; the same in all ``layers``."""
    device = targets.valid.device
    counts = targets.valid.sum(dim=1).tolist()
    objects = [torch.arange(count, device=device).repeat(denoising.groups) for count in counts]
    images = torch.cat([torch.full_like(rows, image) for image, rows in enumerate(objects)])
    queries = torch.cat([rows.to(device) for rows in denoising.positives])
    return Matches(
        images.repeat(layers),
        torch.arange(layers, device=device).repeat_interleave(len(images)),
        queries.repeat(layers),
        torch.cat(objects).repeat(layers),
    )


def _object_count(targets: Targets) -> Tensor:
    return targets.valid.sum().clamp(min=1)


def _camera(delta: Tensor, targets: Targets, size_wh: tuple[int, int], size: Tensor) -> Tensor:
    """Mean over the images whose camera is known."""
    true = delta_to(targets.intrinsics, nominal_camera(size_wh).to(delta), size)
    errors = torch.where(targets.seen_by, pose.camera_loss(delta, true), 0.0)
    return errors.sum() / targets.seen_by.sum().clamp(min=1)


def _keypoints(points: Tensor, boxes: Tensor, targets: Tensor) -> Tensor:
    position, visibility = pose.keypoint_losses(points.reshape(*targets.shape), boxes, targets)
    return (position + visibility).sum()
