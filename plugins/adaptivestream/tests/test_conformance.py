from __future__ import annotations

import pytest

pytest.importorskip("torch")

from plugins.adaptivestream.tests.smallrun import PLUGINS, train_small

from anydet.testing import AdapterConformance


@pytest.mark.slow
class TestAdaptiveStream(AdapterConformance):
    adapter = "adaptivestream"
    train = staticmethod(train_small)

    @pytest.fixture
    def settings(self):
        return PLUGINS.settings(self.adapter, options={"image_size": 64}, batch_size=2, score_floor=0.001)
