"""Heads of queries beside class and box, and the head of the image's camera."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from anydet_rtdetr_pose.architecture import Heads

SIZES = {"log_z": 1, "rot6d": 6, "offsets": 2, "log_sigma_z": 1, "log_sigma_rot": 1}
"""Name of a head -> numbers that it gives of a query."""
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class MLP(nn.Sequential):
    """Two hidden layers; the last one starts at zero, so that its bias is the first prediction."""

    def __init__(self, width: int, outputs: int, first: Sequence[float] | None = None) -> None:
        layer = nn.Linear(width, outputs)
        super().__init__(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), layer)
        # Small, not zero: zero weights would pass no gradient to the layers before.
        nn.init.normal_(layer.weight, std=1e-3)
        with torch.no_grad():
            layer.bias.copy_(torch.zeros(outputs) if first is None else torch.tensor(first))


class QueryHeads(nn.ModuleDict):
    """One head a quantity, shared by all decoder layers, as in DETR (Carion et al. 2020).

    * ``log_z``: log of the depth in meters that the object's center would have if the focal length were the
      input's longer side in pixels; see ``recovery``.
    * ``rot6d``: first two columns of R as seen along the ray to the object; see
      ``pose_decoding.rotations_seen``.
    * ``offsets``: projected center minus box center, in widths and heights of the box.
    * ``log_sigma_z``, ``log_sigma_rot``: log of the scale of the Laplace distribution of their errors.
    * ``keypoints``: x, y from the box center in widths and heights of the box, and a logit of being labeled.

    Args:
        width: features of a query.
        heads: which there are.
    """

    def __init__(self, width: int, heads: Heads) -> None:
        first = {"rot6d": _IDENTITY}
        sizes = {name: SIZES[name] for name in _pose_names(heads)}
        if heads.keypoints:
            sizes["keypoints"] = 3 * heads.keypoints
        super().__init__({name: MLP(width, size, first.get(name)) for name, size in sizes.items()})

    def forward(self, queries: Tensor) -> dict[str, Tensor]:
        """(..., width) to (..., numbers) of each head."""
        return {name: head(queries) for name, head in self.items()}


class CameraHead(MLP):
    """``k_delta`` of an image: its camera relative to ``recovery.nominal_camera``.

    Gives dfx, dfy relative to the nominal focal length; dcx, dcy to the input's width and height.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, 4)

    def forward(self, features: Tensor) -> Tensor:
        """(B, 4) of (B, width, H, W)."""
        delta: Tensor = super().forward(features.mean(dim=(2, 3)))  # type: ignore[no-untyped-call]
        return delta


def _pose_names(heads: Heads) -> list[str]:
    if not heads.pose:
        return []
    return list(SIZES) if heads.uncertainty else ["log_z", "rot6d", "offsets"]
