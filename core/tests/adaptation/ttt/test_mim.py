from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anydet.plugins.adapter import Masking


def test_the_loss_gets_what_is_to_be_masked(build, grid, records, monkeypatch):
    asked = []
    own = type(grid).self_supervised_loss

    def loss(self, batch, generator, masking=None):
        asked.append(masking)
        return own(self, batch, generator)

    monkeypatch.setattr(type(grid), "self_supervised_loss", loss)
    running = build("mim", mask_prob=0.25, patch_size=8)
    running.prepare(grid)
    running.adapt(records)
    described = running.describe()
    running.restore()
    assert asked == [Masking(0.25, 8, None)]
    assert described.mim == {"mask_prob": 0.25, "patch_size": 8}


def test_statistics_follow_whole_images_not_masked_ones(build, grid, records):
    statistics = []
    for name in ("norm", "mim"):
        running = build(name, reset="stream", check_every=0)
        running.prepare(grid)
        running.adapt(records)
        statistics.append(grid.get_model().backbone[1].running_mean.clone())
        running.restore()
    assert torch.equal(*statistics)
