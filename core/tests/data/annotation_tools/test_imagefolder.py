from __future__ import annotations

import json

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError

BOX, OTHER = [1.0, 2.0, 10.0, 5.0], [0.0, 0.0, 4.0, 4.0]


def lines(*rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def objects(path, **options):
    truth = open_dataset(path, **options).ground_truth()
    names = [truth.classes.names[i] for i in truth.labels.class_ids]
    return list(zip(names, truth.labels.boxes_xywh_px.tolist(), strict=True))


@pytest.mark.parametrize(
    "given",
    [
        {"bbox": [BOX, OTHER], "categories": ["dog", "cat"]},
        {"bbox": [BOX, OTHER], "category": ["dog", "cat"], "id": [1, 2], "area": [50, 16]},
        [{"bbox": BOX, "label": "dog"}, {"bbox": OTHER, "label": "cat"}],
    ],
)
def test_objects_are_columns_or_a_list(paint, put, tmp_path, given):
    paint("train/a.jpg")
    put("train/metadata.jsonl", lines({"file_name": "a.jpg", "objects": given}, {"file_name": "b.jpg"}))
    assert objects(tmp_path) == [("dog", BOX), ("cat", OTHER)]
    dataset = open_dataset(tmp_path)
    assert (dataset.split, dataset.keys) == ("train", ("a.jpg", "b.jpg"))
    assert dataset[0].image().shape == (20, 40, 3)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("classes.txt", "cat\ndog\n"),
        ("README.md", "---\ndataset_info:\n  features:\n  - name: category\n    dtype:\n      class_label:\n"
         "        names:\n          '0': cat\n          '1': dog\n---\n# A set\n"),
    ],
)  # fmt: skip
def test_numbers_of_classes_have_the_names_that_a_file_lists(put, tmp_path, file, content):
    put("train/metadata.jsonl", lines({"file_name": "a.jpg", "objects": {"bbox": [BOX], "categories": [1]}}))
    assert objects(tmp_path) == [("1", BOX)]
    put(file, content)
    assert objects(tmp_path) == [("dog", BOX)]
    assert open_dataset(tmp_path).classes.names == ("cat", "dog")


def test_folders_in_names_are_splits_where_they_are_called_so(put, tmp_path):
    rows = [
        {"file_name": f"{split}/a.jpg", "objects": {"bbox": [BOX], "categories": [split]}}
        for split in ("train", "test", "validation")
    ]
    put("metadata.jsonl", lines(*rows))
    assert objects(tmp_path) == [("validation", BOX)]
    assert open_dataset(tmp_path, "test").keys == ("test/a.jpg",)


def test_what_is_malformed_is_left_out_with_its_place(put, tmp_path):
    boxes = {"bbox": [BOX, [1, 2, -3, 4], None, OTHER], "categories": ["dog", "dog", "dog", None]}
    put("metadata.jsonl", lines({"file_name": "a.jpg", "objects": boxes}, {"objects": {}}) + "{\n")
    with pytest.warns(AnydetWarning) as warned:
        assert objects(tmp_path) == [("dog", BOX), ("object", OTHER)]
    assert [str(one.message).removeprefix(f"{tmp_path}: ") for one in warned] == [
        "images without a file_name, or of a line that is no JSON: 2 (the first: "
        f"{tmp_path}/metadata.jsonl:2); left out",
        "objects without a bbox of x, y, width and height: 2 (the first: a.jpg: object 2); left out",
        "objects without a category: 1 (the first: a.jpg: object 4); read as objects of the class 'object'",
    ]


def test_a_file_that_is_no_text_says_what_it_is(put, tmp_path):
    text = lines({"file_name": "a.jpg", "objects": {"bbox": [BOX], "categories": ["v"]}})
    put("metadata.jsonl").write_bytes(text.replace('"v"', '"v\u00e9lo"').encode("latin-1"))
    with pytest.raises(DatasetError, match=r"not UTF-8 at byte .*perhaps latin-1"):
        open_dataset(tmp_path)
