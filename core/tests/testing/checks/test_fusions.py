"""Each check of fusions catches a bad fusion of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.adaptation.tta.fusions import NonMaximumSuppression
from anydet.adaptation.tta.merging import join_results
from anydet.prediction.hooks import FusionSettings
from anydet.testing.checks.fusions import CHECKS, FusionSubject, several_results
from anydet.types import ImagePredictions


class Good(NonMaximumSuppression):
    def __init__(self):
        super().__init__(FusionSettings({"iou_threshold": 0.6}))


def changed(change):
    class Changed(Good):
        def fuse(self, results):
            return change(super().fuse(results))

    return Changed


class GivesNone(Good):
    def fuse(self, results):
        return None


class KeepsAll(Good):
    """Joins the results and drops nothing."""

    def fuse(self, results):
        return join_results(results)[0]


class MixesClasses(Good):
    """Gives all detections of overlapping boxes the class of one of them."""

    def fuse(self, results):
        found = super().fuse(results)
        crowded = len(np.unique(found.boxes_xyxy_px, axis=0)) < len(found)
        return replace(found, class_ids=found.class_ids * 0) if crowded else found


class ForgetsTheImage(Good):
    def fuse(self, results):
        return replace(super().fuse(results), classification=None)


class WritesToItsResults(Good):
    def fuse(self, results):
        for result in results:
            result.predictions.scores[:] = 0.5
        return super().fuse(results)


class Counts(Good):
    """Lowers scores with each image."""

    images = 0

    def fuse(self, results):
        self.images += 1
        found = super().fuse(results)
        return replace(found, scores=found.scores / self.images)


BAD = [
    ("results_are_of_the_image", GivesNone, "fuse gave a NoneType"),
    ("results_are_of_the_image", changed(lambda p: replace(p, image="b.png")), "keep those"),
    ("results_are_of_the_image", changed(lambda p: replace(p, size_wh=(1, 1))), "keep those"),
    ("columns_are_legal", changed(lambda p: replace(p, scores=2 * p.scores)), "probabilities"),
    ("columns_are_legal", changed(lambda p: replace(p, states=p.states[:1])), "states has 1 rows"),
    ("columns_are_legal", changed(lambda p: replace(p, boxes_xyxy_px=-p.boxes_xyxy_px)), "negative size"),
    ("objects_that_all_views_agree_on_are_kept", KeepsAll, "6 detections of 3 objects"),
    (
        "objects_that_all_views_agree_on_are_kept",
        changed(lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px + 1)),
        "where both views have",
    ),
    ("classes_stay_apart", MixesClasses, "merge detections of one class alone"),
    ("values_of_the_image_follow_the_rule", ForgetsTheImage, "classification None"),
    ("results_are_left_alone", WritesToItsResults, "copy arrays"),
    ("fusions_are_repeatable", Counts, "keep nothing"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_fusion_passes(check, tmp_path):
    CHECKS[check](FusionSubject(Good, folder=tmp_path))


def test_every_check_has_a_bad_fusion():
    assert {name for name, *_ in BAD} == set(CHECKS)


@pytest.mark.parametrize(("check", "bad", "message"), BAD)
def test_a_check_catches_its_bad_fusion(check, bad, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](FusionSubject(bad, folder=tmp_path))


def test_results_of_the_kit_have_every_column():
    for result in several_results():
        missing = [name for name in ImagePredictions.ROWS if getattr(result.predictions, name) is None]
        assert not missing
