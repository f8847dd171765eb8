"""One short training run that many tests look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Trained:
    """A run that has ended."""

    adapter: Any
    run: Any
    result: Any


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from plugins.rtdetr_pose.tests.tinypose import tiny_run

    from anydet.types import AdapterSettings
    from anydet_rtdetr_pose.adapter import RTDETRPose

    adapter = RTDETRPose(AdapterSettings(batch_size=2, score_floor=0.001))
    run = tiny_run(tmp_path_factory.mktemp("trained"))
    return Trained(adapter, run, adapter.train(run))
