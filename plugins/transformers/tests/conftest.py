"""Tiny random models that the library itself has saved, one folder each, and runs that train them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from anydet.plugins.manager import Plugins
from anydet.training.config.settings import TrainSettings
from anydet.training.run import Run, RunPaths

SIZE_WH = (96, 64)
"""Of the scenes that runs train on."""


@pytest.fixture(scope="session")
def saved_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of the tiny model of a type, by ``save_pretrained`` of model and image processor."""
    import torch

    from anydet_transformers.model import LibraryModel
    from anydet_transformers.untrained import describe

    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            about = describe(f"tiny:{name}").with_classes(["circle", "square", "star"])
            with torch.random.fork_rng([]):
                torch.manual_seed(0)
                model = LibraryModel(about)
            # Random logits are all alike; spread, scores differ by more than rounding.
            rows = model.named_rows()
            for parameter in (p for name, p in model.named_parameters() if name in rows):
                parameter.data.mul_(20 if parameter.ndim > 1 else 0)
            model.detector.save_pretrained(made[name])
            about.image_processor().save_pretrained(made[name])
        return made[name]

    return make


@pytest.fixture(scope="session")
def tiny_run() -> Callable[..., Run]:
    """Makes a run on shapes that need no disk; keywords are keys of the engine."""
    from anydet.data.scenes.shape_scenes import SyntheticDataset

    def make(folder: Path, model: str | None = "tiny:rt_detr_v2", **keys: Any) -> Run:
        settings = {"batch_size": 2, "num_workers": 0, "epochs": 1, "device": "cpu"}
        return Run(
            adapter="transformers",
            dataset=SyntheticDataset(4, 0, SIZE_WH),
            validation=SyntheticDataset(2, 1, SIZE_WH, "val"),
            settings=TrainSettings(**(settings | keys)),
            paths=RunPaths.of_folder(folder),
            options={} if model is None else {"model": model},
            plugins=Plugins(only=["transformers"]),
        )

    return make
