from __future__ import annotations

import pytest

pytest.importorskip("torch")

from anydet.testing import AdapterConformance, CommandConformance


@pytest.mark.slow
class TestAdaptiveStream(AdapterConformance):
    adapter = "adaptivestream"

    @pytest.fixture
    def train(self, train_small):
        return train_small

    @pytest.fixture
    def settings(self, plugins):
        return plugins.settings(self.adapter, options={"image_size": 64}, batch_size=2, score_floor=0.001)


class TestAdaptiveStreamCommand(CommandConformance):
    command = "adaptivestream"
