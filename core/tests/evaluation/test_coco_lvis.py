"""The LVIS protocol against the package ``lvis``."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from anydet.errors import EvaluationError
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.run import evaluate_coco
from anydet.geometry import masks

lvis = pytest.importorskip("lvis", reason="needs the package lvis, installed without its dependencies")


def federated_problem(seed, *, segm=False, per_image=40):
    rng = np.random.default_rng(seed)
    classes, images = 6, 5
    pick = lambda p: [int(c) for c in range(1, classes + 1) if rng.random() < p]  # noqa: E731
    truth = {
        "images": [
            {
                "id": 10 - i,
                "file_name": f"{i}.jpg",
                "width": 64,
                "height": 64,
                "neg_category_ids": pick(0.3),
                "not_exhaustive_category_ids": pick(0.3),
            }
            for i in range(images)
        ],
        "categories": [
            {"id": c, "name": f"class{c}", "frequency": "rcf"[c % 3]} for c in range(1, classes + 1)
        ],
        "annotations": [],
    }
    found = []
    for image in truth["images"]:
        for _ in range(rng.integers(0, 8)):
            box = [int(v) for v in rng.integers((0, 0, 1, 1), 31)]
            row = {"image_id": image["id"], "category_id": int(rng.integers(1, classes + 1)), "bbox": box}
            area = float(rng.choice([box[2] * box[3], 1024, 2000]))
            truth["annotations"].append(
                {**row, "id": len(truth["annotations"]) + 1, "area": area, "iscrowd": 0}
            )
        for _ in range(rng.integers(0, per_image)):
            near = [a["bbox"] for a in truth["annotations"] if a["image_id"] == image["id"]]
            box = [int(v) for v in rng.integers((0, 0, 1, 1), 31)]
            if near and rng.random() < 0.6:
                box = [int(v) for v in np.array(near[rng.integers(len(near))]) + rng.integers(0, 3, 4)]
            score = float(rng.choice([0.1, 0.5, 0.5, 0.9, round(float(rng.random()), 2)]))
            row = {"image_id": image["id"], "category_id": int(rng.integers(1, classes + 1)), "bbox": box}
            found.append({**row, "score": score})
    for row in (*truth["annotations"], *found):
        x, y, w, h = row["bbox"]
        mask = np.zeros((64, 64), np.bool_)
        mask[y : y + h, x : x + w] = True
        row["segmentation"] = masks.to_coco(masks.encode(mask))
        row["segmentation"]["counts"] = row["segmentation"]["counts"].decode()
        if segm and row in found:
            del row["bbox"]
    return truth, found


@pytest.fixture
def run_lvis(tmp_path, monkeypatch):
    """``LVISEval`` by the book; it wants the ``np.float`` of old."""
    monkeypatch.setattr(np, "float", float, raising=False)
    monkeypatch.setattr(logging.Logger, "warn", logging.Logger.warning, raising=False)

    def run(problem, iou_type):
        path = tmp_path / "truth.json"
        path.write_text(json.dumps(problem[0]))
        truth = lvis.LVIS(str(path))
        evaluation = lvis.LVISEval(
            truth, lvis.LVISResults(truth, json.loads(json.dumps(problem[1]))), iou_type
        )
        evaluation.run()
        return evaluation

    return run


def evaluate(engine, detections, ground_truth, iou_type="bbox"):
    settings = CocoSettings(iou_type, protocol="lvis")
    evaluator = CocoEvaluator(ground_truth.classes, engine=engine, settings=settings)
    evaluator.add(detections, ground_truth)
    return evaluator.result()


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(4))
def test_federated_problems_give_the_bits_of_lvis(seed, iou_type, engine, columns, run_lvis):
    problem = federated_problem(seed, segm=iou_type == "segm", per_image=900 if seed == 3 else 40)
    theirs = run_lvis(problem, iou_type)
    ours = evaluate(engine, *columns(problem), iou_type)
    np.testing.assert_array_equal(ours.arrays.precision[..., 0], theirs.eval["precision"])
    np.testing.assert_array_equal(ours.arrays.recall[..., 0], theirs.eval["recall"])
    expected = {name.replace("@", ""): None if v == -1 else v for name, v in theirs.get_results().items()}
    renamed = {"ARs300": "ARs", "ARm300": "ARm", "ARl300": "ARl"}
    assert ours.metrics == {renamed.get(name, name): value for name, value in expected.items()}


def test_ground_truth_that_is_not_federated_is_an_error(engine, columns):
    truth, found = federated_problem(0)
    plain = {**truth, "categories": [{"id": c["id"], "name": c["name"]} for c in truth["categories"]]}
    with pytest.raises(EvaluationError, match="does not state which classes are annotated"):
        evaluate(engine, *columns((plain, found)))


def test_files_score_as_their_columns_do(engine, columns, tmp_path):
    problem = federated_problem(1)
    truth, found = tmp_path / "lvis_v1_val.json", tmp_path / "results.json"
    truth.write_text(json.dumps(problem[0]))
    found.write_text(json.dumps(problem[1]))
    result = evaluate_coco(truth, found, CocoSettings(protocol="lvis"), engine=engine)
    assert result.metrics == evaluate(engine, *columns(problem)).metrics
    assert result.protocol["protocol"] == "lvis"
    assert result.protocol["max_detections"] == [300]
    assert None not in (result.metrics["APr"], result.metrics["APc"], result.metrics["APf"])
