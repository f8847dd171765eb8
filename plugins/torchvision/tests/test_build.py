"""Models train by the engine; what they save predicts; rows go by name; missing labels are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

torch = pytest.importorskip("torch")

from tests.first_weights import assert_classes_follow_their_names

from anydet.data.dataset.base import DatasetView
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError, OptionError
from anydet.testing.comparison import Tolerance, first_difference
from anydet.testing.images import default_images, in_memory
from anydet.training.batches.samples import sample_of
from anydet.types import AdapterSettings, Labels
from anydet_torchvision.adapter import Torchvision

LITE = "ssdlite320_mobilenet_v3_large"
SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"
MASKED, POINTED = "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn"


def opened(checkpoint=None, **options):
    return Torchvision(
        AdapterSettings(checkpoint=checkpoint, batch_size=2, score_floor=0.01, options=options)
    )


@dataclass(frozen=True, eq=False)
class Changed(DatasetView):
    """A data set with other labels."""

    change: Callable[[Labels], Labels]

    def ground_truth(self, max_images=None):
        truth = self.dataset.ground_truth(max_images)
        return replace(truth, labels=self.change(truth.labels))


@pytest.mark.slow
def test_a_run_leaves_what_predicts(tiny_run, tmp_path):
    first = opened()
    run = tiny_run(tmp_path, model=LITE)
    result = first.train(run)
    records = in_memory(default_images()[:1])
    second = opened(result.checkpoint)
    assert second.classes.names == SyntheticDataset.classes.names
    different = first_difference(list(first.predict(records)), list(second.predict(records)), Tolerance())
    assert not different
    for key, value in (("model", "fcos_resnet50_fpn"), ("trainable_backbone_layers", 2)):
        with pytest.raises(OptionError, match=key):
            second.training_task(replace(run, options={"weights": "none", key: value}))


@pytest.mark.slow
@pytest.mark.parametrize("model", [LITE, SMALL])
def test_new_classes_begin_beside_those_that_a_file_knows(model, small_settings, tiny_run, tmp_path):
    old, new = (Torchvision(small_settings(model)) for _ in range(2))
    batch = next(iter(old.build_loader(in_memory(default_images()[:1]), batch_size=1)))
    assert_classes_follow_their_names(old, new, tiny_run(tmp_path, model=model), "some new", batch)


@pytest.mark.slow
def test_masks_and_keypoints_are_learned_or_their_lack_is_refused(tiny_run, tmp_path):
    run = tiny_run(tmp_path, model=MASKED)
    for change, problem in (
        (lambda labels: replace(labels, segmentations=None), "no masks, which maskrcnn_resnet50_fpn learns"),
        (_without_first_mask, "1 of 11 objects without a mask"),
    ):
        changed = replace(run, dataset=Changed(run.dataset, change))
        with pytest.raises(DatasetError, match=problem):
            opened().training_task(changed)
    pointed = tiny_run(tmp_path, model=POINTED)
    bare = Changed(pointed.dataset, lambda labels: replace(labels, keypoints=None))
    with pytest.raises(DatasetError, match="no keypoints, which keypointrcnn_resnet50_fpn learns"):
        opened().training_task(replace(pointed, dataset=bare))
    for one, loss in ((run, "mask"), (pointed, "keypoint")):
        task = opened().training_task(one)
        batch = task.collate([task.item(sample_of(one.dataset[0]))])
        output = task.step(batch)
        assert {"classifier", "box_reg", "objectness", "rpn_box_reg", loss} == set(output.losses)
        assert torch.isfinite(output.loss)
        assert output.logits.logits.shape[2] == 1 + len(one.classes)
        assert set(task.distill_keys) == {"logits", *output.logits.beside}
    # Shapes have five keypoints, whose names the data set does not pass on.
    assert task.model.about.keypoint_names == ("1", "2", "3", "4", "5")


def _without_first_mask(labels):
    return replace(labels, segmentations=[None, *labels.segmentations[1:]])
