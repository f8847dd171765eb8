from __future__ import annotations

import pytest

pytest.importorskip("torch")

from anydet.plugins.manager import Plugins
from anydet.testing import AdapterConformance


@pytest.mark.slow
class TestRTDETRPose(AdapterConformance):
    adapter = "rtdetr_pose"

    @staticmethod
    def train(adapter, folder):
        from plugins.rtdetr_pose.tests.tinypose import train_tiny

        return train_tiny(adapter, folder)

    @pytest.fixture
    def settings(self, trained):
        return Plugins(only=[self.adapter]).settings(
            self.adapter, checkpoint=trained.result.checkpoint, batch_size=2, score_floor=0.001
        )
