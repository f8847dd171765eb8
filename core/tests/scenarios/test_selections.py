"""Selections: what is not selected, and what is found of it, counts neither way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.errors import EvaluationError
from anydet.scenarios.measuring import at_threshold
from anydet.scenarios.selections import Crowded, ExtremeDepth, SmallObjects, Symmetric, Truncated, select
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, Labels, ObjectModel, Poses

SIZE = (100, 80)


def truth_of(boxes, images=1, index=None, **fields):
    array = np.array(boxes, np.float64).reshape(-1, 4)
    n = len(array)
    labels = Labels(np.zeros(n, np.int64), array, array[:, 2] * array[:, 3], np.zeros(n, bool), **fields)
    return GroundTruthColumns(
        images=tuple(f"{i}.png" for i in range(images)),
        sizes_wh=np.tile(SIZE, (images, 1)),
        image_index=np.array([0] * n if index is None else index, np.int64),
        labels=labels,
        classes=ClassTable(("thing", "other")),
        source="made here",
    )


def found_of(boxes, truth, index=None, score=0.9):
    array = np.array(boxes, np.float64).reshape(-1, 4)
    n = len(array)
    return DetectionColumns(
        images=truth.images,
        sizes_wh=truth.sizes_wh,
        image_index=np.array([0] * n if index is None else index, np.int64),
        boxes_xywh_px=array,
        scores=np.full(n, score),
        class_ids=np.zeros(n, np.int64),
        areas=array[:, 2] * array[:, 3],
    )


SMALL, LARGE, EDGE = [10.0, 10, 8, 8], [30.0, 20, 50, 50], [0.0, 60, 30, 15]


def test_found_objects_that_are_not_selected_are_no_false_positives():
    truth = truth_of([SMALL, LARGE])
    found, kept = select(found_of([SMALL, LARGE], truth), truth, SmallObjects())
    assert kept.labels.iscrowd.tolist() == [False, True]
    assert at_threshold(found, kept, 0.3) == {"recall": 1.0, "precision": 1.0, "rejection_rate": 0.0}


def test_a_small_object_that_is_missed_counts_and_a_large_one_does_not():
    truth = truth_of([SMALL, LARGE])
    found, kept = select(found_of([LARGE], truth), truth, SmallObjects())
    assert at_threshold(found, kept, 0.3) == {"recall": 0.0, "precision": None, "rejection_rate": 0.0}
    found, kept = select(found_of([SMALL], truth), truth, SmallObjects())
    assert at_threshold(found, kept, 0.3)["recall"] == 1.0


def test_false_positives_count_where_they_look_like_what_is_selected():
    truth = truth_of([SMALL, LARGE])
    elsewhere = [[70.0, 2, 8, 8], [2.0, 30, 40, 40]]  # a small and a large one
    found, kept = select(found_of([SMALL, *elsewhere], truth), truth, SmallObjects())
    assert at_threshold(found, kept, 0.3)["precision"] == 0.5


def test_truncated_objects_reach_the_border():
    truth = truth_of([SMALL, EDGE, [50.0, 10, 49.5, 20], [50.0, 40, 48, 20]])
    assert Truncated().chosen(truth).tolist() == [False, True, True, False]
    assert Truncated(margin_px=2.0).chosen(truth).tolist() == [False, True, True, True]
    found, kept = select(found_of([SMALL, EDGE], truth), truth, Truncated())
    assert at_threshold(found, kept, 0.3) == {"recall": 0.5, "precision": 1.0, "rejection_rate": 0.0}
    unknown = replace(truth, sizes_wh=np.zeros((1, 2), np.int64))
    with pytest.raises(EvaluationError, match="sizes of images are unknown"):
        Truncated().chosen(unknown)


def test_crowded_images_are_kept_as_wholes_and_crowds_do_not_make_them():
    boxes = [SMALL, LARGE, EDGE, SMALL, LARGE]
    truth = truth_of(boxes, images=3, index=[0, 0, 1, 1, 1])
    crowd = np.array([False, False, True, False, False])
    truth = replace(truth, labels=replace(truth.labels, iscrowd=crowd))
    found, kept = select(found_of(boxes, truth, index=[0, 0, 1, 1, 2]), truth, Crowded(2))
    assert kept.images == ("0.png", "1.png")
    assert len(found) == 4
    found, kept = select(found_of(boxes, truth, index=[0, 0, 1, 1, 2]), truth, Crowded(3))
    assert (kept.images, len(kept), len(found)) == ((), 0, 0)


def test_symmetric_objects_are_those_whose_models_are():
    turned = np.stack([np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0])])
    points = np.eye(3)
    models = {0: ObjectModel("a", points, 1.0, np.eye(4)[None]), 1: ObjectModel("a", points, 1.0, turned)}
    truth = replace(truth_of([SMALL, LARGE]), objects=models)
    truth = replace(truth, labels=replace(truth.labels, class_ids=np.array([0, 1])))
    assert Symmetric().chosen(truth).tolist() == [False, True]
    assert Symmetric("asymmetric").chosen(truth).tolist() == [True, False]
    with pytest.raises(EvaluationError, match="no models of its objects"):
        Symmetric().chosen(truth_of([SMALL]))


def test_extreme_depths_are_those_at_both_ends_of_what_is_known():
    depths = np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    truth = truth_of([SMALL] * 6, poses=Poses(log_z=np.log(depths)))
    assert ExtremeDepth(0.2).chosen(truth).tolist() == [True, False, False, False, True, False]
    stated = np.stack([np.zeros(6), np.zeros(6), [np.nan, 9.0, 3.0, 4.0, 5.0, np.nan]], axis=1)
    both = truth_of([SMALL] * 6, poses=Poses(log_z=np.log(depths), translations_m=stated))
    assert ExtremeDepth(0.2).chosen(both).tolist() == [True, True, False, False, False, False]
    with pytest.raises(EvaluationError, match="no annotation has a depth"):
        ExtremeDepth().chosen(truth_of([SMALL]))


def test_selections_one_after_the_other_leave_what_all_of_them_select():
    truth = truth_of([SMALL, LARGE, [0.0, 5, 8, 8]])
    found = found_of([SMALL, LARGE, [0.0, 5, 8, 8]], truth)
    for selection in (SmallObjects(), Truncated()):
        found, truth = select(found, truth, selection)
    assert truth.labels.iscrowd.tolist() == [True, True, False]
    assert at_threshold(found, truth, 0.3) == {"recall": 1.0, "precision": 1.0, "rejection_rate": 0.0}


def test_images_are_rejected_where_nothing_is_found_at_the_threshold():
    truth = truth_of([SMALL, LARGE, SMALL], images=4, index=[0, 1, 2])
    found = replace(found_of([SMALL, LARGE, SMALL], truth, index=[0, 1, 3]), scores=np.array([0.9, 0.2, 0.9]))
    # Image 1 has a detection below the threshold, 2 none; 3 has no object, and a false positive.
    assert at_threshold(found, truth, 0.3) == {
        "recall": pytest.approx(1 / 3),
        "precision": 0.5,
        "rejection_rate": pytest.approx(2 / 3),
    }
    assert at_threshold(found, truth, 0.1)["rejection_rate"] == pytest.approx(1 / 3)
