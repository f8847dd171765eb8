"""Runs that train for a second, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anydet.data.dataset.protocols import Dataset
from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.plugins.adapter import TrainResult
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.training.config.resolve import resolve
from anydet.training.run import Run, RunPaths
from anydet_adaptivestream.adapter import AdaptiveStreamAdapter

PLUGINS = Plugins(only=["adaptivestream"])
SCENES = SyntheticMasks(4, 0, (64, 64), "train")


def small_run(folder: Path, dataset: Dataset = SCENES, **keys: Any) -> Run:
    """A run on scenes that need no disk; ``keys`` are those of the engine and the adapter."""
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
        plugins=PLUGINS,
    )


def train_small(adapter: AdaptiveStreamAdapter, folder: Path) -> TrainResult:
    """What the conformance kit trains."""
    run = small_run(folder)
    return adapter.train(run)
