"""The protocol of DelftBikes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.data.dataset.columns import boxes_only
from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import EngineUser
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns
from anydet_delftbikes.evaluation.boxes import DelftBikesEvaluator, delftbikes_evaluator
from anydet_delftbikes.parts import STATES

SIDE = 100


def as_columns(problem):
    """The same problem as columns."""
    truth, found = problem
    keys = tuple(image["file_name"] for image in truth["images"])
    sizes = np.full((len(keys), 2), SIDE)
    columns = []
    for rows in (truth["annotations"], found):
        images, ids, states = (
            np.array([row[key] for row in rows], np.int64) for key in ("image_id", "category_id", "state")
        )
        boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
        columns.append((images - 1, boxes_only(ids - 1, boxes, states=states)))
    (index, labels), (found_index, seen) = columns
    names = tuple(category["name"] for category in truth["categories"])
    scores = np.array([row["score"] for row in found], np.float64)
    return (
        DetectionColumns(
            keys, sizes, found_index, seen.class_ids, seen.boxes_xywh_px, scores, seen.areas,
            states=seen.states,
        ),
        GroundTruthColumns(keys, sizes, index, labels, ClassTable(names), "test", state_names=STATES),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_delftbikes_is_pycocotools_without_absent_parts(seed, engine, random_scene_of_states, reference):
    problem = random_scene_of_states(np.random.default_rng(seed))
    detections, truth = as_columns(problem)
    evaluator = DelftBikesEvaluator(truth.classes, engine=engine)
    assert evaluator.applies(detections, truth) is None
    evaluator.add(detections, truth)
    result = evaluator.result()
    annotations = [row for row in problem[0]["annotations"] if row["state"] != 2]
    found = [row for row in problem[1] if row["state"] != 2]
    run = reference(({**problem[0], "annotations": annotations}, found), "bbox")
    every = reference(problem, "bbox")
    names = [name for name in result.metrics if not name.startswith("all_states_")]
    got = [-1 if result.metrics[name] is None else result.metrics[name] for name in names]
    assert got == pytest.approx(run.stats.tolist())
    assert result.metrics["all_states_AP"] == pytest.approx(every.stats[0])
    assert result.metrics["AP"] != result.metrics["all_states_AP"]


def test_an_image_without_detections_lowers_recall(scene_of_states):
    annotations = [(1, 0, 0, 0), (2, 0, 0, 0), (1, 1, 1, 2)]
    detections, truth = as_columns(scene_of_states(annotations, [(1, 0, 0, 0, 0.9)], images=2))
    evaluator = delftbikes_evaluator(truth)
    evaluator.add(detections, truth)
    assert evaluator.result().metrics["AR100"] == pytest.approx(0.5)


def test_the_state_of_absent_parts_is_found_by_name(scene_of_states):
    _, truth = as_columns(scene_of_states([(1, 0, 0, 1)], []))
    assert delftbikes_evaluator(replace(truth, state_names=("absent", "there"))).absent == 0
    assert delftbikes_evaluator(replace(truth, state_names=())).absent == 2


def test_without_absent_parts_the_reason_is_given(scene_of_states):
    detections, truth = as_columns(scene_of_states([(1, 0, 0, 1)], [(1, 0, 0, 1, 0.9)]))
    assert "absent" in delftbikes_evaluator(truth).applies(detections, truth)


def test_how_images_are_split_changes_nothing(random_scene_of_states):
    detections, truth = as_columns(random_scene_of_states(np.random.default_rng(5)))
    whole = delftbikes_evaluator(truth)
    whole.add(detections, truth)
    parts = [delftbikes_evaluator(truth) for _ in range(2)]
    for image in (4, 0, 2, 5, 1, 3):
        parts[image % 2].add(*take_images(detections, truth, np.array([image])))
    parts[1].merge(parts[0])
    assert parts[1].result().as_dict() == whole.result().as_dict()
    whole.reset()
    with pytest.raises(EvaluationError, match="no image was added"):
        whole.result()


def test_another_engine_gives_the_same_numbers_and_is_named(engine, random_scene_of_states):
    detections, truth = as_columns(random_scene_of_states(np.random.default_rng(9)))
    found = []
    for one in (choose_engine(name="pycocotools"), engine):
        evaluator = delftbikes_evaluator(truth)
        assert isinstance(evaluator, EngineUser)
        evaluator.use_engine(one)
        evaluator.add(detections, truth)
        found.append(evaluator.result())
        assert f"'name': '{one.name}'" in str(found[-1].protocol)
    assert found[0].metrics == found[1].metrics
