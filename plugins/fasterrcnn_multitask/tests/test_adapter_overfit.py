from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from anydet.data.record.pixels import ImageArray
from anydet.types import AdapterSettings
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_fasterrcnn_multitask.adapter import FasterRCNNMultiTask

_PAINTED = {}


class Painted(SyntheticBikes):
    """Each image is painted once."""

    def __getitem__(self, index):
        record = super().__getitem__(index)
        if record.key not in _PAINTED:
            _PAINTED[record.key] = ImageArray(record.image())
        return record.with_pixels(_PAINTED[record.key])


@pytest.fixture
def overfit(tiny_run):
    """Metrics of a model on the images that it was trained on."""

    def overfit(folder, images, epochs, options):
        run = tiny_run(
            folder,
            options=options,
            epochs=epochs,
            val_every=0,
            best_metric="AP50",
            lr=1e-3,
            scheduler="cosine",
            lr_warmup_steps=20,
            clip_grad_norm=10.0,
        )
        run = replace(run, dataset=images, validation=images)
        adapter = FasterRCNNMultiTask(AdapterSettings(batch_size=2, score_floor=0.01))
        return adapter.train(run).metrics

    return overfit


@pytest.mark.soak
def test_one_image_is_overfitted(tmp_path, overfit):
    sizes = {"min_size": 120, "max_size": 160, "pyramid_channels": 64, "representation_size": 128}
    metrics = overfit(
        tmp_path, Painted(1, 0, (160, 120)), 150, sizes | {"rois_per_image": 64, "proposals": 100}
    )
    assert metrics["AP50"] >= 0.9
    assert metrics["accuracy"] >= 0.9
    assert metrics["matched"] >= 0.9


@pytest.mark.soak
def test_four_images_are_overfitted(tmp_path, overfit):
    sizes = {"min_size": 240, "max_size": 320, "pyramid_channels": 64, "representation_size": 256}
    metrics = overfit(
        tmp_path, Painted(4, 0, (320, 240)), 110, sizes | {"rois_per_image": 128, "proposals": 300}
    )
    assert metrics["AP50"] >= 0.95
    assert metrics["accuracy"] >= 0.95
    assert metrics["matched"] >= 0.95
