"""Class logits of a training task are those that its losses are made of."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import cross_entropy

from anydet.data.record.class_mask import UNLABELED
from anydet.training.batches.samples import sample_of
from anydet.types import AdapterSettings
from anydet_adaptivestream.adapter import AdaptiveStreamAdapter


@pytest.mark.parametrize("decoder", ["plain", "skip"])
def test_logits_of_the_image_and_of_its_pixels_give_the_losses_of_the_step(tmp_path, small_run, decoder):
    run = small_run(tmp_path, decoder=decoder)
    task = AdaptiveStreamAdapter(AdapterSettings()).training_task(run)
    task.model.eval()
    batch = task.collate([task.item(sample_of(run.dataset[i], task.label_kinds)) for i in range(2)])
    output = task.step(batch)
    images, pixels = output.logits.logits[:, 0], output.logits.logits[:, 1:]
    assert output.logits.logits.abs().max() < 10, "the loss clamps none of them"
    torch.testing.assert_close(output.losses["classification"], cross_entropy(images, batch["labels"]))
    segmentation = cross_entropy(pixels.flatten(0, 1), batch["masks"].flatten(), ignore_index=UNLABELED)
    torch.testing.assert_close(output.losses["segmentation"], segmentation)
    again = task.logits(batch, like=output.logits)
    assert torch.equal(again.logits, output.logits.logits)
    assert again.valid.all()
    assert again.logits.requires_grad
