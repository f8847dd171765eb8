"""File names that are no paths of the image folder are found by how they end, where one file alone does."""

from __future__ import annotations

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError, ImageError


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("..\\..\\label-studio\\media\\upload\\4\\x 1.jpg", "x 1.jpg"),
        ("/mnt/data/images/1.jpg", "1.jpg"),
        ("C:\\data\\1.jpg", "1.jpg"),
        ("images/my%20cat%20%C3%A9.jpg", "my cat \u00e9.jpg"),
        ("https://host/data/val/1.jpg?token=7", "1.jpg"),
        ("images/val/1.jpg", "val/1.jpg"),
        ("/data/b/1.jpg", "b/1.jpg"),
    ],
)
def test_a_name_from_another_machine_is_found_by_its_end(paint, put, instances, tmp_path, name, file):
    paint(f"pictures/{file}")
    paint("pictures/a.jpg", (30, 30))
    paint("pictures/a/x.jpg", (30, 30))
    instances["images"][0]["file_name"] = name
    dataset = open_dataset(put("result.json", instances), images=tmp_path / "pictures")
    record = dataset[0]
    assert record.path == tmp_path / "pictures" / file
    assert record.image().shape == (20, 40, 3)
    assert record.key == file
    assert dataset.stated_keys()[0] == name.replace("\\", "/")
    assert dataset[1].path == tmp_path / "pictures/a.jpg"


def test_where_several_files_end_likewise_none_is_taken(paint, put, instances, tmp_path):
    paint("pictures/a/1.jpg")
    paint("pictures/b/1.jpg")
    instances["images"][0]["file_name"] = "/mnt/1.jpg"
    with pytest.warns(AnydetWarning, match="1 file name may be several files"):
        dataset = open_dataset(put("result.json", instances), images=tmp_path / "pictures")
    record = dataset[0]
    with pytest.raises(DatasetError, match="is outside of"):
        record.image()


def test_a_file_in_another_folder_is_not_taken_for_one_that_is_missing(paint, put, instances, tmp_path):
    paint("pictures/a/1.jpg")
    paint("pictures/b/masks/1.jpg")
    instances["images"][0]["file_name"] = "b/1.jpg"
    dataset = open_dataset(put("result.json", instances), images=tmp_path / "pictures")
    with pytest.raises(ImageError, match=r"b/1\.jpg: no such image"):
        dataset[0].image()
