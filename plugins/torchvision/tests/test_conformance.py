from __future__ import annotations

import pytest

pytest.importorskip("torch")

from anydet.testing import AdapterConformance
from anydet.testing.images import default_images


class ZooConformance(AdapterConformance):
    adapter = "torchvision"
    model: str

    @pytest.fixture
    def train(self, tiny_run):
        return lambda adapter, folder: adapter.train(tiny_run(folder, model=self.model))

    @pytest.fixture
    def settings(self, small_settings):
        return small_settings(self.model)

    @pytest.fixture
    def images(self):
        return default_images()[:2]


@pytest.mark.slow
class TestOfOneStage(ZooConformance):
    model = "ssdlite320_mobilenet_v3_large"


@pytest.mark.slow
class TestOfTwoStages(ZooConformance):
    model = "fasterrcnn_mobilenet_v3_large_320_fpn"
