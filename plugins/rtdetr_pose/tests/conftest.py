"""An architecture of some ten thousand weights, runs of it, and random outputs and targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

MODEL = {
    "backbone": {"name": "tiny_cnn", "args": {"width_mult": 0.5}},
    "projector": {"d_model": 32},
    "transformer": {"decoder_layers": 2, "ffn_dim": 32, "attention_heads": 4, "expansion": 0.5},
}
"""The key ``model`` of the architecture."""
SIZE_WH = (96, 64)
CLASSES = 4
"""Of random outputs and targets."""


@dataclass(frozen=True)
class Trained:
    """A run that has ended."""

    adapter: Any
    run: Any
    result: Any


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_run: Callable[..., Any]) -> Trained:
    """One short training run that many tests look at."""
    from anydet.types import AdapterSettings
    from anydet_rtdetr_pose.adapter import RTDETRPose

    adapter = RTDETRPose(AdapterSettings(batch_size=2, score_floor=0.001))
    run = tiny_run(tmp_path_factory.mktemp("trained"))
    return Trained(adapter, run, adapter.train(run))


@pytest.fixture(scope="session")
def tiny_run() -> Callable[..., Any]:
    """Makes a run on posed solids that need no disk; keywords are keys of the engine."""
    from anydet.plugins.manager import Plugins
    from anydet.training.config.settings import TrainSettings
    from anydet.training.run import Run, RunPaths
    from anydet_bop.scenes.dataset import PoseScenes

    def make(folder: Path, *, options: dict[str, Any] | None = None, **keys: Any) -> Run:
        settings = {"batch_size": 2, "num_workers": 0, "epochs": 1, "device": "cpu"}
        tiny = {"model": MODEL, "image_size": list(SIZE_WH), "num_queries": 12, "num_denoising": 8}
        return Run(
            adapter="rtdetr_pose",
            dataset=PoseScenes(4, 0, SIZE_WH),
            validation=PoseScenes(2, 1, SIZE_WH, "val"),
            settings=TrainSettings(**(settings | keys)),
            paths=RunPaths.of_folder(folder),
            options=tiny | (options or {}),
            plugins=Plugins(only=["rtdetr_pose"]),
        )

    return make


@pytest.fixture(scope="session")
def tiny_architecture() -> Callable[..., Any]:
    """Makes an architecture for inputs of 96 x 64 pixels; keywords are its fields."""
    from anydet_rtdetr_pose.architecture import Architecture, Inputs, read_model

    def make(**changes: Any) -> Architecture:
        usual = {"num_queries": 12, "num_denoising": 8, "inputs": Inputs(size_wh=SIZE_WH)}
        return Architecture(
            **{"model": read_model(MODEL), "classes": ("ball", "cube", "cup"), **usual, **changes}
        )

    return make


@pytest.fixture(scope="session")
def size_wh() -> tuple[int, int]:
    """Width and height in pixels of the images of random outputs and targets."""
    return SIZE_WH


@pytest.fixture(scope="session")
def no_symmetries() -> Any:
    """Of the classes of random outputs and targets."""
    from anydet_rtdetr_pose.symmetry import Symmetries

    return Symmetries(None, CLASSES)


@pytest.fixture(scope="session")
def random_targets() -> Callable[..., Any]:
    """Makes targets of so many objects on each image."""
    import torch
    from scipy.spatial.transform import Rotation

    from anydet_rtdetr_pose.targets import Targets

    def make(counts: tuple[int, ...] = (3, 0, 2), seed: int = 0) -> Targets:
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
            boxes=_random_boxes(images, most, rng=rng) * valid[..., None],
            posed=valid.clone(),
            rotations=rotations[: images * most].reshape(images, most, 3, 3),
            translations_m=translations,
            keypoints=torch.zeros(images, most, 0, 3),
            seen_by=torch.ones(images, dtype=torch.bool),
            intrinsics=torch.tensor([90.0, 90.0, 48.0, 32.0]).repeat(images, 1),
        )

    return make


@pytest.fixture(scope="session")
def random_outputs() -> Callable[..., Any]:
    """Makes outputs of an untrained model."""
    import torch

    from anydet_rtdetr_pose.heads import SIZES
    from anydet_rtdetr_pose.outputs import Outputs

    def make(images: int = 3, layers: int = 2, queries: int = 6, *, uncertain: bool = True) -> Outputs:
        rng = torch.Generator().manual_seed(1)
        names = [name for name in SIZES if uncertain or "sigma" not in name]
        shape = (images, layers, queries)
        return Outputs(
            logits=torch.randn(*shape, CLASSES, generator=rng).requires_grad_(),
            boxes=_random_boxes(*shape, rng=rng).requires_grad_(),
            heads={name: torch.randn(*shape, SIZES[name], generator=rng).requires_grad_() for name in names},
            proposal_logits=torch.randn(images, queries, CLASSES, generator=rng).requires_grad_(),
            proposal_boxes=_random_boxes(images, queries, rng=rng).requires_grad_(),
            camera=torch.randn(images, 4, generator=rng).requires_grad_(),
        )

    return make


def _random_boxes(*shape: int, rng: Any) -> Any:
    """Normalized centers and sizes."""
    import torch

    return torch.rand(*shape, 4, generator=rng) * torch.tensor([0.6, 0.6, 0.3, 0.3]) + torch.tensor(
        [0.2, 0.2, 0.05, 0.05]
    )
