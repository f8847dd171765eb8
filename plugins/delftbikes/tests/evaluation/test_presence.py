"""Presence of parts on images, beside plain loops over the definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.contract.image_columns import renumber_classes
from anydet.data.dataset.columns import no_labels
from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.ranking import area_under_roc, average_precision
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, ImageColumns
from anydet_delftbikes.evaluation.boxes import ABSENT, absent_state
from anydet_delftbikes.evaluation.presence import PresenceEvaluator, presence_evaluator

STATES = ("intact", "damaged", "absent", "occluded")
INTACT, DAMAGED, OCCLUDED, UNKNOWN = 0, 1, 3, -1


def problem(states, detections):
    """States of parts by image, and detections as (image, part, score, state)."""
    states = np.array(states, np.int64)
    images = tuple(f"{i}.jpg" for i in range(len(states)))
    rows = np.array(detections, np.float64).reshape(-1, 4)
    index, parts, found = (rows[:, i].astype(np.int64) for i in (0, 1, 3))
    none, sizes = np.ones(len(rows)), np.full((len(images), 2), 100)
    boxes = np.tile([1.0, 1.0, 9.0, 9.0], (len(rows), 1))
    truth = GroundTruthColumns(
        images,
        sizes,
        np.zeros(0, np.int64),
        no_labels(),
        ClassTable(tuple(f"part{i}" for i in range(states.shape[1]))),
        "test",
        state_names=STATES,
        about=ImageColumns(part_states=states),
    )
    return DetectionColumns(images, sizes, index, parts, boxes, rows[:, 2], none, states=found), truth


def evaluate(columns):
    evaluator = presence_evaluator(columns[1])
    assert evaluator.applies(*columns) is None
    evaluator.add(*columns)
    return evaluator.result()


def random_problem(rng, images=25, parts=4):
    """Scores of few values, so that many are equal; parts that are always there; detections without state."""
    states = rng.choice([UNKNOWN, INTACT, DAMAGED, ABSENT, OCCLUDED], (images, parts))
    states[:, 0] = INTACT
    found = [
        (image, part, rng.integers(1, 9) / 8, rng.choice([UNKNOWN, INTACT, ABSENT]))
        for image in range(images)
        for part in range(parts)
        for _ in range(rng.integers(4))
    ]
    return problem(states, found)


def looked_up(columns):
    """Pairs (best score, whether it is there) of each part, image by image and detection by detection."""
    detections, truth = columns
    rows = list(
        zip(
            detections.image_index.tolist(),
            detections.class_ids.tolist(),
            detections.scores.tolist(),
            detections.states.tolist(),
            strict=True,
        )
    )
    found = []
    for part in range(len(truth.classes)):
        pairs = []
        for image, state in enumerate(truth.about.part_states[:, part].tolist()):
            scores = [s for i, p, s, state in rows if (i, p) == (image, part) and state != ABSENT]
            if state != UNKNOWN:
                pairs.append((max(scores, default=-np.inf), state != ABSENT))
        found.append(pairs)
    return found


def slow_average_precision(pairs):
    area, before = 0.0, 0.0
    for threshold in sorted({score for score, _ in pairs}, reverse=True):
        kept = [right for score, right in pairs if score >= threshold]
        recall = sum(kept) / sum(right for _, right in pairs)
        area += (recall - before) * sum(kept) / len(kept)
        before = recall
    return area


def slow_area_under_roc(pairs):
    right, wrong = ([score for score, there in pairs if there == side] for side in (True, False))
    return sum((r > w) + (r == w) / 2 for r in right for w in wrong) / (len(right) * len(wrong))


def slow_f1(pairs, threshold):
    true = sum(there and score >= threshold for score, there in pairs)
    return 2 * true / (sum(there for _, there in pairs) + sum(score >= threshold for score, _ in pairs))


@pytest.mark.parametrize("seed", range(4))
def test_all_numbers_are_those_of_plain_loops(seed):
    columns = random_problem(np.random.default_rng(seed))
    result, parts = evaluate(columns), looked_up(columns)
    metrics, every = result.metrics, [pair for part in parts for pair in part]
    varying = [part for part in parts if 0 < sum(there for _, there in part) < len(part)]
    assert len(varying) == 3
    assert metrics["presence_AP"] == pytest.approx(np.mean([slow_average_precision(p) for p in varying]))
    assert metrics["presence_AUROC"] == pytest.approx(np.mean([slow_area_under_roc(p) for p in varying]))
    best = max((slow_f1(every, t), t) for t in {score for score, _ in every} if t > 0)
    assert (metrics["presence_F1_at_best"], metrics["presence_threshold"]) == pytest.approx(best)
    verdicts = [(score >= best[1], there) for score, there in every]
    assert metrics["presence_accuracy_at_best"] == pytest.approx(np.mean([a == b for a, b in verdicts]))
    recalls = [np.mean([a == b for a, b in verdicts if b == side]) for side in (True, False)]
    assert metrics["presence_balanced_accuracy_at_best"] == pytest.approx(np.mean(recalls))
    assert metrics["presence_F1_all_present"] == pytest.approx(slow_f1(every, -np.inf))
    most = sum(max(there := sum(right for _, right in part), len(part) - there) for part in parts)
    assert metrics["presence_majority_accuracy"] == pytest.approx(most / len(every))
    own = [max((slow_f1(p, t), t) for t in {s for s, _ in p} if t > 0) for p in parts]
    assert [row[-2:] for row in result.tables[0].rows] == [(t, pytest.approx(f1)) for f1, t in own]


ranked = st.lists(st.tuples(st.sampled_from([-np.inf, 0.0, 0.25, 1.0]), st.booleans()), min_size=2).filter(
    lambda pairs: len({right for _, right in pairs}) == 2
)


@settings(max_examples=40)
@given(ranked)
def test_rankings_with_equal_scores_are_those_of_plain_loops(pairs):
    scores, right = np.array([score for score, _ in pairs]), np.array([one for _, one in pairs])
    assert average_precision(scores, right) == pytest.approx(slow_average_precision(pairs))
    assert area_under_roc(scores, right) == pytest.approx(slow_area_under_roc(pairs))


def test_perfect_detections_are_perfect_and_none_at_all_are_chance():
    states = [[INTACT, ABSENT], [ABSENT, OCCLUDED], [DAMAGED, UNKNOWN]]
    right = [(0, 0, 0.6, 0), (1, 1, 0.9, 3), (2, 0, 0.7, 1), (2, 1, 0.95, 0), (1, 0, 0.99, ABSENT)]
    metrics = evaluate(problem(states, right)).metrics
    ones = ("AP", "AUROC", "F1_at_best", "accuracy_at_best", "balanced_accuracy_at_best")
    assert [metrics[f"presence_{name}"] for name in ones] == [1.0] * 5
    assert metrics["presence_threshold"] == 0.6
    assert metrics["presence_majority_accuracy"] == pytest.approx(3 / 5)
    blind = evaluate(problem(states, [])).metrics
    assert blind["presence_AP"] == blind["presence_AP_chance"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert blind["presence_AUROC"] == 0.5
    assert (blind["presence_threshold"], blind["presence_F1_at_best"]) == (None, 0.0)
    assert blind["presence_accuracy_at_best"] == pytest.approx(2 / 5)


def test_a_detection_that_calls_its_part_absent_does_not_speak_for_it_but_one_without_state_does():
    states = [[INTACT], [ABSENT]]
    for state, expected in ((ABSENT, 1.0), (INTACT, 0.0), (UNKNOWN, 0.0)):
        columns = problem(states, [(0, 0, 0.5, UNKNOWN), (1, 0, 0.8, state)])
        assert evaluate(columns).metrics["presence_AUROC"] == expected
    stateless = replace(columns[0], states=None), columns[1]
    assert evaluate(stateless).metrics["presence_AUROC"] == 0.0


def test_parts_that_are_always_there_or_never_are_in_no_mean():
    result = evaluate(problem([[INTACT, ABSENT, INTACT], [INTACT, ABSENT, ABSENT]], [(0, 2, 0.5, 0)]))
    assert [row[1:5] for row in result.tables[0].rows] == [
        (2, 0, None, None),
        (0, 2, None, None),
        (1, 1, 1, 1),
    ]
    assert result.metrics["presence_AP"] == 1.0
    assert result.protocol["classes_in_means"] == 1


def test_how_images_are_split_and_ordered_changes_nothing():
    detections, truth = random_problem(np.random.default_rng(7))
    parts = [presence_evaluator(truth), presence_evaluator(truth)]
    for image in np.random.default_rng(8).permutation(len(truth.images)):
        parts[image % 2].add(*take_images(detections, truth, np.array([image])))
    parts[0].merge(parts[1])
    assert parts[0].result().as_dict() == evaluate((detections, truth)).as_dict()
    parts[0].add(*take_images(detections, truth, np.array([1])))
    with pytest.raises(EvaluationError, match="was added 2 times"):
        parts[0].result()
    parts[0].reset()
    with pytest.raises(EvaluationError, match="no image was added"):
        parts[0].result()
    with pytest.raises(EvaluationError, match="of different classes or settings cannot be merged"):
        parts[0].merge(PresenceEvaluator(truth.classes, 1))


def test_reasons_not_to_apply_are_given():
    detections, truth = problem([[INTACT], [UNKNOWN]], [])
    evaluator = presence_evaluator(truth)
    assert evaluator.applies(detections, truth) == "no part is absent on any image"
    missing = replace(truth, about=None)
    assert evaluator.applies(detections, missing) == "the data set does not state which parts its images have"


def test_a_state_is_only_absent_where_that_is_its_name_or_no_state_has_a_name():
    truth = problem([[INTACT]], [])[1]
    assert absent_state(replace(truth, state_names=("absent", "there"))) == 0
    assert absent_state(replace(truth, state_names=())) == ABSENT
    assert absent_state(replace(truth, state_names=("new", "worn", "rusty"))) == 3


def test_states_of_parts_move_with_their_classes():
    about = ImageColumns(part_states=np.array([[5, 6], [7, 8]]))
    moved = renumber_classes(about, np.array([2, 0, 1]))
    assert moved.part_states.tolist() == [[6, -1, 5], [8, -1, 7]]
    assert renumber_classes(about, np.array([0])) is about
