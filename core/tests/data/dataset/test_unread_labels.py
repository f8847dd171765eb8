"""A folder of images with files that look like labels is never a folder of bare images without a word."""

from __future__ import annotations

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError, EvaluationError
from anydet.evaluation.dataset_check import check_dataset
from anydet.evaluation.reading import read_inputs


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("Annotations/x.xml", "", "XML files"),
        ("notes/x.xml", "<?xml version='1.0'?>\n<annotations>", "XML files"),
        ("deep/a.txt", "", "text files named like the images"),
        ("_annotations.coco.json", "{}", "JSON files"),
        ("result.json", '{"info": {}, "images": []}', "JSON files"),
        ("annotations/other.json", "{}", "JSON files"),
        ("a.json", '{"shapes": []}', "JSON files"),
        ("config.yaml", "path: .\nval: images\n", "YAML files"),
        ("labels.csv", "", "tables"),
        ("boxes.csv", "file,xmin,ymin\n", "tables"),
        ("train.txt", "x.jpg 1,2,3,4,0\n", "tables"),
    ],
)
def test_files_that_look_like_labels_are_named_wherever_the_folder_is_opened(
    paint, put, tmp_path, name, content, what
):
    paint("a.jpg")
    put(name, content)
    with pytest.warns(
        AnydetWarning, match=f"{what}.*: 1 \\(the first: {name}\\); the images are read without"
    ):
        dataset = open_dataset(tmp_path)
    assert dataset.keys == ("a.jpg",)
    with pytest.raises(DatasetError, match=f"the first: {name}") as caught:
        dataset.ground_truth()
    assert caught.value.fix.startswith(("give the file itself", "write them", "if they are YOLO labels"))
    with pytest.raises(EvaluationError, match=f"no annotations to evaluate against\n.*{name}"):
        read_inputs(dataset, "x.json")
    check = check_dataset(tmp_path)
    assert not check.ok
    assert check.findings[0].check == "labels that are not read"


@pytest.mark.parametrize(
    "name", ["README.txt", "notes.json", "predictions.json", "LICENSE", "settings.yaml", ".a.txt", ".x/a.xml"]
)
def test_other_files_are_no_labels(paint, put, tmp_path, name):
    paint("a.jpg")
    put(name, '[{"image": "a.jpg", "detections": []}]' if name.endswith("json") else "path: x")
    assert open_dataset(tmp_path).oddities == ()
    assert check_dataset(tmp_path).ok


@pytest.mark.parametrize(
    "name",
    ["masks/a.png", "a_mask.png", "x/SegmentationClass/a.png", "seg_masks/a_mask.png", "a.jpg_gt.png"],
)
def test_masks_are_no_photographs(paint, tmp_path, name):
    paint("a.jpg")
    paint(name)
    with pytest.warns(AnydetWarning, match=f"masks of the images: 1 \\(the first: {name}"):
        assert open_dataset(tmp_path).keys == ("a.jpg",)


def test_png_images_are_photographs(paint, tmp_path):
    for name in ("labels/a.png", "masks/b.png", "c.png", "d_mask.png", "photos/e.jpg"):
        paint(name)
    assert len(open_dataset(tmp_path)) == 5
