from __future__ import annotations

import pytest

pytest.importorskip("torch")

from plugins.fasterrcnn_multitask.tests.tinyrun import train_tiny

from anydet.plugins.manager import Plugins
from anydet.testing import AdapterConformance


@pytest.mark.slow
class TestFasterRCNNMultitask(AdapterConformance):
    adapter = "fasterrcnn_multitask"
    train = staticmethod(train_tiny)

    @pytest.fixture
    def settings(self, trained):
        return Plugins(only=[self.adapter]).settings(
            self.adapter, checkpoint=trained.result.checkpoint, batch_size=2, score_floor=0.01
        )
