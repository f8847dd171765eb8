"""Every installed engine gives the arrays of pycocotools, in every bit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.compatibility import select_columns
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.run import evaluate_coco

SIGMAS = (0.1, 0.05, 0.2)
AP = {"bbox": 0.504581, "segm": 0.319545, "keypoints": 0.504884}
IOU_TYPES = ("bbox", "segm", "keypoints")
many = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_same_arrays(arrays, run):
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(getattr(arrays, name), run.eval[name], err_msg=name)


def evaluate(engine, detections, ground_truth, **wanted):
    evaluator = CocoEvaluator(ground_truth.classes, engine=engine, settings=CocoSettings(**wanted))
    evaluator.add(detections, ground_truth)
    return evaluator.result()


def as_stats(result):
    return [-1.0 if value is None else value for value in result.metrics.values()]


@pytest.mark.slow
@pytest.mark.parametrize("iou_type", IOU_TYPES)
@many
@given(data=st.data())
def test_random_problems_give_the_bits_of_pycocotools(
    data, iou_type, engine, random_problems, columns, reference
):
    problem = data.draw(random_problems(iou_type))
    sigmas = SIGMAS if iou_type == "keypoints" else None
    run = reference(problem, iou_type, sigmas)
    result = evaluate(engine, *columns(problem), iou_type=iou_type, keypoint_sigmas=sigmas)
    assert_same_arrays(result.arrays, run)
    assert as_stats(result) == run.stats.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("iou_type", IOU_TYPES)
def test_real_result_files_give_the_bits_of_pycocotools(iou_type, engine, read_problem, columns, reference):
    problem, truth, results = read_problem(iou_type)
    run = reference(problem, iou_type)
    result = evaluate(engine, *columns(problem), iou_type=iou_type)
    assert_same_arrays(result.arrays, run)
    assert as_stats(result) == run.stats.tolist()
    assert result.metrics["AP"] == pytest.approx(AP[iou_type], abs=1e-6)
    from_files = evaluate_coco(truth, results, CocoSettings(iou_type), engine=engine)
    assert_same_arrays(from_files.arrays, run)


@pytest.mark.slow
@pytest.mark.parametrize("boxes", [False, True], ids=["masks alone", "boxes and masks"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_areas_of_results_are_those_that_pycocotools_takes(
    data, iou_type, boxes, engine, random_problems, reference, tmp_path_factory
):
    truth, found = data.draw(random_problems("segm"))
    if not found:
        return  # loadRes cannot read an empty list
    for row in found:
        if boxes:
            row["bbox"] = data.draw(st.sampled_from([[3, 4, 2, 5], [3, 4, 40, 30], [0, 0, 33, 33]]))
        row["segmentation"]["counts"] = row["segmentation"]["counts"].decode()
    for row in truth["annotations"]:
        if isinstance(row["segmentation"], dict):
            row["segmentation"]["counts"] = row["segmentation"]["counts"].decode()
    folder = tmp_path_factory.mktemp("areas")
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(found))
    run = reference((truth, found), iou_type)
    result = evaluate_coco(
        folder / "truth.json", folder / "results.json", CocoSettings(iou_type), engine=engine
    )
    assert_same_arrays(result.arrays, run)


@pytest.mark.slow
@pytest.mark.parametrize("iou_type", IOU_TYPES)
@pytest.mark.parametrize("agnostic", [False, True])
@many
@given(data=st.data())
def test_other_limits_thresholds_and_areas_give_the_bits_of_pycocotools(
    data, iou_type, agnostic, engine, random_problems, columns, reference
):
    problem = data.draw(random_problems(iou_type))
    sigmas = SIGMAS if iou_type == "keypoints" else None
    thresholds = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.5001, 0.9, 1.0]), min_size=1))
    thresholds += np.linspace(0.01, 0.99, 50).tolist() * data.draw(st.booleans())
    limits = sorted(data.draw(st.sets(st.integers(1, 4), min_size=1)))
    areas = {"all": (0.0, 1e10), "tiny": (0.0, 5.0), "rest": (5.0, 1024.0)}
    run = reference(
        problem,
        iou_type,
        sigmas,
        iouThrs=np.array(thresholds),
        maxDets=limits,
        areaRng=[list(area) for area in areas.values()],
        useCats=int(not agnostic),
    )
    result = evaluate(
        engine,
        *columns(problem),
        iou_type=iou_type,
        keypoint_sigmas=sigmas,
        iou_thresholds=tuple(thresholds),
        max_detections=tuple(limits),
        area_ranges_px=areas,
        class_agnostic=agnostic,
    )
    if agnostic and (iou_type == "keypoints" or not problem[0]["categories"]):
        return  # pycocotools finds no keypoints at all then, and counts one class of none
    assert_same_arrays(result.arrays, run)


@pytest.mark.slow
@many
@given(data=st.data())
def test_an_annotation_with_id_0_counts_unless_the_quirk_is_enabled(
    data, engine, random_problems, columns, reference
):
    truth, found = data.draw(random_problems("bbox"))
    moved = {**truth, "annotations": [{**row, "id": row["id"] - 1} for row in truth["annotations"]]}
    problem = columns((moved, found))
    quirky = evaluate(engine, *problem, pycocotools_quirks=True)
    assert_same_arrays(quirky.arrays, reference((moved, found), "bbox"))
    assert_same_arrays(evaluate(engine, *problem).arrays, reference((truth, found), "bbox"))


@pytest.mark.slow
def test_scores_below_zero_and_many_ties_rank_as_in_pycocotools(engine, columns, reference):
    rng = np.random.default_rng(3)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(3)]
    boxes = np.round(rng.uniform(0, 300, (2_080, 4)))
    scores = rng.choice([-0.5, -0.0, 0.0, 0.25, 1.0], len(boxes))
    where = np.sort(rng.choice([0, 1, 1, 1, 1, 1, 1, 1, 1, 1], len(boxes)))  # image 2 has none
    kinds = rng.integers(0, 2, len(boxes))
    rows = list(zip(where.tolist(), kinds.tolist(), boxes.tolist(), scores.tolist(), strict=True))
    found = [{"image_id": m, "category_id": c, "bbox": b, "score": s} for m, c, b, s in rows]
    truth = {
        "images": images,
        "categories": [{"id": 0, "name": "zero"}, {"id": 1, "name": "one"}],
        "annotations": [
            {
                "id": i,
                "image_id": m,
                "category_id": c,
                "bbox": b,
                "area": b[2] * b[3],
                "iscrowd": int(i % 9 == 0),
            }
            for i, (m, c, b, _) in enumerate(rows[::20], start=1)
        ],
    }
    problem = truth, found
    run = reference(problem, "bbox", maxDets=[1, 100, 2_000])
    result = evaluate(engine, *columns(problem), max_detections=(1, 100, 2_000))
    assert_same_arrays(result.arrays, run)
    assert len({float(v) for v in result.arrays.scores.ravel()}) > 3


def test_nothing_is_printed(capsys, engine, columns):
    detections, ground_truth = columns(({"images": [], "categories": [], "annotations": []}, []))
    params = CocoSettings().params(0)
    engine.accumulate(
        engine.match(*select_columns(detections, ground_truth, CocoSettings(), params), params), params
    )
    assert capsys.readouterr() == ("", "")


def test_boundaries_must_overlap_as_well_as_masks(engine, random_problems, columns):
    """Against the masks alone: a mask with the right inside and the wrong outline scores lower."""
    import pycocotools.mask as coco_mask

    def disc(radius, dent):
        y, x = np.mgrid[:200, :200]
        mask = np.hypot(x - 100, y - 100) < radius + dent * np.sin(12 * np.arctan2(y - 100, x - 100))
        rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {"size": rle["size"], "counts": rle["counts"].decode()}

    row = {"image_id": 1, "category_id": 1, "bbox": [20, 20, 160, 160]}
    truth = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 200}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [{**row, "id": 1, "area": 2e4, "iscrowd": 0, "segmentation": disc(80, 0)}],
    }
    problem = columns((truth, [{**row, "score": 1.0, "segmentation": disc(80, 5)}]))
    found, wanted = problem
    whole = evaluate(engine, *problem, iou_type="segm").metrics["AP"]
    assert evaluate(engine, *problem, iou_type="boundary").metrics["AP"] < whole
    same = replace(found, masks=tuple(wanted.labels.segmentations))
    assert evaluate(engine, same, wanted, iou_type="boundary").metrics["AP"] == pytest.approx(1.0)


@pytest.mark.slow
@many
@given(data=st.data())
def test_engines_agree_on_boundaries_and_on_sigmas_of_each_class(data, engine, random_problems, columns):
    from anydet.evaluation.pycocotools_engine import PycocotoolsEngine

    iou_type = data.draw(st.sampled_from(["boundary", "keypoints"]))
    problem = columns(data.draw(random_problems("segm" if iou_type == "boundary" else "keypoints")))
    classes = len(problem[1].classes)
    sigmas = tuple((0.1 * (c + 1), 0.05, 0.2) for c in range(classes)) if iou_type == "keypoints" else None
    wanted = {"iou_type": iou_type, "keypoint_sigmas": sigmas or None, "dilation_ratio": 0.05}
    if iou_type == "keypoints" and not classes:
        return
    ours, theirs = (evaluate(e, *problem, **wanted) for e in (engine, PycocotoolsEngine()))
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(getattr(ours.arrays, name), getattr(theirs.arrays, name))
    assert json.dumps(ours.metrics) == json.dumps(theirs.metrics)


def one_of_each(columns):
    """Ground truth with annotation id 0 in the source, and a perfect detection of it."""
    box = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 40]}
    truth = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 64, "height": 64}],
        "categories": [{"id": 3, "name": "thing"}],
        "annotations": [{**box, "id": 0, "area": 1200.0, "iscrowd": 0}],
    }
    return columns((truth, [{**box, "score": 0.5}]))


def test_a_match_to_the_first_annotation_counts_whatever_its_id(engine, columns):
    assert evaluate(engine, *one_of_each(columns)).metrics["AP"] == pytest.approx(1.0)


def test_a_keypoint_that_was_not_predicted_matches_nothing(engine, columns):
    detections, ground_truth = one_of_each(columns)
    points = np.array([[[5.0, 5.0, 2.0], [9.0, 9.0, 2.0], [20.0, 30.0, 2.0]]])
    truth = replace(ground_truth, labels=replace(ground_truth.labels, keypoints=points))
    missing = points.copy()
    missing[0, 1:] = np.nan

    def ap(found):
        wanted = {"iou_type": "keypoints", "keypoint_sigmas": SIGMAS}
        return evaluate(engine, replace(detections, keypoints=found), truth, **wanted).metrics["AP"]

    assert ap(points) == pytest.approx(1.0)
    assert ap(missing) == 0.0
