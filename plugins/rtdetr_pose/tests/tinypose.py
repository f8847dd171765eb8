"""A model of some ten thousand weights and runs that train it for seconds, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugins.rtdetr_pose.tests.tinymodel import MODEL

from anydet.plugins.adapter import TrainResult
from anydet.plugins.manager import Plugins
from anydet.training.config.settings import TrainSettings
from anydet.training.run import Run, RunPaths
from anydet_bop.scenes.dataset import PoseScenes
from anydet_rtdetr_pose.adapter import RTDETRPose

TINY = {"model": MODEL, "image_size": [96, 64], "num_queries": 12, "num_denoising": 8}
"""Training keys of a model that learns nothing, quickly."""


def tiny_run(folder: Path, *, options: dict[str, Any] | None = None, **keys: Any) -> Run:
    """A run on posed solids that need no disk; ``keys`` are those of the engine."""
    settings = {"batch_size": 2, "num_workers": 0, "epochs": 1, "device": "cpu"}
    return Run(
        adapter="rtdetr_pose",
        dataset=PoseScenes(4, 0, (96, 64)),
        validation=PoseScenes(2, 1, (96, 64), "val"),
        settings=TrainSettings(**(settings | keys)),
        paths=RunPaths.of_folder(folder),
        options=TINY | (options or {}),
        plugins=Plugins(only=["rtdetr_pose"]),
    )


def train_tiny(adapter: RTDETRPose, folder: Path) -> TrainResult:
    """What the conformance kit trains."""
    run = tiny_run(folder)
    return adapter.train(run)
