"""Data sets of class masks through evaluation: true predictions score 1, others less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.data.class_masks.dataset import label_regions
from anydet.data.opening import open_dataset
from anydet.data.record.class_mask import masks_of_classes
from anydet.data.scenes.mask_scenes import CLASSES, SyntheticMasks
from anydet.data.writing.class_masks import write_class_masks
from anydet.evaluation.reading import read_shards
from anydet.evaluation.run import run_evaluators
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.types import Classification, ImagePredictions


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks") / "data"
    write_class_masks(SyntheticMasks(8, 5, (64, 48)), folder)
    return folder


def truth_told(record):
    """Predictions equal to the annotations."""
    classes = record.class_map()
    regions = label_regions(classes, 0)
    return ImagePredictions(
        record.key,
        record.size_wh,
        xywh_to_xyxy(regions.boxes_xywh_px),
        np.ones(len(regions)),
        regions.class_ids,
        masks=regions.segmentations,
        classification=Classification(record.extra["classification"]["class_id"], 1.0),
        semantic_mask=masks_of_classes(classes),
    )


def evaluate(root, predictions, path):
    meta = {"classes": list(CLASSES.names)}
    write_predictions(map(encode_entry, predictions), path, meta=meta, wrap=True)
    names = ["semantic", "image-class", "coco-segm"]
    return run_evaluators(read_shards(root, path), names).metrics


@pytest.mark.slow
def test_the_truth_scores_one(root, tmp_path):
    found = evaluate(root, [truth_told(record) for record in open_dataset(root)], tmp_path / "p.json")
    for name in ("semantic/mIoU", "semantic/Dice", "semantic/pixel_accuracy", "coco-segm/AP"):
        assert found[name] == pytest.approx(1.0), name
    assert found["image-class/accuracy"] == found["image-class/macro_f1"] == 1.0


def test_masks_and_classes_of_another_image_score_less(root, tmp_path):
    predicted = [truth_told(record) for record in open_dataset(root)]
    swapped = [
        replace(one, image=other.image)
        for one, other in zip(predicted, predicted[1:] + predicted[:1], strict=True)
    ]
    found = evaluate(root, swapped, tmp_path / "p.json")
    assert found["semantic/mIoU"] < 0.5
    assert found["image-class/accuracy"] < 0.5
    assert found["coco-segm/AP"] < 0.2
