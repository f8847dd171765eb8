"""File names that are no paths of the image folder are found by how they end, where one file alone does."""

from __future__ import annotations

import json
import warnings

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


BOX_XML = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
REGION = {
    "value": {"x": 0, "y": 0, "width": 50, "height": 50, "rectanglelabels": ["dog"]},
    "type": "rectanglelabels",
    "original_width": 40,
    "original_height": 20,
}


def write_coco(put, name, instances):
    instances["images"][0]["file_name"] = name
    return put("labels/result.json", instances)


def write_voc(put, name, _):
    text = f"<annotation><filename>{name}</filename><object><name>dog</name>{BOX_XML}</object></annotation>"
    return put("labels/0001.xml", text)


def write_cvat(put, name, _):
    box = '<box label="dog" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    return put("labels/annotations.xml", f'<annotations><image name="{name}">{box}</image></annotations>')


def write_label_studio(put, name, _):
    task = {"data": {"image": name}, "annotations": [{"result": [REGION]}]}
    return put("labels/export.json", [task])


def write_metadata(put, name, _):
    row = {"file_name": name, "objects": {"bbox": [[1, 2, 3, 4]], "categories": ["dog"]}}
    return put("labels/metadata.jsonl", json.dumps(row))


FORMATS = [write_coco, write_voc, write_cvat, write_label_studio, write_metadata]
NAMES = [
    ("C:\\data\\My Cat.jpg", "My Cat.jpg", False),
    ("D:/x/my%20cat.jpg", "my cat.jpg", False),
    ("MY CAT.JPG", "my cat.jpg", True),
    ("my cat.jpg ", "my cat.jpg", True),
    ("\\\\server\\share\\MY%20CAT.JPG", "deep/my cat.jpg", True),
]


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize(("name", "file", "said"), NAMES)
def test_every_format_finds_files_by_their_end_and_says_where_case_or_white_space_differ(
    paint, put, instances, tmp_path, write, name, file, said
):
    paint(f"pictures/{file}")
    paint("pictures/a.jpg")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        dataset = open_dataset(write(put, name, instances), images=tmp_path / "pictures")
    assert dataset[0].key == file
    assert dataset[0].image().shape == (20, 40, 3)
    spelled = [one for one in warned if "case or white space" in str(one.message)]
    # Of one XML file of VOC, nothing is said of other images.
    assert bool(spelled) == said or write is write_voc


@pytest.mark.parametrize("name", ["A.JPG", "a.jpg "])
def test_a_name_means_the_file_that_is_spelled_alike_where_there_is_one_alone(
    paint, put, instances, tmp_path, name
):
    paint("images/a.jpg")
    paint("images/b.jpg")
    instances["images"][1]["file_name"] = name
    instances["images"][0]["file_name"] = "b.jpg"
    with pytest.warns(AnydetWarning, match=f"white space .*: 1 .the first: '{name}' is 'a.jpg'"):
        assert open_dataset(put("result.json", instances)).keys == ("b.jpg", "a.jpg")
    paint("images/A.jpg")
    assert open_dataset(put("result.json", instances)).keys == ("b.jpg", name)


def test_supervisely_finds_images_whose_name_differs_in_case(paint, put, tmp_path):
    paint("val/img/a.jpg")
    put("val/ann/A.JPG.json", {"objects": [], "size": {"width": 40, "height": 20}})
    put("meta.json", {"classes": [{"title": "dog"}]})
    with pytest.warns(AnydetWarning, match="'A.JPG' is 'a.jpg'"):
        assert open_dataset(tmp_path)[0].image().shape == (20, 40, 3)


def test_voc_finds_images_whose_name_differs_in_case_from_the_xml_file(paint, put, tmp_path):
    for name in ("JPEGImages/img_1.jpg", "JPEGImages/b.jpg", "JPEGImages/my cat.JPG"):
        paint(name)
    text = f"<annotation><filename>{{}}</filename><object><name>dog</name>{BOX_XML}</object></annotation>"
    for name, stated in (("IMG_1", "IMG_1.JPG"), ("b", "B.JPG"), ("7", "C:\\x\\my%20cat.jpg")):
        put(f"Annotations/{name}.xml", text.format(stated))
    with pytest.warns(
        AnydetWarning, match="images that are not called quite like their files: 2 .* are taken"
    ):
        assert set(open_dataset(tmp_path).keys) == {"img_1.jpg", "b.jpg", "my cat.JPG"}
