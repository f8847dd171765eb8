"""States of detected objects."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import EngineUser
from anydet.evaluation.states import StateEvaluator, state_evaluator, state_names

STATES = ("intact", "damaged", "absent", "occluded")


@pytest.fixture(scope="module")
def reference_engine():
    return choose_engine(name="pycocotools")


def with_states(problem, columns):
    detections, truth = columns(problem)
    found = np.array([row["state"] for row in problem[1]], np.int64)
    states = np.array([row["state"] for row in problem[0]["annotations"]], np.int64)
    labels = replace(truth.labels, states=states)
    return replace(detections, states=found), replace(truth, labels=labels, state_names=STATES)


def joint_classes(problem):
    """The same with a category for each part in each state; what has no state is left out."""
    truth, found = copy.deepcopy(problem)
    parts = len(truth["categories"])
    truth["categories"] = [{"id": i + 1, "name": str(i)} for i in range(parts * len(STATES))]
    for rows in (truth["annotations"], found):
        for row in rows:
            row["category_id"] += parts * row["state"]
    truth["annotations"] = [row for row in truth["annotations"] if row["state"] >= 0]
    return truth, [row for row in found if row["state"] >= 0]


def test_states_are_compared_on_matched_detections_only(columns, engine, scene_of_states):
    problem = scene_of_states(
        [(1, 0, 0, 0), (1, 0, 1, 1), (1, 0, 2, 2), (1, 1, 3, 3), (1, 1, 4, 0), (1, 1, 5, -1)],
        [
            (1, 0, 0, 0, 0.9),  # right
            (1, 0, 1, 0, 0.8),  # damaged taken for intact
            (1, 1, 2, 2, 0.8),  # of another part: no match
            (1, 1, 3, -1, 0.7),  # says no state
            (1, 1, 4, 0, 0.6),  # right
            (1, 1, 5, 1, 0.5),  # matches an annotation without state: left out
            (1, 0, 8, 0, 0.9),  # where nothing is
        ],
    )
    detections, truth = with_states(problem, columns)
    evaluator = StateEvaluator(truth.classes, STATES, engine=engine)
    evaluator.add(detections, truth)
    result = evaluator.result()
    assert result.metrics["accuracy"] == pytest.approx(2 / 4)
    assert result.metrics["balanced_accuracy"] == pytest.approx((2 / 2 + 0 / 1 + 0 / 1) / 3)
    assert result.metrics["macro_f1"] == pytest.approx((2 * 2 / (2 + 3) + 0 + 0) / 3)
    assert result.metrics["majority_accuracy"] == pytest.approx(2 / 4)
    assert result.metrics["matched"] == pytest.approx(4 / 5)
    tables = {table.title: table for table in result.tables}
    assert tables["confusion of states"].header == ("true", *STATES, "nothing")
    assert tables["confusion of states"].rows[1] == ("damaged", 1, 0, 0, 0, 0)
    assert tables["states of each part"].rows[1][:4] == ("part1", 2, 2, 0.5)
    assert tables["confusion of each part"].rows[-1] == ("part1: occluded", 0, 0, 0, 0, 1)


@pytest.mark.parametrize("seed", range(4))
def test_ap_of_a_part_in_a_state_is_that_of_pycocotools_with_a_category_for_each(
    seed, columns, reference, engine, random_scene_of_states
):
    problem = random_scene_of_states(np.random.default_rng(seed))
    for row in problem[0]["annotations"]:
        row["state"] = max(row["state"], 0)
    detections, truth = with_states(problem, columns)
    evaluator = StateEvaluator(truth.classes, STATES, engine=engine)
    evaluator.add(detections, truth)
    result = evaluator.result()
    run = reference(joint_classes(problem), "bbox")
    assert result.metrics["AP"] == pytest.approx(run.stats[0], abs=1e-12)
    assert result.metrics["AP50"] == pytest.approx(run.stats[1], abs=1e-12)
    precision = run.eval["precision"][:, :, :, 0, -1].mean(axis=(0, 1)).reshape(len(STATES), -1)
    for state, expected in zip(STATES, precision, strict=True):
        known = expected[expected > -1]
        assert result.metrics[f"AP_{state}"] == pytest.approx(known.mean() if len(known) else None)
    plain = reference(problem, "bbox").eval["precision"][:, :, :, 0, -1].mean(axis=(0, 1))
    assert [row[1] for row in result.tables[-1].rows] == pytest.approx(plain.tolist())


def test_how_images_are_split_changes_nothing(columns, random_scene_of_states):
    detections, truth = with_states(random_scene_of_states(np.random.default_rng(5)), columns)
    whole = state_evaluator(truth)
    whole.add(detections, truth)
    halves = [state_evaluator(truth) for _ in range(2)]
    for image in (4, 0, 2, 5, 1, 3):
        halves[image % 2].add(*take_images(detections, truth, np.array([image])))
    halves[1].merge(halves[0])
    assert halves[1].result().as_dict() == whole.result().as_dict()
    whole.reset()
    with pytest.raises(EvaluationError, match="no image was added"):
        whole.result()


def test_low_scores_can_be_left_out(columns, reference_engine, scene_of_states):
    problem = scene_of_states([(1, 0, 0, 1), (1, 0, 1, 1)], [(1, 0, 0, 1, 0.9), (1, 0, 1, 0, 0.2)])
    detections, truth = with_states(problem, columns)
    evaluator = StateEvaluator(truth.classes, STATES, engine=reference_engine, score_threshold=0.5)
    evaluator.add(detections, truth)
    assert evaluator.result().metrics["accuracy"] == 1.0
    assert evaluator.result().metrics["matched"] == 0.5


def test_a_state_that_the_data_set_does_not_have_is_refused(columns, scene_of_states):
    detections, truth = with_states(scene_of_states([(1, 0, 0, 1)], [(1, 0, 0, 4, 0.9)]), columns)
    with pytest.raises(EvaluationError, match=r"as 4 in image 1\.jpg; its 4 states are 0 to 3"):
        state_evaluator(truth).add(detections, truth)


def test_states_without_names_are_called_by_number(columns, scene_of_states):
    _, truth = with_states(scene_of_states([(1, 0, 0, 5)], []), columns)
    assert state_names(replace(truth, state_names=())) == ("0", "1", "2", "3", "4", "5")
    assert state_names(truth) == STATES


def test_without_states_the_reason_is_given(columns, scene_of_states):
    detections, truth = with_states(scene_of_states([(1, 0, 0, 1)], [(1, 0, 0, 1, 0.9)]), columns)
    evaluator = state_evaluator(truth)
    assert evaluator.applies(detections, truth) is None
    assert evaluator.applies(replace(detections, states=None), truth) == "the predictions have no states"
    stateless = replace(truth, labels=replace(truth.labels, states=None))
    assert evaluator.applies(detections, stateless) == "the data set has no states"


def test_another_engine_gives_the_same_numbers_and_is_named(
    columns, engine, reference_engine, random_scene_of_states
):
    detections, truth = with_states(random_scene_of_states(np.random.default_rng(9)), columns)
    found = []
    for one in (reference_engine, engine):
        evaluator = state_evaluator(truth)
        assert isinstance(evaluator, EngineUser)
        evaluator.use_engine(one)
        evaluator.add(detections, truth)
        found.append(evaluator.result())
        assert f"'name': '{one.name}'" in str(found[-1].protocol)
    assert found[0].metrics == found[1].metrics
