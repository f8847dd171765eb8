from __future__ import annotations

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import DatasetError


def test_images_without_labels_are_found_recursively(paint, put, tmp_path):
    paint("b/2.PNG")
    paint("a.jpg")
    put("notes.txt")
    dataset = open_dataset(tmp_path)
    assert (dataset.keys, dataset.split, dataset.source) == (("a.jpg", "b/2.PNG"), "", "none")
    assert dataset.classes is None
    assert [record.labels for record in dataset] == [None, None]
    assert dataset[1].image().shape == (20, 40, 3)
    with pytest.raises(DatasetError, match="has no labels, only images"):
        dataset.ground_truth()


def test_an_images_folder_without_labels_is_the_base_of_keys(paint, tmp_path):
    paint("images/a.jpg")
    paint("overview.jpg")
    assert open_dataset(tmp_path).keys == ("a.jpg",)


def test_folders_with_names_of_splits_are_splits(paint, tmp_path):
    paint("images/train2017/a.jpg")
    paint("images/val2017/b.jpg")
    dataset = open_dataset(tmp_path)
    assert (dataset.keys, dataset.note) == (("b.jpg",), "split val2017 (of train2017, val2017)")
    assert open_dataset(tmp_path, "train2017").keys == ("a.jpg",)


def test_another_folder_can_be_selected_as_a_split(paint, tmp_path):
    paint("summer/a.jpg")
    paint("winter/b.jpg")
    assert open_dataset(tmp_path).keys == ("summer/a.jpg", "winter/b.jpg")
    assert open_dataset(tmp_path, "winter").keys == ("b.jpg",)
    with pytest.raises(DatasetError, match=r"no split 'spring' \(there are: summer, winter\)"):
        open_dataset(tmp_path, "spring")


def test_the_fingerprint_is_that_of_the_keys_in_order(paint, tmp_path):
    paint("a.jpg")
    before = open_dataset(tmp_path).fingerprint()
    paint("b.jpg")
    assert open_dataset(tmp_path).fingerprint() != before


def test_files_named_alike_in_another_split_have_another_fingerprint_only_by_name(paint, tmp_path):
    paint("x/ab.jpg")
    paint("y/a.jpg")
    paint("y/b.jpg")
    assert open_dataset(tmp_path / "x").fingerprint() != open_dataset(tmp_path / "y").fingerprint()
