from __future__ import annotations

import json

import pytest

from anydet.errors import EvaluationError
from anydet.evaluation.open_images_files import read_hierarchy, read_image_labels
from anydet.types import ClassTable

TREE = {
    "LabelName": "/m/0bl9f",
    "Subcategory": [
        {
            "LabelName": "vehicle",
            "Subcategory": [
                {"LabelName": "car", "Part": [{"LabelName": "wheel"}]},
                {"LabelName": "amphibian"},
            ],
        },
        {"LabelName": "boat", "Subcategory": [{"LabelName": "amphibian"}]},
    ],
}


def test_the_hierarchy_has_all_parents_and_neither_root_nor_parts(tmp_path):
    path = tmp_path / "hierarchy.json"
    path.write_text(json.dumps(TREE))
    found = read_hierarchy(path, ClassTable(("car",)))
    assert {name: set(above) for name, above in found.items()} == {
        "car": {"vehicle"},
        "amphibian": {"vehicle", "boat"},
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "cannot be read"),
        ('{"Subcategory": 3}', "Subcategory of 'the root' is no list"),
        ('{"Subcategory": [{}]}', "an entry below 'the root' has no LabelName"),
        ("[]", "is no list"),
        (json.dumps(TREE), "none of its labels"),
    ],
)
def test_what_is_no_hierarchy_is_refused(tmp_path, text, problem):
    path = tmp_path / "hierarchy.json"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=problem):
        read_hierarchy(path, ClassTable(("dog",)))


def test_names_of_either_file_may_be_the_source_s_own_ids(tmp_path):
    table = ClassTable(("Car", "Vehicle"), (0, 1), source_names=("/m/0k4j", "/m/07yv9"))
    tree = {"Subcategory": [{"LabelName": "/m/07yv9", "Subcategory": [{"LabelName": "/m/0k4j"}]}]}
    (tmp_path / "tree.json").write_text(json.dumps(tree))
    assert read_hierarchy(tmp_path / "tree.json", table) == {"Car": ("Vehicle",)}
    (tmp_path / "labels.csv").write_text("ImageID,LabelName,Confidence\na,/m/0k4j,1\n")
    assert read_image_labels(tmp_path / "labels.csv", table) == {"a": {"Car": True}}


def test_image_labels_are_there_or_not(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        "ImageID,Source,LabelName,Confidence\na,verification,car,1\na,verification,boat,0\nb,,car,0\n"
    )
    assert read_image_labels(path, ClassTable(("car",))) == {
        "a": {"car": True, "boat": False},
        "b": {"car": False},
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("image,label\n", "no column 'ImageID', 'LabelName', 'Confidence'"),
        ("", "no column"),
        ("ImageID,LabelName,Confidence\na,car,0.7\n", "line 2: Confidence is '0.7'"),
        ("ImageID,LabelName,Confidence\na,car\n", "line 2: Confidence is ''"),
        ("ImageID,LabelName,Confidence\na,tree,1\n", "none of its labels"),
    ],
)
def test_what_is_no_table_of_labels_is_refused(tmp_path, text, problem):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=problem):
        read_image_labels(path, ClassTable(("car",)))
