from __future__ import annotations

import pytest

pytest.importorskip("torch")

from anydet.plugins.manager import Plugins
from anydet.testing import AdapterConformance, CommandConformance


@pytest.mark.slow
class TestFasterRCNNMultitask(AdapterConformance):
    adapter = "fasterrcnn_multitask"

    @pytest.fixture
    def train(self, tiny_run):
        return lambda adapter, folder: adapter.train(tiny_run(folder))

    @pytest.fixture
    def settings(self, trained):
        return Plugins(only=[self.adapter]).settings(
            self.adapter, checkpoint=trained.result.checkpoint, batch_size=2, score_floor=0.01
        )


class TestFasterRCNNMultitaskCommand(CommandConformance):
    command = "fasterrcnn-multitask"
