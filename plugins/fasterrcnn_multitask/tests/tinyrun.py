"""A model of a few million weights and runs that train it for seconds, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anydet.plugins.adapter import TrainResult
from anydet.plugins.manager import Plugins
from anydet.training.config.settings import TrainSettings
from anydet.training.run import Run, RunPaths
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_fasterrcnn_multitask.adapter import FasterRCNNMultiTask

TINY = {
    "weights": "none",
    "backbone": "resnet18_fpn",
    "min_size": 64,
    "max_size": 128,
    "pyramid_channels": 16,
    "representation_size": 32,
    "rois_per_image": 32,
    "proposals": 50,
}
"""Training keys of a model that learns nothing, quickly."""


def tiny_run(folder: Path, *, images: int = 4, options: dict[str, Any] | None = None, **keys: Any) -> Run:
    """A run on bicycles that need no disk; ``keys`` are those of the engine."""
    settings = {"batch_size": 2, "num_workers": 0, "epochs": 1, "device": "cpu", "best_metric": "val_loss"}
    return Run(
        adapter="fasterrcnn_multitask",
        dataset=SyntheticBikes(images, 0, (96, 72)),
        validation=SyntheticBikes(1, 1, (96, 72), "val"),
        settings=TrainSettings(**(settings | keys)),
        paths=RunPaths.of_folder(folder),
        options=TINY | (options or {}),
        plugins=Plugins(only=["fasterrcnn_multitask", "delftbikes"]),
    )


def train_tiny(adapter: FasterRCNNMultiTask, folder: Path) -> TrainResult:
    """What the conformance kit trains."""
    run = tiny_run(folder)
    return adapter.train(run)
