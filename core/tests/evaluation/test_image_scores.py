from __future__ import annotations

import numpy as np

from anydet.evaluation.image_scores import score_images
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, Labels

BOX, FAR = (10, 10, 20, 20), (100, 100, 20, 20)


def case(found, true, count=4):
    boxes = np.array([row[3] for row in found], np.float64).reshape(-1, 4)
    index, ids = (np.array([row[i] for row in found], np.int64) for i in (0, 1))
    names, sizes = tuple("abcd"[:count]), np.full((count, 2), 200)
    scores = np.array([row[2] for row in found])
    detections = DetectionColumns(names, sizes, index, ids, boxes, scores, boxes[:, 2] * boxes[:, 3])
    boxes = np.array([row[2] for row in true], np.float64).reshape(-1, 4)
    index, ids = (np.array([row[i] for row in true], np.int64) for i in (0, 1))
    crowd = np.array([len(row) > 3 for row in true], bool)
    labels = Labels(ids, boxes, boxes[:, 2] * boxes[:, 3], crowd)
    return detections, GroundTruthColumns(names, sizes, index, labels, ClassTable(("x", "y")), "test")


def test_the_image_with_most_mistakes_comes_first():
    found = [(0, 0, 0.9, BOX), (1, 0, 0.9, FAR), (1, 0, 0.8, BOX), (2, 1, 0.9, BOX)]
    true = [(0, 0, BOX), (1, 0, BOX), (2, 0, BOX), (3, 0, BOX), (3, 0, FAR), (3, 1, FAR)]
    scores = score_images(*case(found, true))
    assert scores.right.tolist() == [1, 1, 0, 0]
    assert scores.wrong.tolist() == [0, 1, 1, 0]
    assert scores.missed.tolist() == [0, 0, 1, 3]
    assert np.allclose(scores.f1, [1, 2 / 3, 0, 0])
    assert scores.worst_first().tolist() == [3, 2, 1, 0]


def test_one_annotation_is_found_once_and_low_scores_do_not_count():
    scores = score_images(*case([(0, 0, 0.9, BOX), (0, 0, 0.8, BOX), (0, 0, 0.2, FAR)], [(0, 0, BOX)]))
    assert (scores.right[0], scores.wrong[0], scores.missed[0]) == (1, 1, 0)
    assert scores.f1[1] == 1.0


def test_a_crowd_excuses_what_is_inside_it_and_is_never_missed():
    found = [(0, 0, 0.9, (10, 10, 10, 10)), (0, 1, 0.9, (10, 10, 10, 10))]
    scores = score_images(*case(found, [(0, 0, (0, 0, 100, 100), "crowd")]))
    assert (scores.right[0], scores.wrong[0], scores.missed[0]) == (0, 1, 0)


def test_rows_of_images_may_stand_in_any_order():
    found = [(0, 0, 0.9, BOX), (1, 0, 0.9, FAR), (1, 0, 0.8, BOX), (2, 1, 0.9, BOX)]
    true = [(0, 0, BOX), (1, 0, BOX), (2, 0, BOX), (3, 0, BOX), (3, 0, FAR), (3, 1, FAR)]
    mixed = score_images(*case([found[i] for i in (2, 0, 3, 1)], [true[i] for i in (5, 1, 3, 0, 4, 2)]))
    sorted_ = score_images(*case(found, true))
    for name in ("right", "wrong", "missed"):
        assert getattr(mixed, name).tolist() == getattr(sorted_, name).tolist()
