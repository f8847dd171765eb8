"""A run prepared from flags, and started."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from anydet.plugins.adapter import TrainResult
from anydet.training.launch.preparation import PreparedRun, prepare
from anydet.training.launch.start import launch


def prepare_run(plugins, scenes, config=None, **flags):
    said: list[str] = []
    flags = {"adapter": "recorder", "dataset": str(scenes), **flags}
    return prepare(
        {k: v for k, v in flags.items() if v is not None}, config, plugins=plugins, say=said.append
    )


def start_run(plugins, scenes, config=None, **flags):
    return launch(prepare_run(plugins, scenes, config, **flags), command=("anydet", "train"))


@pytest.fixture
def ready() -> Callable[..., PreparedRun]:
    """``prepare_run``."""
    return prepare_run


@pytest.fixture
def start() -> Callable[..., TrainResult]:
    """``start_run``."""
    return start_run
