"""Runs that train for a second, and the scenes that they see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anydet.data.dataset.protocols import Dataset
from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.plugins.adapter import Adapter, TrainResult
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return Plugins(only=["adaptivestream"])


@pytest.fixture(scope="session")
def scenes() -> SyntheticMasks:
    return SyntheticMasks(4, 0, (64, 64), "train")


@pytest.fixture(scope="session")
def small_run(plugins: Plugins, scenes: SyntheticMasks) -> Callable[..., Any]:
    """Makes a run on scenes that need no disk; keywords are keys of the engine and of the adapter."""
    from anydet.training.config.resolve import resolve
    from anydet.training.run import Run, RunPaths

    def make(folder: Path, dataset: Dataset = scenes, **keys: Any) -> Run:
        usual = {"num_workers": 0, "epochs": 1, "device": "cpu", "image_size": 64, "batch_size": 2}
        schema = load_schema("anydet_adaptivestream:training.schema.json")
        resolved = resolve(usual | keys, None, schema, adapter_name="adaptivestream")
        return Run(
            adapter="adaptivestream",
            dataset=dataset,
            validation=dataset,
            settings=resolved.settings,
            paths=RunPaths.of_folder(folder),
            options=resolved.options,
            origins=resolved.origins,
            plugins=plugins,
        )

    return make


@pytest.fixture(scope="session")
def train_small(small_run: Callable[..., Any]) -> Callable[[Adapter, Path], TrainResult]:
    """Trains an adapter in ``small_run``."""
    return lambda adapter, folder: adapter.train(small_run(folder))
