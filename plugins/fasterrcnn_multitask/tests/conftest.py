"""A model of a few million weights and runs that train it for seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from anydet.plugins.adapter import TrainResult
from anydet.plugins.manager import Plugins
from anydet.training.config.settings import TrainSettings
from anydet.training.run import Run, RunPaths
from anydet.types import AdapterSettings
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


@dataclass(frozen=True)
class Trained:
    """A run that has ended."""

    adapter: FasterRCNNMultiTask
    run: Run
    result: TrainResult


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_run: Callable[..., Run]) -> Trained:
    """One short training run that many tests look at."""
    adapter = FasterRCNNMultiTask(AdapterSettings(batch_size=2, score_floor=0.001))
    run = tiny_run(tmp_path_factory.mktemp("trained"))
    return Trained(adapter, run, adapter.train(run))


@pytest.fixture(scope="session")
def tiny_run() -> Callable[..., Run]:
    """Makes a run on bicycles that need no disk; keywords are keys of the engine."""

    def make(folder: Path, *, images: int = 4, options: dict[str, Any] | None = None, **keys: Any) -> Run:
        settings = {
            "batch_size": 2,
            "num_workers": 0,
            "epochs": 1,
            "device": "cpu",
            "best_metric": "val_loss",
        }
        return Run(
            adapter="fasterrcnn_multitask",
            dataset=SyntheticBikes(images, 0, (96, 72)),
            validation=SyntheticBikes(1, 1, (96, 72), "val"),
            settings=TrainSettings(**(settings | keys)),
            paths=RunPaths.of_folder(folder),
            options=TINY | (options or {}),
            plugins=Plugins(only=["fasterrcnn_multitask", "delftbikes"]),
        )

    return make
