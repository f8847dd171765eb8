from __future__ import annotations

import pytest

pytest.importorskip("transformers")

from anydet.plugins.manager import Plugins
from anydet.testing import AdapterConformance


class _Saved(AdapterConformance):
    """The kit on a folder that the library saved."""

    adapter = "transformers"
    model = ""

    @pytest.fixture
    def train(self, tiny_run):
        return lambda adapter, folder: adapter.train(tiny_run(folder, f"tiny:{self.model}"))

    @pytest.fixture
    def settings(self, saved_folder):
        return Plugins(only=[self.adapter]).settings(
            self.adapter, checkpoint=str(saved_folder(self.model)), batch_size=2, score_floor=0.001
        )


_RESIZED = "no runtime resizes as this model's image processor does"
_NO_EXPORT = {"declared_capabilities_are_implemented": _RESIZED, "export_spec_fits_the_model": _RESIZED}


@pytest.mark.slow
class TestRTDETR(_Saved):
    model = "rt_detr_v2"


@pytest.mark.soak
class TestDETR(_Saved):
    model = "detr"
    known_failures = _NO_EXPORT


@pytest.mark.soak
class TestYOLOS(_Saved):
    model = "yolos"
    known_failures = {  # noqa: RUF012 - as the kit has it
        **_NO_EXPORT,
        "tiny_images_work": "the library's image processor resizes a side of one pixel to 0 and fails",
    }
