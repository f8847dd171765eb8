"""Each model is the bare model of torchvision: its detections, its losses, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anydet.data.scenes.shape_scenes import SyntheticDataset, render_scene
from anydet.data.scenes.shapes import CLASSES
from anydet.geometry.masks import decode
from anydet.testing.images import in_memory
from anydet.training.batches.samples import sample_of
from anydet.training.detectors.inputs import image_tensor
from anydet_torchvision.task import DetectionTraining

pytestmark = pytest.mark.slow

SIZES_WH = ((64, 48), (64, 48), (48, 80))
"""Two that torchvision does not pad, and one on its own."""


@pytest.fixture(scope="module")
def images(adapter):
    # VGG at 300 pixels takes seconds an image
    sizes = SIZES_WH[-1:] if adapter.settings.options["model"] == "ssd300_vgg16" else SIZES_WH
    return [render_scene(0, i, size).image for i, size in enumerate(sizes)]


def test_predictions_are_those_of_the_bare_model(adapter, bare, images):
    found = list(adapter.predict(in_memory(images)))
    cpu = torch.device("cpu")
    with torch.no_grad():
        batches = [images[:-1], images[-1:]] if len(images) > 1 else [images]
        expected = [one for batch in batches for one in bare([image_tensor(image, cpu) for image in batch])]
    assert sum(map(len, found)) > 0
    for ours, theirs in zip(found, expected, strict=True):
        theirs = _detections(theirs)  # noqa: PLW2901
        np.testing.assert_allclose(ours.boxes_xyxy_px, theirs["boxes"], atol=1e-4)
        np.testing.assert_allclose(ours.scores, theirs["scores"], atol=1e-4)
        assert ours.class_ids.tolist() == (theirs["labels"] - 1).tolist()
        assert (ours.masks is None) == ("masks" not in theirs)
        if ours.masks is not None:
            for mask, probabilities in zip(ours.masks, theirs["masks"], strict=True):
                assert np.array_equal(decode(mask), probabilities[0].numpy() > 0.5)
        assert (ours.keypoints is None) == ("keypoints" not in theirs)
        if ours.keypoints is not None:
            np.testing.assert_allclose(ours.keypoints[..., :2], theirs["keypoints"][..., :2], atol=1e-4)
            scores = theirs["keypoints_scores"].sigmoid()
            np.testing.assert_allclose(ours.keypoints[..., 2], scores, atol=1e-4)


def _detections(found):
    """Those that have an area and a class: sigmoids of the background are no detections."""
    boxes, labels = found["boxes"], found["labels"]
    keep = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1) & (labels > 0)
    return {name: values[keep] for name, values in found.items()}


def test_losses_are_those_of_the_bare_model(adapter, bare):
    model = adapter.model
    task = _task(adapter)
    if hasattr(model.net, "roi_heads"):
        for net in (model.net, bare):
            net.roi_heads.fg_bg_sampler.batch_size_per_image = 8
    (record,) = SyntheticDataset(1, 0, (64, 48))
    sample = sample_of(record)
    # Shapes have five keypoints, people 17.
    sample = replace(sample, keypoints=sample.keypoints.repeat(1, 4, 1)[:, :17])
    batch = task.collate([task.item(sample)])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = task.validation_step(batch)
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert not changed
    # The same with the modes that torchvision's own code has no switch for: losses, norms in evaluation.
    bare.training = True
    for name in ("rpn", "roi_heads"):
        if hasattr(bare, name):
            getattr(bare, name).training = True
    torch.manual_seed(0)
    with torch.no_grad():
        expected = bare([batch[0][0].float() / 255], [dict(batch[1][0])])
    bare.eval()
    assert {name.removeprefix("loss_") for name in expected} == set(found.losses)
    for name, loss in expected.items():
        ours = found.losses[name.removeprefix("loss_")]
        assert torch.isfinite(loss)
        torch.testing.assert_close(ours.detach(), loss, rtol=1e-4, atol=1e-4)


def test_logits_are_of_regions_or_places_that_can_be_asked_for_again(adapter):
    batch = next(iter(adapter.build_loader(in_memory([render_scene(0, 0, (64, 48)).image]), batch_size=1)))
    with torch.no_grad():
        first = adapter.class_logits(batch)
        again = adapter.class_logits(batch.flip(1), like=first)
    assert first.logits.shape[2] == len(CLASSES) + (first.background is not None)
    assert again.logits.shape == first.logits.shape
    assert not torch.equal(again.logits, first.logits)
    two_stages = hasattr(adapter.model.net, "roi_heads")
    assert (first.boxes is not None) == two_stages
    if two_stages:
        assert torch.equal(again.boxes, first.boxes)
        assert set(_task(adapter).distill_keys) == {"logits", *first.beside}


def _task(adapter):
    heads = getattr(adapter.model.net, "roi_heads", None)
    kinds = {"masks": heads and heads.has_mask(), "keypoints": heads and heads.has_keypoint()}
    learned = frozenset(kind for kind, there in kinds.items() if there)
    return DetectionTraining(adapter.model, CLASSES, adapter.build_predictor(adapter.model), learned)
