from __future__ import annotations

import numpy as np
import pytest

from anydet.evaluation.analysis.tide import ERRORS, TRUE
from anydet.evaluation.image_outcomes import (
    DUPLICATE,
    IGNORED,
    MISPLACED,
    MISPLACED_CLASS,
    NOT_SHOWN,
    NOTHING,
    RIGHT,
    WRONG,
    WRONG_CLASS,
    find_outcomes,
)
from anydet.evaluation.protocol import CocoSettings
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
    scores = find_outcomes(*case(found, true))
    assert scores.right.tolist() == [1, 1, 0, 0]
    assert scores.wrong.tolist() == [0, 1, 1, 0]
    assert scores.missed_per_image.tolist() == [0, 0, 1, 3]
    assert np.allclose(scores.f1, [1, 2 / 3, 0, 0])
    assert scores.worst_first().tolist() == [3, 2, 1, 0]


def test_one_annotation_is_found_once_and_low_scores_do_not_count():
    scores = find_outcomes(*case([(0, 0, 0.9, BOX), (0, 0, 0.8, BOX), (0, 0, 0.2, FAR)], [(0, 0, BOX)]))
    assert (scores.right[0], scores.wrong[0], scores.missed_per_image[0]) == (1, 1, 0)
    assert scores.f1[1] == 1.0


def test_a_crowd_excuses_what_is_inside_it_and_is_never_missed():
    found = [(0, 0, 0.9, (10, 10, 10, 10)), (0, 1, 0.9, (10, 10, 10, 10))]
    scores = find_outcomes(*case(found, [(0, 0, (0, 0, 100, 100), "crowd")]))
    assert (scores.right[0], scores.wrong[0], scores.missed_per_image[0]) == (0, 1, 0)


def test_rows_of_images_may_stand_in_any_order():
    found = [(0, 0, 0.9, BOX), (1, 0, 0.9, FAR), (1, 0, 0.8, BOX), (2, 1, 0.9, BOX)]
    true = [(0, 0, BOX), (1, 0, BOX), (2, 0, BOX), (3, 0, BOX), (3, 0, FAR), (3, 1, FAR)]
    mixed = find_outcomes(*case([found[i] for i in (2, 0, 3, 1)], [true[i] for i in (5, 1, 3, 0, 4, 2)]))
    sorted_ = find_outcomes(*case(found, true))
    for name in ("right", "wrong", "missed_per_image"):
        assert getattr(mixed, name).tolist() == getattr(sorted_, name).tolist()


def test_every_way_of_being_wrong_is_named_with_what_it_is_about():
    near = (10, 10, 20, 9)  # IoU .45
    found = [
        (0, 0, 0.9, BOX), (0, 0, 0.8, BOX), (0, 1, 0.7, FAR), (1, 0, 0.9, near),
        (1, 1, 0.8, near), (1, 1, 0.7, FAR), (2, 0, 0.9, FAR), (2, 0, 0.2, BOX),
    ]  # fmt: skip
    true = [(0, 0, BOX), (0, 0, FAR), (1, 0, BOX), (2, 0, (90, 90, 50, 50), "crowd")]
    outcomes = find_outcomes(*case(found, true))
    assert outcomes.kinds.tolist() == [
        RIGHT, DUPLICATE, WRONG_CLASS, MISPLACED, MISPLACED_CLASS, NOTHING, IGNORED, NOT_SHOWN,
    ]  # fmt: skip
    assert outcomes.about.tolist() == [0, -1, 1, 2, -1, -1, -1, -1]
    assert np.allclose(outcomes.iou, [1, 0, 1, 0.45, 0, 0, 0, 0])
    assert outcomes.missed.tolist() == [False, True, True, False]


def test_the_kinds_are_in_the_order_of_tides_errors():
    kinds = [WRONG_CLASS, MISPLACED, MISPLACED_CLASS, DUPLICATE, NOTHING]
    assert [ERRORS[kind] for kind in kinds] == ["Cls", "Loc", "Both", "Dupe", "Bkg"]
    assert RIGHT == TRUE


@pytest.mark.slow
def test_right_wrong_and_missed_are_those_of_the_engine_that_scores(engine, read_problem, columns):
    problem, _, _ = read_problem("bbox")
    detections, truth = columns(problem)
    outcomes = find_outcomes(detections, truth, score_threshold=0.4)
    params = CocoSettings().params(len(truth.classes))
    matches = engine.match(detections, truth, params)
    true, false = matches.states(params.iou_thresholds.tolist().index(0.5), 0)
    sure = matches.scores >= 0.4
    for kinds, rows in (([RIGHT], true & sure), (WRONG, false & sure)):
        shown = np.flatnonzero(np.isin(outcomes.kinds, kinds)).tolist()
        assert shown == sorted(matches.rows[rows].tolist()) != []
    assert outcomes.missed.sum() == matches.positives[:, 0].sum() - (true & sure).sum() > 0
