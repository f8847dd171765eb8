"""One short training run that many tests look at."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

pytest.importorskip("torch")

from plugins.fasterrcnn_multitask.tests.tinyrun import tiny_run

from anydet.plugins.adapter import TrainResult
from anydet.training.run import Run
from anydet.types import AdapterSettings
from anydet_fasterrcnn_multitask.adapter import FasterRCNNMultiTask


@dataclass(frozen=True)
class Trained:
    """A run that has ended."""

    adapter: FasterRCNNMultiTask
    run: Run
    result: TrainResult


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    adapter = FasterRCNNMultiTask(AdapterSettings(batch_size=2, score_floor=0.001))
    run = tiny_run(tmp_path_factory.mktemp("trained"))
    return Trained(adapter, run, adapter.train(run))
