"""Pairs of detections and annotations are those of pycocotools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anydet.evaluation import greedy_matching
from anydet.evaluation.greedy_matching import overlaps, pair
from anydet.evaluation.protocol import CocoSettings

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def matched_ids(run, rows):
    """(N,) annotation id that ``COCOeval`` gave each detection over all areas, -1 where none or not seen."""
    found = np.full(rows, -1)
    ignored = np.ones(rows, np.bool_)
    for one in run.evalImgs:
        if one is not None and list(one["aRng"]) == [0.0, 1e10]:
            place = np.array(one["dtIds"], np.int64) - 1
            ids = one["dtMatches"][0].astype(np.int64)
            found[place] = np.where(ids > 0, ids, -1)
            ignored[place] = one["dtIgnore"][0]
    return found, ignored


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.95, 1.0])
@many
@given(data=st.data())
def test_each_detection_gets_the_annotation_that_pycocotools_gives_it(
    data, threshold, random_problems, columns, reference
):
    problem = data.draw(random_problems("bbox"))
    limit = data.draw(st.integers(1, 4))
    detections, truth = columns(problem)
    areas = [[0.0, 1e10]]
    run = reference(problem, "bbox", iouThrs=np.array([threshold]), maxDets=[limit], areaRng=areas)
    expected, ignored = matched_ids(run, len(detections))
    got = pair(detections, truth, iou_threshold=threshold, max_detections=limit)
    ids = np.append(truth.labels.annotation_ids, -1)[got.annotations]
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(got.ignored, ignored)


def test_hits_agree_with_every_engine_on_real_results(engine, read_problem, columns):
    problem, _, _ = read_problem("bbox")
    detections, truth = columns(problem)
    params = CocoSettings().params(len(truth.classes))
    matches = engine.match(detections, truth, params)
    for t, threshold in enumerate(params.iou_thresholds.tolist()):
        true, false = matches.states(t, 0)
        got = pair(detections, truth, iou_threshold=threshold)
        assert set(got.hits.tolist()) == set(matches.rows[true].tolist())
        missed = np.flatnonzero((got.annotations < 0) & ~got.ignored)
        assert set(missed.tolist()) == set(matches.rows[false].tolist())


def test_small_blocks_give_the_same_overlaps(read_problem, columns, monkeypatch):
    detections, truth = columns(read_problem("bbox")[0])
    whole = overlaps(detections, truth, least=0.1, class_agnostic=True)
    monkeypatch.setattr(greedy_matching, "_CELLS", 7)
    blocks = overlaps(detections, truth, least=0.1, class_agnostic=True)
    for name in ("detections", "annotations", "iou"):
        np.testing.assert_array_equal(getattr(blocks, name), getattr(whole, name))
    assert len(whole.iou) > 500


def test_without_classes_the_best_score_takes_an_annotation_of_any_class(columns):
    box = [0, 0, 10, 10]
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 20, "height": 20}],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 100, "iscrowd": 0}],
    }
    found = [
        {"image_id": 1, "category_id": 1, "bbox": box, "score": 0.4},
        {"image_id": 1, "category_id": 2, "bbox": box, "score": 0.9},
    ]
    detections, labels = columns((truth, found))
    assert pair(detections, labels).annotations.tolist() == [0, -1]
    assert pair(detections, labels, class_agnostic=True).annotations.tolist() == [-1, 0]


def test_nothing_pairs_with_nothing(columns):
    empty = columns(({"images": [], "categories": [], "annotations": []}, []))
    assert len(pair(*empty).annotations) == 0
    assert len(pair(*empty, class_agnostic=True).hits) == 0
    assert len(overlaps(*empty, least=0.5).iou) == 0


def test_detections_beyond_the_limit_count_neither_way(columns):
    detections, truth = columns(
        (
            {
                "images": [{"id": 1, "file_name": "1.jpg", "width": 20, "height": 20}],
                "categories": [{"id": 1, "name": "a"}],
                "annotations": [],
            },
            [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}],
        )
    )
    many_rows = np.zeros(150, np.int64)
    crowd = replace(detections.take(many_rows), scores=np.linspace(0, 1, 150))
    got = pair(crowd, truth)
    assert got.ignored.tolist() == [True] * 50 + [False] * 100
