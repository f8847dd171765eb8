"""Predictions in several files give the bits of one file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.contract.reading.load import load
from anydet.contract.reading.shards import prediction_files
from anydet.contract.write import write_predictions
from anydet.errors import ContractError, EvaluationError
from anydet.evaluation.reading import read_shards
from anydet.evaluation.run import evaluate_coco

IMAGES = 12


@pytest.fixture
def truth(tmp_path):
    """Ids that run against the order of the file, so that order has to be looked after."""
    rng = np.random.default_rng(1)
    boxes = rng.integers((0, 0, 1, 1), 31, (60, 4))
    data = {
        "images": [
            {"id": 90 - 7 * i, "file_name": f"{i:02}.jpg", "width": 64, "height": 64} for i in range(IMAGES)
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}],
        "annotations": [
            {
                "id": i + 1,
                "image_id": 90 - 7 * int(rng.integers(IMAGES)),
                "category_id": int(rng.choice([3, 8])),
                "bbox": box.tolist(),
                "area": int(box[2] * box[3]),
                "iscrowd": int(i % 7 == 0),
            }
            for i, box in enumerate(boxes)
        ],
    }
    path = tmp_path / "instances_val.json"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def results(truth):
    """Many equal scores, two images without any detection."""
    rng = np.random.default_rng(2)
    rows = []
    for annotation in json.loads(truth.read_text())["annotations"]:
        for _ in range(3):
            box = [v + int(d) for v, d in zip(annotation["bbox"], rng.integers(0, 3, 4), strict=True)]
            if annotation["image_id"] not in {90, 83}:
                row = {
                    "image_id": annotation["image_id"],
                    "category_id": int(rng.choice([3, 8])),
                    "bbox": box,
                }
                rows.append({**row, "score": float(rng.choice([0.2, 0.5, 0.9]))})
    return rows


def shards_of(results, folder, count):
    """COCO results in several files, whole images in each, in no order at all."""
    folder.mkdir()
    images = sorted({row["image_id"] for row in results})
    for n in range(count):
        rows = [row for row in results if images.index(row["image_id"]) % count == n]
        (folder / f"part{count - n}.json").write_text(json.dumps(rows))
    return folder


def assert_same(one, other):
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(getattr(one.arrays, name), getattr(other.arrays, name), name)
    assert (one.metrics, one.per_class) == (other.metrics, other.per_class)
    for key in ("images", "annotations", "detections", "images_without_predictions"):
        assert one.protocol[key] == other.protocol[key], key


@pytest.mark.parametrize("count", [2, 5])
def test_results_in_shards_score_as_in_one_file(count, engine, truth, results, tmp_path):
    (tmp_path / "all.json").write_text(json.dumps(results))
    whole = evaluate_coco(truth, tmp_path / "all.json", engine=engine)
    folder = shards_of(results, tmp_path / "shards", count)
    assert_same(whole, evaluate_coco(truth, folder, engine=engine))
    assert_same(whole, evaluate_coco(truth, folder / "part*.json", engine=engine))
    assert_same(whole, evaluate_coco(truth, sorted(folder.iterdir(), reverse=True), engine=engine))
    assert whole.metrics["AP"] > 0.05


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_files_of_the_contract_in_shards_score_as_one_file(suffix, engine, truth, results, tmp_path):
    keys = {90 - 7 * i: f"{i:02}.jpg" for i in range(IMAGES)}
    entries = [
        {
            "image": key,
            "image_size": {"width": 64, "height": 64},
            "detections": [
                {
                    "class_id": {3: 0, 8: 1}[row["category_id"]],
                    "score": row["score"],
                    "bbox": dict(zip(("cx", "cy", "w", "h"), row["bbox"], strict=True)),
                }
                for row in results
                if row["image_id"] == image
            ],
        }
        for image, key in keys.items()
    ]
    lines = [json.dumps(entry).encode() for entry in entries]
    meta = {"conventions": {"bbox_format": "xywh_abs"}}
    folder = tmp_path / "shards"
    folder.mkdir()
    write_predictions(lines, tmp_path / f"all{suffix}", meta=meta)
    for n in range(3):
        write_predictions(lines[n::3], folder / f"part{n}{suffix}", meta=meta)
    assert len(load(folder / f"part0{suffix}").images) == IMAGES / 3
    whole = evaluate_coco(truth, tmp_path / f"all{suffix}", engine=engine)
    assert_same(whole, evaluate_coco(truth, folder, engine=engine))


def test_an_image_in_two_files_is_an_error_that_names_both(engine, truth, results, tmp_path):
    folder = shards_of(results, tmp_path / "shards", 2)
    (folder / "again.json").write_text(json.dumps(results[:1]))
    with pytest.raises(EvaluationError, match=r"is in .*again\.json and in .*part\d\.json"):
        evaluate_coco(truth, folder, engine=engine)


def test_only_images_that_no_file_mentions_are_warned_of(truth, results, tmp_path):
    folder = shards_of(results, tmp_path / "shards", 3)
    shards = list(read_shards(truth, folder))
    *found, rest = [len(shard.ground_truth.images) for shard in shards]
    assert (sorted(found), rest) == ([3, 3, 4], 2)
    assert not any(shard.warnings for shard in shards[:-1])
    assert "the files do not mention 2 of the images" in shards[-1].warnings[0]


def test_a_folder_without_predictions_is_an_error(tmp_path):
    with pytest.raises(ContractError, match="no predictions there"):
        prediction_files(tmp_path)
    with pytest.raises(ContractError, match="no predictions files there"):
        prediction_files(f"{tmp_path}/*.json")
