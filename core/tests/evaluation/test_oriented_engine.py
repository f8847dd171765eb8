"""Oriented boxes: COCO's matching is pycocotools' own, on overlaps that are computed one by one."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from core.tests.geometry.test_oriented import plain_intersection
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.dota import DotaEvaluator
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.geometry.oriented import areas_of, corners_of
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, Labels

SEEDS = range(6)
IMAGES = 8
CLASSES = ClassTable(("plane", "ship", "harbor", "never seen"))


def random_boxes(seed):
    """Annotations and detections as (image, class, score or crowd, box), few scores being equal or many."""
    rng = np.random.default_rng(seed)
    boxes = np.concatenate(
        [rng.uniform(0, 200, (40, 2)), rng.uniform(10, 120, (40, 2)), rng.uniform(-2, 2, (40, 1))], axis=1
    )
    image, classes = np.sort(rng.integers(0, IMAGES - 1, 40)), rng.integers(0, 3, 40)
    crowd = rng.random(40) < 0.15
    hit = np.sort(np.concatenate([np.arange(40), rng.integers(0, 40, 40)]))
    found = boxes[hit] + rng.normal(0, 1, (80, 5)) * [4, 4, 3, 3, 0.1]
    found[:, 2:4] = np.maximum(found[:, 2:4], 2)
    scores = rng.choice([0.2, 0.4, 0.6, 0.8], 80) if seed % 2 else rng.random(80)
    strange = rng.random(80) < 0.2
    found_classes = np.where(strange, rng.integers(0, 4, 80), classes[hit])
    return (image, classes, crowd, boxes), (image[hit], found_classes, scores, found)


def columns(truth, found):
    keys, sizes = tuple(f"{i}.png" for i in range(IMAGES)), np.full((IMAGES, 2), 300)
    image, classes, crowd, boxes = truth
    corners = corners_of(boxes)
    # Every other polygon repeats its first corner, or goes the other way round.
    rings = [one[::-1] if i % 3 == 0 else one for i, one in enumerate(corners.tolist())]
    rings = [[*one, one[0]] if i % 2 else one for i, one in enumerate(rings)]
    labels = Labels(
        classes,
        np.zeros((len(boxes), 4)),
        np.zeros(len(boxes)),
        crowd,
        annotation_ids=np.arange(1, len(boxes) + 1),
        segmentations=tuple((tuple(v for point in ring for v in point),) for ring in rings),
        area_stated=np.zeros(len(boxes), np.bool_),
    )
    ids = np.arange(1, IMAGES + 1)
    ground_truth = GroundTruthColumns(keys, sizes, image, labels, CLASSES, "made", image_ids=ids)
    image, classes, scores, boxes = found
    points = np.pad(corners_of(boxes), ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
    none = np.zeros((len(boxes), 4))
    detections = DetectionColumns(keys, sizes, image, classes, none, scores, none[:, 0], keypoints=points)
    return detections, ground_truth


def evaluated(detections, ground_truth):
    evaluator = CocoEvaluator(CLASSES, engine=PycocotoolsEngine(), settings=CocoSettings("obb"))
    evaluator.add(detections, ground_truth)
    return evaluator


def plain_iou(a, b, crowd=False):
    inter = plain_intersection(a, b)
    own, other = areas_of(np.array([a, b]))
    return inter / (own if crowd else own + other - inter)


class PlainEvaluation(COCOeval):
    """pycocotools with overlaps of polygons."""

    def computeIoU(self, imgId, catId):
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not truth and not found:
            return []
        best = np.argsort([-row["score"] for row in found], kind="mergesort")[: self.params.maxDets[-1]]
        rows = [
            [plain_iou(found[i]["corners"], one["corners"], one["iscrowd"]) for one in truth]
            for i in best.tolist()
        ]
        return np.array(rows).reshape(len(best), len(truth)) if truth and found else []


def written(side, name):
    """Annotations or results as COCO writes them, with corners and ``obb`` beside them."""
    image, classes, values, boxes = side
    corners = corners_of(boxes)
    columns = (image.tolist(), classes.tolist(), values.tolist(), boxes.tolist(), corners.tolist())
    return [
        {
            "id": i,
            "image_id": row[0] + 1,
            "category_id": row[1] + 1,
            "area": area,
            "iscrowd": 0,
            name: row[2] if name == "score" else int(row[2]),
            "obb": row[3],
            "corners": row[4],
        }
        for i, (row, area) in enumerate(
            zip(zip(*columns, strict=True), areas_of(corners).tolist(), strict=True), start=1
        )
    ]


def document(truth):
    return {
        "images": [
            {"id": i + 1, "file_name": f"{i}.png", "width": 300, "height": 300} for i in range(IMAGES)
        ],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES.names)],
        "annotations": written(truth, "iscrowd"),
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_precision_and_recall_are_those_of_pycocotools_on_plain_overlaps(seed):
    truth, found = random_boxes(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for rows in (written(truth, "iscrowd"), written(found, "score")):
            sides.append(COCO())
            sides[-1].dataset = {**document(truth), "annotations": rows}
            sides[-1].createIndex()
        run = PlainEvaluation(*sides, "bbox")
        run.evaluate()
        run.accumulate()
    evaluator = evaluated(*columns(truth, found))
    arrays = evaluator.result().arrays
    assert 0.1 < evaluator.result().metrics["AP"] < 0.9
    np.testing.assert_array_equal(arrays.precision, run.eval["precision"])
    np.testing.assert_array_equal(arrays.recall, run.eval["recall"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore:hotcoco. oriented-box")
def test_the_numbers_are_those_of_hotcoco(seed, tmp_path):
    hotcoco = pytest.importorskip("hotcoco")
    truth, found = random_boxes(seed)
    for name, content in (("truth", document(truth)), ("found", written(found, "score"))):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    coco = hotcoco.COCO(str(tmp_path / "truth.json"))
    run = hotcoco.COCOeval(coco, coco.loadRes(str(tmp_path / "found.json")), "obb")
    run.evaluate()
    run.accumulate()
    with contextlib.redirect_stdout(io.StringIO()):
        run.summarize()
    metrics = evaluated(*columns(truth, found)).result().metrics
    ours = [-1 if value is None else value for value in metrics.values()]
    assert ours == pytest.approx(list(run.stats), abs=1e-12)


def test_merging_images_in_any_order_changes_no_bit():
    detections, ground_truth = columns(*random_boxes(1))
    whole = evaluated(detections, ground_truth).result()
    halves = [
        evaluated(*take_images(detections, ground_truth, rows))
        for rows in (np.arange(4, IMAGES), np.arange(4))
    ]
    halves[0].merge(halves[1])
    assert halves[0].result().metrics == whole.metrics
    assert whole.protocol["engine"]["name"] == "oriented"
    assert (whole.protocol["iou_type"], whole.protocol["detection_area"]) == ("obb", "oriented box")


def test_areas_that_the_source_states_choose_the_range():
    detections, ground_truth = columns(*random_boxes(2))
    ground_truth.labels.areas[:] = 500
    ground_truth.labels.area_stated[:] = True
    metrics = evaluated(detections, ground_truth).result().metrics
    assert metrics["ARs"] is not None
    assert metrics["ARm"] is metrics["ARl"] is None


def test_sides_without_corners_are_counted_and_named():
    detections, ground_truth = columns(*random_boxes(0))
    detections.keypoints[3] = np.nan
    with pytest.raises(
        EvaluationError, match=r"1 of 80 detections have no four corners \(first in image 0.png"
    ):
        evaluated(detections, ground_truth)
    detections, ground_truth = columns(*random_boxes(0))
    outlines = list(ground_truth.labels.segmentations)
    outlines[-2:] = [((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),), None]
    labels = Labels(
        *(getattr(ground_truth.labels, name) for name in ("class_ids", "boxes_xywh_px", "areas", "iscrowd")),
        segmentations=outlines,
    )
    broken = GroundTruthColumns(
        ground_truth.images, ground_truth.sizes_wh, ground_truth.image_index, labels, CLASSES, "made"
    )
    reason = DotaEvaluator(CLASSES).applies(detections, broken)
    assert reason.startswith("2 of 40 annotations are no polygon of four corners")


def plain_dota(truth, found, points):
    """``voc_eval`` of ``dota_evaluation_task1.py``, class by class, with IoU of at least the threshold."""
    areas = []
    for c in range(len(CLASSES)):
        wanted = {}
        for image, one, difficult, corners in zip(*truth[:3], corners_of(truth[3]).tolist(), strict=True):
            if one == c:
                wanted.setdefault(image, []).append([corners, difficult, False])
        positives = sum(not row[1] for rows in wanted.values() for row in rows)
        if not positives:
            continue
        image, classes, scores, boxes = found
        corners = corners_of(boxes).tolist()
        right = []
        for i in np.argsort(-scores, kind="stable").tolist():
            if classes[i] != c:
                continue
            overlaps = [plain_iou(corners[i], row[0]) for row in wanted.get(image[i], [])]
            best = int(np.argmax(overlaps)) if overlaps else -1
            if best < 0 or overlaps[best] < 0.5:
                right.append(False)
            elif not wanted[image[i]][best][1]:
                row = wanted[image[i]][best]
                right.append(not row[2])
                row[2] = True
        hits = np.cumsum(right)
        recall, precision = hits / positives, hits / np.arange(1, len(right) + 1)
        if points:
            steps = [precision[recall >= t / 10 - 1e-12].max(initial=0) for t in range(11)]
            areas.append(np.mean(steps))
        else:
            fallen = np.maximum.accumulate(precision[::-1])[::-1]
            areas.append((np.diff(recall, prepend=0) * fallen).sum())
    return np.mean(areas)


@pytest.mark.parametrize("seed", SEEDS)
def test_dota_is_a_plain_implementation_of_its_kit(seed):
    truth, found = random_boxes(seed)
    evaluator = DotaEvaluator(CLASSES)
    detections, ground_truth = columns(truth, found)
    assert evaluator.applies(detections, ground_truth) is None
    evaluator.add(detections, ground_truth)
    metrics = evaluator.result().metrics
    assert metrics["AP"] == pytest.approx(plain_dota(truth, found, points=False), abs=1e-12)
    assert metrics["AP_11point"] == pytest.approx(plain_dota(truth, found, points=True), abs=1e-12)
