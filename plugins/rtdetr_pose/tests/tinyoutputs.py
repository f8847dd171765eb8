"""Random outputs and targets of a few objects, for tests of matching and of losses."""

from __future__ import annotations

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from anydet_rtdetr_pose.heads import SIZES
from anydet_rtdetr_pose.outputs import Outputs
from anydet_rtdetr_pose.targets import Targets

SIZE_WH = (96, 64)
CLASSES = 4


def random_targets(counts: tuple[int, ...] = (3, 0, 2), seed: int = 0) -> Targets:
    """So many objects on each image."""
    rng = torch.Generator().manual_seed(seed)
    images, most = len(counts), max(counts)
    valid = torch.arange(most) < torch.tensor(counts)[:, None]
    rotations = torch.from_numpy(
        Rotation.random(images * max(most, 1), random_state=seed).as_matrix()
    ).float()
    translations = torch.rand(images, most, 3, generator=rng) + torch.tensor([-0.5, -0.5, 1.0])
    return Targets(
        valid=valid,
        class_ids=torch.randint(CLASSES, (images, most), generator=rng) * valid,
        boxes=random_boxes(images, most, rng=rng) * valid[..., None],
        posed=valid.clone(),
        rotations=rotations[: images * most].reshape(images, most, 3, 3),
        translations_m=translations,
        keypoints=torch.zeros(images, most, 0, 3),
        seen_by=torch.ones(images, dtype=torch.bool),
        intrinsics=torch.tensor([90.0, 90.0, 48.0, 32.0]).repeat(images, 1),
    )


def random_outputs(images: int = 3, layers: int = 2, queries: int = 6, *, uncertain: bool = True) -> Outputs:
    """Outputs of an untrained model."""
    rng = torch.Generator().manual_seed(1)
    names = [name for name in SIZES if uncertain or "sigma" not in name]
    shape = (images, layers, queries)
    return Outputs(
        logits=torch.randn(*shape, CLASSES, generator=rng).requires_grad_(),
        boxes=random_boxes(*shape, rng=rng).requires_grad_(),
        heads={name: torch.randn(*shape, SIZES[name], generator=rng).requires_grad_() for name in names},
        proposal_logits=torch.randn(images, queries, CLASSES, generator=rng).requires_grad_(),
        proposal_boxes=random_boxes(images, queries, rng=rng).requires_grad_(),
        camera=torch.randn(images, 4, generator=rng).requires_grad_(),
    )


def random_boxes(*shape: int, rng: torch.Generator) -> Tensor:
    """Normalized centers and sizes."""
    return torch.rand(*shape, 4, generator=rng) * torch.tensor([0.6, 0.6, 0.3, 0.3]) + torch.tensor(
        [0.2, 0.2, 0.05, 0.05]
    )
