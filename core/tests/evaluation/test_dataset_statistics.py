from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from core.tests.data.derivation.squares import dataset

from anydet.data.dataset.folder import open_folder
from anydet.data.dataset.splits import UNSPLIT
from anydet.evaluation.dataset_statistics import describe_dataset, size_of

IMAGES = {"1.jpg": [("cat", 10.0), ("cat", 32.0), ("dog", 100.0)], "2.jpg": [("cat", 50.0)], "3.jpg": []}


def test_numbers_are_those_of_the_annotations():
    found = describe_dataset(dataset(IMAGES))
    assert {name: found.metrics[name] for name in list(found.metrics)[:11]} == {
        "images": 3,
        "images without annotations": 1,
        "annotations": 4,
        "classes": 3,
        "classes without annotations": 1,
        "annotations an image": pytest.approx(4 / 3),
        "annotations an image, median": 1,
        "annotations an image, most": 3,
        "small": 2,
        "medium": 1,
        "large": 1,
    }
    classes, sizes = found.tables
    assert classes.rows == (
        ("cat", 3, 0.75, 2, 2, 1, 0),
        ("dog", 1, 0.25, 1, 0, 0, 1),
        ("bird", 0, 0.0, 0, 0, 0, 0),
    )
    assert sizes.rows == (("640 x 480", 3),)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["metrics"]["annotations"] == 4


def test_borders_of_sizes_belong_to_the_smaller_one():
    assert size_of(np.array([0.0, 1024.0, 1024.5, 9216.0, 9217.0])).tolist() == [0, 0, 1, 1, 2]


def test_what_annotations_have_beside_boxes_is_counted():
    masked = dataset(IMAGES)
    labels = replace(
        masked.table.labels, states=np.array([-1, 0, 1, -1]), iscrowd=np.array([True] + [False] * 3)
    )
    found = describe_dataset(replace(masked, table=replace(masked.table, labels=labels)))
    assert {name: found.metrics[name] for name in ("masks", "states", "crowds")} == {
        "masks": 0,
        "states": 2,
        "crowds": 1,
    }


def test_a_data_set_without_annotations_or_labels_has_numbers_too(tmp_path: Path):
    bare = describe_dataset(dataset({"1.jpg": []}))
    assert bare.metrics["width / height, median"] is None
    assert {figure.name for figure in bare.figures} == {"classes", "objects"}
    (tmp_path / "a.jpg").touch()
    assert describe_dataset(open_folder(tmp_path, UNSPLIT, tmp_path)).metrics == {"images": 1}
