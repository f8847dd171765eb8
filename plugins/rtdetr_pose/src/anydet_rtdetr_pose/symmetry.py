"""Objects that look the same in several poses: of all these the loss takes the nearest.

A symmetry turns the object's own frame: pose (R, t) looks like (R S, t + R s) for each motion (S, s) of the
object's group. Discrete groups are lists. About an axis of continuous symmetry the best angle has a closed
form: the trace of ``(R D Rot(a, w))^T P`` is ``c + A cos w + B sin w``, largest at ``w = atan2(B, A)``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from anydet.types import ObjectModel
from anydet_rtdetr_pose.rotation import about_axis, vee


class Symmetries(nn.Module):
    """Symmetry groups of all classes as one table; classes without model look the same in one pose.

    Args:
        objects: class id -> model.
        classes: how many classes there are.

    Attributes:
        motions: (C, S, 4, 4) discrete ones, padded with the identity.
        axes: (C, A + 1, 3) directions; the first stands for no turning at all.
        points_m: (C, A + 1, 3) a point on each.
        turns: (C, A + 1) whether an axis is one; false in the first place and in padding.
        free: (C,) whether it looks the same in every rotation (two axes that are not parallel).
    """

    motions: Tensor
    axes: Tensor
    points_m: Tensor
    turns: Tensor
    free: Tensor

    def __init__(self, objects: Mapping[int, ObjectModel] | None, classes: int) -> None:
        super().__init__()
        models = dict(objects or {})
        most = max([len(model.symmetries) for model in models.values()], default=1)
        axes = max([len(model.axes) for model in models.values()], default=0)
        table = {
            "motions": torch.eye(4).repeat(classes, max(most, 1), 1, 1),
            "axes": torch.tensor([0.0, 0.0, 1.0]).repeat(classes, axes + 1, 1),
            "points_m": torch.zeros(classes, axes + 1, 3),
            "turns": torch.zeros(classes, axes + 1, dtype=torch.bool),
            "free": torch.zeros(classes, dtype=torch.bool),
        }
        for class_id, model in models.items():
            _fill(table, class_id, model)
        for name, values in table.items():
            # Not persistent: symmetries come from the data set, and a checkpoint must not overwrite them.
            self.register_buffer(name, values, persistent=False)

    @torch.no_grad()
    def cosine(self, predicted: Tensor, rotations: Tensor, class_ids: Tensor) -> Tensor:
        """(...,) cosine of the angle to the nearest rotation that looks the same.

        Args:
            predicted: (..., 3, 3).
            rotations: (..., 3, 3) true ones, which may be broadcast.
            class_ids: (...,) of the objects, as ``rotations``.
        """
        traces, _ = self._best(predicted, rotations, class_ids)
        cosine = (traces.flatten(-2).amax(dim=-1) - 1) / 2
        return torch.where(self.free[class_ids], torch.ones_like(cosine), cosine).clamp(-1, 1)

    @torch.no_grad()
    def nearest(
        self, predicted: Tensor, rotations: Tensor, translations_m: Tensor, class_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The pose that looks like the true one and is turned least from the predicted one.

        Args:
            predicted: (N, 3, 3) rotations.
            rotations: (N, 3, 3) true ones.
            translations_m: (N, 3) true ones.
            class_ids: (N,).

        Returns:
            (N, 3, 3) rotations and (N, 3) translations.
        """
        traces, angles = self._best(predicted, rotations, class_ids)
        choice = traces.flatten(1).argmax(dim=1)
        rows = torch.arange(len(choice), device=choice.device)
        motion, axis = choice // traces.shape[2], choice % traces.shape[2]
        motions = self.motions[class_ids, motion].to(rotations)
        turn = self._turn(class_ids, axis, angles[rows, motion, axis])
        steps = motions @ turn.to(motions)
        nearest = rotations @ steps[:, :3, :3]
        moved = translations_m + (rotations @ steps[:, :3, 3:])[..., 0]
        # A ball: every rotation is right, so that the predicted one is the nearest.
        return torch.where(self.free[class_ids, None, None], predicted.to(nearest), nearest), moved

    def _best(self, predicted: Tensor, rotations: Tensor, class_ids: Tensor) -> tuple[Tensor, Tensor]:
        """(..., S, A + 1) largest traces over the angle about each axis, and those angles."""
        turned = rotations[..., None, :, :] @ self.motions[class_ids][..., :3, :3].to(rotations)
        relative = turned.transpose(-1, -2) @ predicted[..., None, :, :]
        trace = relative.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None]
        axes = self.axes[class_ids][..., None, :, :].to(rotations)
        constant = torch.einsum("...i,...ij,...j->...", axes, relative[..., None, :, :], axes)
        cosine = trace - constant
        sine = (axes * vee(relative - relative.transpose(-1, -2))[..., None, :]).sum(dim=-1)
        turns = self.turns[class_ids][..., None, :]
        # The first place turns by nothing, so that objects without an axis go the same way.
        angles = torch.where(turns, torch.atan2(sine, cosine), torch.zeros_like(sine))
        return torch.where(turns, constant + torch.hypot(cosine, sine), trace), angles

    def _turn(self, class_ids: Tensor, axis: Tensor, angles: Tensor) -> Tensor:
        """(N, 4, 4) motions about an axis each."""
        directions, points = self.axes[class_ids, axis].to(angles), self.points_m[class_ids, axis].to(angles)
        rotations = about_axis(directions, angles.cos(), angles.sin())
        motions = torch.eye(4, dtype=angles.dtype, device=angles.device).repeat(len(angles), 1, 1)
        motions[:, :3, :3] = rotations
        motions[:, :3, 3] = points - (rotations @ points[..., None])[..., 0]
        return motions


def _fill(table: Mapping[str, Tensor], class_id: int, model: ObjectModel) -> None:
    if len(model.symmetries):
        table["motions"][class_id, : len(model.symmetries)] = torch.as_tensor(model.symmetries).float()
    for place, axis in enumerate(model.axes, start=1):
        direction = torch.tensor(axis.direction)
        table["axes"][class_id, place] = direction / direction.norm()
        table["points_m"][class_id, place] = torch.tensor(axis.point_m)
        table["turns"][class_id, place] = True
    directions = table["axes"][class_id, 1 : len(model.axes) + 1]
    if len(directions) > 1:
        across = torch.linalg.cross(directions[:1], directions[1:]).norm(dim=-1)
        table["free"][class_id] = bool((across > 1e-3).any())
