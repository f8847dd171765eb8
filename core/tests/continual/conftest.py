"""Scenes in two splits, and a detector that trains on them in milliseconds."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.yolo import write_yolo
from anydet.plugins import AdapterSpec, hookimpl
from anydet.plugins.manager import Plugins


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """A YOLO folder with the splits train and val."""
    folder, other = (tmp_path_factory.mktemp("scenes") / name for name in ("data", "other"))
    write_yolo(SyntheticDataset(16, 0, (64, 64), "train"), folder, "train")
    write_yolo(SyntheticDataset(12, 1, (64, 64), "val"), other, "val")
    for kind in ("images", "labels"):
        (other / kind / "val").rename(folder / kind / "val")
    described = yaml.safe_load((folder / "data.yaml").read_text())
    (folder / "data.yaml").write_text(yaml.safe_dump({**described, "val": "images/val"}))
    return folder


def growing_plugins() -> Plugins:
    """A grid detector whose head grows, as an adapter that is installed."""
    module = ModuleType("registers_growing")
    module.PLUGIN_API = 2
    spec = AdapterSpec(
        "growing", "core.tests.continual.growing:GrowingAdapter", capabilities=("train", "ttt")
    )
    module.register_adapters = hookimpl(lambda register: register(spec), specname="register_adapters")
    sys.modules[module.__name__] = module
    return Plugins([EntryPoint("growing", module.__name__, "anydet")])


@pytest.fixture
def plugins():
    """``growing_plugins``."""
    return growing_plugins()


@pytest.fixture
def write(tmp_path, scenes):
    """Writes a setting of two groups of classes, with keys of its own."""

    def make(**keys):
        given = {
            "adapter": "growing",
            "dataset": str(scenes),
            "class_groups": [3, 3],
            "training": {"epochs": 3, "batch_size": 4, "num_workers": 0, "lr": 0.01},
            "methods": {"none": None, "replay": {"replay": 4, "replay_repeat": 2}, "joint": {"joint": True}},
            "resamples": 30,
        }
        path = tmp_path / "setting.yaml"
        merged = {key: value for key, value in {**given, **keys}.items() if value is not ...}
        path.write_text(yaml.safe_dump(merged, sort_keys=False))
        return path

    return make
