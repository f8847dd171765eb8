from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from plugins.fasterrcnn_multitask.tests.tinyrun import tiny_run

from anydet.data.record.pixels import ImageArray
from anydet.types import AdapterSettings
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_fasterrcnn_multitask.adapter import FasterRCNNMultiTask

_PAINTED = {}


class Painted(SyntheticBikes):
    """Each picture is painted once."""

    def __getitem__(self, index):
        record = super().__getitem__(index)
        if record.key not in _PAINTED:
            _PAINTED[record.key] = ImageArray(record.image())
        return record.with_pixels(_PAINTED[record.key])


@pytest.mark.slow
def test_four_pictures_are_learned_by_heart(tmp_path):
    pictures = Painted(4, 0, (320, 240))
    sizes = {"min_size": 240, "max_size": 320, "pyramid_channels": 64, "representation_size": 256}
    run = tiny_run(
        tmp_path,
        options=sizes | {"rois_per_image": 128, "proposals": 300},
        epochs=110,
        val_every=0,
        best_metric="AP50",
        lr=1e-3,
        scheduler="cosine",
        lr_warmup_steps=20,
        clip_grad_norm=10.0,
    )
    run = replace(run, dataset=pictures, validation=pictures)
    adapter = FasterRCNNMultiTask(AdapterSettings(batch_size=2, score_floor=0.01))
    metrics = adapter.train(run.dataset, run).metrics
    assert metrics["AP50"] >= 0.95
    assert metrics["accuracy"] >= 0.95
    assert metrics["matched"] >= 0.95
