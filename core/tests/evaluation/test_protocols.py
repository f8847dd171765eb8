"""Protocols beside COCO's, each against a plain implementation of what was published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError, OptionError
from anydet.evaluation.matched_protocol import ProtocolOptions
from anydet.evaluation.olrp import OlrpEvaluator
from anydet.evaluation.open_images import OpenImagesEvaluator
from anydet.evaluation.ranked import area_under_curve, eleven_points
from anydet.evaluation.voc import VocEvaluator
from anydet.testing.problems import random_problem
from anydet.types import ClassTable, DetectionColumns, Federation, GroundTruthColumns, Labels

SEEDS = range(12)
PARENTS = {"frame": ("bell",), "wheel": ("bell",), "bell": ("never seen",)}

# Objects and detections of the seven images of rafaelpadilla/Object-Detection-Metrics (MIT): x, y, w, h.
PADILLA_TRUTH = (
    ((25, 16, 38, 56), (129, 123, 41, 62)),
    ((123, 11, 43, 55), (38, 132, 59, 45)),
    ((16, 14, 35, 48), (123, 30, 49, 44), (99, 139, 47, 47)),
    ((53, 42, 40, 52), (154, 43, 31, 34)),
    ((59, 31, 44, 51), (48, 128, 34, 52)),
    ((36, 89, 52, 76), (62, 58, 44, 67)),
    ((28, 31, 55, 63), (58, 67, 50, 58)),
)
PADILLA_FOUND = (
    ((0.88, 5, 67, 31, 48), (0.70, 119, 111, 40, 67), (0.80, 124, 9, 49, 67)),
    ((0.71, 64, 111, 64, 58), (0.54, 26, 140, 60, 47), (0.74, 19, 18, 43, 35)),
    (
        (0.18, 109, 15, 77, 39),
        (0.67, 86, 63, 46, 45),
        (0.38, 160, 62, 36, 53),
        (0.91, 105, 131, 47, 47),
        (0.44, 18, 148, 40, 44),
    ),
    ((0.35, 83, 28, 28, 26), (0.78, 28, 68, 42, 67), (0.45, 87, 89, 25, 39), (0.14, 10, 155, 60, 26)),
    ((0.62, 50, 38, 28, 46), (0.44, 95, 11, 53, 28), (0.95, 29, 131, 72, 29), (0.23, 29, 163, 72, 29)),
    ((0.45, 43, 48, 74, 38), (0.84, 17, 155, 29, 35), (0.43, 95, 110, 25, 42)),
    ((0.48, 16, 20, 101, 88), (0.95, 33, 116, 37, 49)),
)


def columns_of(truth, found):
    """Boxes of one class by image, as columns."""
    keys = tuple(f"{i:05}.jpg" for i in range(1, len(truth) + 1))
    sizes = np.full((len(keys), 2), 200)
    boxes = np.array([box for one in truth for box in one], np.float64)
    rows = np.array([row for one in found for row in one], np.float64)
    index, place = (np.repeat(np.arange(len(keys)), [len(one) for one in side]) for side in (truth, found))
    areas, none = boxes[:, 2:].prod(axis=1), np.zeros(len(boxes), np.int64)
    labels = Labels(none, boxes, areas, none > 0)
    classes = np.zeros(len(rows), np.int64)
    detections = DetectionColumns(
        keys, sizes, place, classes, rows[:, 1:], rows[:, 0], rows[:, 3:].prod(axis=1)
    )
    return detections, GroundTruthColumns(keys, sizes, index, labels, ClassTable(("person",)), "padilla")


def iou_of(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    return inter / (a[2] * a[3] + b[2] * b[3] - inter)


def inside_of(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) / (a[2] * a[3])


def of_class(problem, c):
    """Detections by falling score, as (score, image, box), and objects of images, as (box, crowd)."""
    found, truth = problem
    rows = [i for i in np.argsort(-found.scores, kind="stable") if found.class_ids[i] == c]
    dets = [(found.scores[i], int(found.image_index[i]), found.boxes_xywh_px[i].tolist()) for i in rows]
    objects = {}
    for i in range(len(truth)):
        if truth.labels.class_ids[i] == c:
            row = truth.labels.boxes_xywh_px[i].tolist(), bool(truth.labels.iscrowd[i])
            objects.setdefault(int(truth.image_index[i]), []).append(row)
    return dets, objects


def first_best(values):
    """Position of the first highest value, and the value."""
    best = max(values, default=-1.0)
    return (values.index(best), best) if values else (None, -1.0)


def plain_area(right, positives):
    """VOCap.m of VOC2010: the curve with its ends, made to fall, and summed where recall changes."""
    recall, precision, hits = [0.0], [0.0], 0
    for rank, one in enumerate(right, start=1):
        hits += one
        recall.append(hits / positives)
        precision.append(hits / rank)
    recall.append(1.0)
    precision.append(0.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def plain_points(right, positives):
    """VOCap.m of VOC2007, with recall in integers."""
    points, hits = [], 0
    for rank, one in enumerate(right, start=1):
        hits += one
        points.append((hits, hits / rank))
    best = (max((p for h, p in points if 10 * h >= t * positives), default=0) for t in range(11))
    return sum(best) / 11


def plain_voc(problem, c, threshold):
    """VOCevaldet.m: right or wrong by falling score, and the number of objects that are not difficult."""
    dets, objects = of_class(problem, c)
    claimed, right = set(), []
    for _, image, box in dets:
        there = objects.get(image, [])
        place, overlap = first_best([iou_of(box, one) for one, _ in there])
        if overlap < threshold:
            right.append(False)
        elif not there[place][1]:
            right.append((image, place) not in claimed)
            claimed.add((image, place))
    return right, sum(not crowd for one in objects.values() for _, crowd in one)


def plain_open_images(problem, c, *, challenge):
    """per_image_evaluation.py: (score, right) of what counts, and how much there is to find."""
    dets, objects = of_class(problem, c)
    claimed, wanted, judged = set(), {}, []
    for score, image, box in dets:
        there = [one for one, crowd in objects.get(image, []) if not crowd]
        place, overlap = first_best([iou_of(box, one) for one in there])
        if overlap >= 0.5 and (image, place) not in claimed:
            claimed.add((image, place))
            judged.append((score, image, True))
            continue
        groups = [one for one, crowd in objects.get(image, []) if crowd]
        place, overlap = first_best([inside_of(box, one) for one in groups])
        if overlap < 0.5:
            judged.append((score, image, False))
        elif (image, place) not in wanted:
            wanted[image, place] = (score, image, True)
    crowds = sum(crowd for one in objects.values() for _, crowd in one)
    positives = sum(map(len, objects.values())) - (0 if challenge else crowds)
    judged += wanted.values() if challenge else ()
    return [right for _, _, right in judged], [score for score, _, _ in judged], positives


def plain_lrp(problem, c, tau):
    """The least LRP of all thresholds, each from its detections alone, with its parts."""
    dets, objects = of_class(problem, c)
    positives = sum(not crowd for one in objects.values() for _, crowd in one)
    best = (1.0, None, None, 1.0, None)
    for threshold in sorted({score for score, _, _ in dets}, reverse=True):
        taken, hits, wrong = set(), [], 0
        for score, image, box in dets:
            if score < threshold:
                continue
            there = objects.get(image, [])
            free = [
                (iou_of(box, one), place)
                for place, (one, crowd) in enumerate(there)
                if not crowd and (image, place) not in taken and iou_of(box, one) >= tau
            ]
            if free:
                overlap, place = max(free)
                taken.add((image, place))
                hits.append(overlap)
            elif all(not crowd or inside_of(box, one) < tau for one, crowd in there):
                wrong += 1
        missed = positives - len(hits)
        error = (sum(1 - x for x in hits) / (1 - tau) + wrong + missed) / (len(hits) + wrong + missed)
        if hits and error < best[0] - 1e-12:
            loc = sum(1 - x for x in hits) / len(hits)
            best = error, loc, wrong / (len(hits) + wrong), missed / positives, threshold
    return best


def problem_of(seed, *, ties=True):
    """A random problem; without ties, scores differ."""
    problem = random_problem(seed, images=9)
    found = problem.detections
    if not ties:
        scores = np.random.default_rng(seed).permutation(len(found)) / len(found)
        found = replace(found, scores=scores)
    return found, problem.ground_truth


def result_of(evaluator, problem):
    evaluator.add(*problem)
    return evaluator.result()


def expanded(truth, above):
    """Each annotation once more for every class above its own."""
    labels, index = truth.labels, truth.image_index
    rows = [*range(len(truth)), *(i for i, c in enumerate(labels.class_ids.tolist()) for _ in above[c])]
    ids = [*labels.class_ids.tolist(), *(a for c in labels.class_ids.tolist() for a in above[c])]
    taken = replace(labels.take(np.array(rows)), class_ids=np.array(ids))
    return replace(truth, image_index=index[rows], labels=taken)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_voc_is_what_the_development_kit_computes(seed, threshold):
    problem = problem_of(seed)
    result = result_of(VocEvaluator(problem[1].classes, threshold), problem)
    for c, row in enumerate(result.tables[0].rows):
        right, positives = plain_voc(problem, c, threshold)
        if not positives:
            assert row[1:3] == (None, None)
            continue
        assert row[1:4] == (
            pytest.approx(plain_area(right, positives)),
            pytest.approx(plain_points(right, positives)),
            positives,
        )
        assert row[4:] == (len(right), sum(right))


def test_a_class_with_difficult_objects_alone_has_no_part_in_the_mean():
    found, truth = problem_of(1)
    crowd = truth.labels.iscrowd | (truth.labels.class_ids == 0)
    truth = replace(truth, labels=replace(truth.labels, iscrowd=crowd))
    result = result_of(VocEvaluator(truth.classes), (found, truth))
    rows = result.tables[0].rows
    assert [row[1] is None for row in rows] == [True, False, False, True]
    assert result.metrics["AP"] == pytest.approx(np.mean([row[1] for row in rows[1:3]]))


def test_a_second_detection_of_an_object_is_a_duplicate_also_where_its_neighbor_is_free():
    # COCO's matching gives the second one the neighbor, which it overlaps less, but enough.
    truth = [[(0, 0, 100, 100), (30, 0, 100, 100)]]
    problem = columns_of(truth, [[(0.9, 0, 0, 100, 100), (0.8, 5, 0, 100, 100)]])
    assert result_of(VocEvaluator(problem[1].classes), problem).metrics["AP"] == 0.5
    assert result_of(OlrpEvaluator(problem[1].classes), problem).metrics["oLRP_FN"] == 0


@pytest.mark.parametrize(("threshold", "area", "points"), [(0.5, 0.0222, 0.0303), (0.3, 0.2457, 0.2684)])
def test_the_public_example_has_its_published_numbers(threshold, area, points):
    # Its code counts pixels as VOC does: both ends of a box are inside, so that boxes are 1 wider and higher.
    truth = [[(x, y, w + 1, h + 1) for x, y, w, h in one] for one in PADILLA_TRUTH]
    found = [[(score, x, y, w + 1, h + 1) for score, x, y, w, h in one] for one in PADILLA_FOUND]
    problem = columns_of(truth, found)
    metrics = result_of(VocEvaluator(problem[1].classes, threshold), problem).metrics
    assert metrics["AP"] == pytest.approx(area, abs=1e-4)
    assert metrics["AP_11point"] == pytest.approx(points, abs=1e-4)


def test_edges_without_the_pixel_give_the_public_example_at_half_the_same_number():
    problem = columns_of(PADILLA_TRUTH, PADILLA_FOUND)
    metrics = result_of(VocEvaluator(problem[1].classes), problem).metrics
    assert metrics["AP"] == pytest.approx(1 / 45)


@pytest.mark.parametrize("seed", range(40))
def test_both_curves_are_those_of_the_development_kit(seed):
    rng = np.random.default_rng(seed)
    right = rng.random(seed) < rng.random()
    positives = int(right.sum() + rng.integers(1, 12))
    assert area_under_curve(right, positives) == pytest.approx(plain_area(right, positives))
    assert eleven_points(right, positives) == pytest.approx(plain_points(right, positives))
    assert area_under_curve(right, 0) is eleven_points(right, 0) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_open_images_is_what_the_published_code_computes(seed):
    problem = problem_of(seed, ties=False)
    result = result_of(OpenImagesEvaluator(problem[1].classes), problem)
    check_open_images(result, problem)


def check_open_images(result, problem):
    for c, row in enumerate(result.tables[0].rows):
        for column, challenge in ((1, False), (2, True)):
            right, scores, positives = plain_open_images(problem, c, challenge=challenge)
            if not positives:
                assert row[column] is None
                continue
            ranked = [right[i] for i in np.argsort([-score for score in scores], kind="stable")]
            assert row[column] == pytest.approx(plain_area(ranked, positives))


@pytest.mark.parametrize("seed", SEEDS)
def test_annotations_count_for_the_classes_above_them_and_detections_do_not(seed):
    found, truth = problem_of(seed, ties=False)
    evaluator = OpenImagesEvaluator(truth.classes, ProtocolOptions(parents=PARENTS))
    above = ((2, 3), (2, 3), (3,), ())
    check_open_images(result_of(evaluator, (found, truth)), (found, expanded(truth, above)))


@pytest.mark.parametrize("source", ["annotations", "labels"])
@pytest.mark.parametrize("seed", SEEDS)
def test_detections_of_classes_that_were_not_verified_are_left_out(seed, source):
    found, truth = problem_of(seed, ties=False)
    names = truth.classes.names
    # Image 4 has no "bell", so that it has nothing below it either; image 5 has a "frame", unboxed.
    negative = np.array([[4, 2], [6, 3]])
    if source == "annotations":
        truth = replace(truth, federation=Federation(negative, np.zeros((0, 2), np.int64)))
        options = ProtocolOptions(parents=PARENTS)
    else:
        stems = [key.rpartition("/")[2].removesuffix(".png") for key in truth.images]
        labels = {stems[i]: {names[c]: False} for i, c in negative.tolist()}
        labels[truth.images[5]] = {"frame": True, "not of this data set": True}
        options = ProtocolOptions(parents=PARENTS, image_labels=labels)
    wide = expanded(truth, ((2, 3), (2, 3), (3,), ()))
    verified = set(zip(wide.image_index.tolist(), wide.labels.class_ids.tolist(), strict=True))
    verified |= {(4, 0), (4, 1), (4, 2), (6, 0), (6, 1), (6, 2), (6, 3)}
    verified |= {(5, 0), (5, 2), (5, 3)} if source == "labels" else set()
    pairs = zip(found.image_index.tolist(), found.class_ids.tolist(), strict=True)
    kept = found.take(np.array([pair in verified for pair in pairs]))
    assert len(kept) < len(found)
    check_open_images(result_of(OpenImagesEvaluator(truth.classes, options), (found, truth)), (kept, wide))


def test_a_circle_in_the_hierarchy_ends_where_it_began():
    found, truth = problem_of(0)
    parents = {"frame": ("wheel",), "wheel": ("frame",)}
    result = result_of(OpenImagesEvaluator(truth.classes, ProtocolOptions(parents=parents)), (found, truth))
    rows = result.tables[0].rows
    assert rows[0][3] == rows[1][3] == np.count_nonzero(~truth.labels.iscrowd & (truth.labels.class_ids < 2))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tau", [0.3, 0.5])
def test_olrp_is_the_least_lrp_of_all_thresholds(seed, tau):
    problem = problem_of(seed, ties=seed % 2 == 0)
    result = result_of(OlrpEvaluator(problem[1].classes, tau), problem)
    known = []
    for c, row in enumerate(result.tables[0].rows):
        if not np.count_nonzero((problem[1].labels.class_ids == c) & ~problem[1].labels.iscrowd):
            assert row[1:] == (None,) * 5
            continue
        expected = plain_lrp(problem, c, tau)
        assert row[1:] == tuple(None if one is None else pytest.approx(one) for one in expected)
        known.append(expected)
    names = ("oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN")
    for position, name in enumerate(names):
        values = [one[position] for one in known if one[position] is not None]
        assert result.metrics[name] == pytest.approx(np.mean(values))


def test_a_class_that_is_never_found_has_an_error_of_one_and_no_threshold():
    problem = columns_of([[(0, 0, 10, 10)]], [[(0.9, 50, 50, 10, 10)]])
    (row,) = result_of(OlrpEvaluator(problem[1].classes), problem).tables[0].rows
    assert row == ("person", 1.0, None, None, 1.0, None)


@pytest.mark.parametrize("build", [VocEvaluator, OpenImagesEvaluator, OlrpEvaluator])
def test_images_may_come_in_parts_and_in_any_order(build):
    found, truth = problem_of(3)
    whole = result_of(build(truth.classes), (found, truth))
    parts = [build(truth.classes) for _ in range(2)]
    for part, images in zip(parts, (np.array([8, 1, 5, 0]), np.array([7, 2, 3, 6, 4])), strict=True):
        part.add(*take_images(found, truth, images))
    parts[1].merge(parts[0])
    assert parts[1].result().as_dict() == whole.as_dict()


def test_thresholds_that_mean_nothing_are_refused():
    classes = ClassTable(("a",))
    for wrong in (0, 1.5, float("nan")):
        with pytest.raises(OptionError, match="iou_threshold"):
            VocEvaluator(classes, wrong)
    with pytest.raises(OptionError, match="tau"):
        OlrpEvaluator(classes, 1.0)
    a, b = VocEvaluator(classes, 0.5), VocEvaluator(classes, 0.3)
    with pytest.raises(EvaluationError, match="settings"):
        a.merge(b)
