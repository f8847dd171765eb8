"""Label files in other folders than expected are read or named: no split loses its labels without a word."""

from __future__ import annotations

import re
import sys

import pytest

from anydet.data.opening import open_dataset
from anydet.data.writing.repair import repair_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.evaluation.dataset_check import check_dataset

LINE = "0 0.5 0.5 0.5 0.5\n"
case_counts = pytest.mark.skipif(
    sys.platform in {"win32", "darwin"}, reason="folder names that differ in case alone are one folder"
)


def findings(path) -> dict[str, int]:
    return {one.check: one.count for one in check_dataset(path).findings if one.severity == "broken"}


@case_counts
@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/val", "Labels/val"),
        ("Images/val", "Labels/val"),
        ("Images/val", "labels/val"),
        ("images/val", "LABELS/Val"),
        ("val/images", "val/Labels"),
    ],
)
def test_labels_in_another_case_is_read_with_a_count(paint, put, tmp_path, images, labels):
    paint(f"{images}/a.jpg")
    paint(f"{images}/none.jpg")
    put(f"{labels}/a.txt", LINE)
    put(f"{labels}/none.txt")
    file = put("data.yaml", f"val: {images}\nnames: [cat]\n")
    dataset = open_dataset(file)
    with pytest.warns(
        AnydetWarning, match=r"in other upper and lower case.*: 2 \(the first: .*a\.txt\); read"
    ):
        assert dataset.ground_truth().image_index.tolist() == [0]
    assert dataset.lost_label_files() == []
    assert findings(file) == {"case of label files": 2}
    with pytest.warns(AnydetWarning):
        repair_dataset(file, None, tmp_path / "mended")
    assert (tmp_path / "mended/labels/val/a.txt").read_text("utf-8") == LINE


ELSEWHERE = [
    ("images/val", "label/val"),
    ("images/val", "annotations/val"),
    ("images/val", "labels/valid"),
    ("images/val", "labels"),
    ("images/val", "images/val"),
    ("images", "labels/val"),
    ("imgs", "labels"),
    ("val/images", "val/yolo"),
]


@pytest.mark.parametrize("line", [LINE, "imagesource:x\ngsd:1\n1 2 3 2 3 4 1 4 ship 0\n"])
@pytest.mark.parametrize(("images", "labels"), ELSEWHERE)
def test_labels_in_another_folder_are_broken_and_refused(paint, put, tmp_path, images, labels, line):
    paint(f"{images}/a.jpg")
    paint(f"{images}/b.jpg")
    text = put(f"{labels}/a.txt", line)
    file = put("data.yaml", f"val: {images}\nnames: [cat]\n")
    said = rf"has the name: 1 \(the first: {re.escape(str(text))} for .*a\.jpg .*; read as images without"
    with pytest.warns(AnydetWarning, match=said):
        assert len(open_dataset(file).ground_truth()) == 0
    assert findings(file)["labels elsewhere"] == 1
    with pytest.warns(AnydetWarning), pytest.raises(DatasetError, match=said) as refused:
        open_dataset(file, refuse_odd=True)
    assert f"{text} to " in refused.value.fix
    with pytest.warns(AnydetWarning), pytest.raises(DatasetError, match=said):
        repair_dataset(file, None, tmp_path / "mended")


def test_the_way_to_mend_it_mends_it(paint, put, tmp_path):
    paint("images/val/a.jpg")
    text = put("label/val/a.txt", LINE)
    file = put("data.yaml", "val: images/val\nnames: [cat]\n")
    (finding,) = (one for one in check_dataset(file).findings if one.check == "labels elsewhere")
    source, target = re.fullmatch(r"move .* looked for: (.*) to (.*)", finding.fix).groups()
    assert source == str(text)
    put(target, text.read_text("utf-8"))
    text.unlink()
    assert len(open_dataset(file).ground_truth()) == 1
    assert findings(file) == {}


@case_counts
def test_a_part_of_several_folders_is_read_or_counted_by_folder(paint, put, tmp_path):
    for folder in "abc":
        for name in "xy":
            paint(f"{folder}/images/{folder}{name}.jpg")
    put("a/labels/ax.txt", LINE)
    put("b/Labels/bx.txt", LINE)
    put("c/marks/cx.txt", LINE)
    put("c/marks/cy.txt", LINE)
    file = put("data.yaml", "val: [a/images, b/images, c/images]\nnames: [cat]\n")
    with pytest.warns(AnydetWarning):
        assert open_dataset(file).ground_truth().image_index.tolist() == [0, 2]
    assert findings(file) == {"case of label files": 1, "labels elsewhere": 2}
    (finding,) = (one for one in check_dataset(file).findings if one.check == "labels elsewhere")
    assert finding.examples[0].endswith("c/images/cx.jpg (2 of this folder)")


@pytest.mark.parametrize("named", [False, True])
def test_an_obj_data_loses_no_labels(paint, put, tmp_path, named):
    paint("obj/a.jpg")
    put("marks/a.txt", LINE)
    put("train.txt", "data/obj/a.jpg\n")
    file = put("obj.data", "train = data/train.txt\n")
    assert findings(file if named else tmp_path)["labels elsewhere"] == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels/train/a.txt", LINE),  # of images/train/a.jpg
        ("labels/day/a.txt", LINE),  # of images that are not there
        ("captions/val/a.txt", "2 cats on 3 boxes\n"),
        ("label/val/a.txt", ""),
        (".trash/val/a.txt", LINE),
        ("label/val/other.txt", LINE),
    ],
)
def test_images_without_objects_are_no_oddity(paint, put, tmp_path, name, content):
    for image in ("val/a", "val/b", "train/a"):
        paint(f"images/{image}.jpg")
    put("labels/val/b.txt", LINE)
    put(name, content)
    file = put("data.yaml", "val: images/val\ntrain: images/train\nnames: [cat]\n")
    dataset = open_dataset(file)
    assert len(dataset.ground_truth()) == 1
    assert dataset.oddities == ()


def test_a_folder_without_any_label_file_has_true_negatives_alone(paint, put):
    paint("images/val/a.jpg")
    file = put("data.yaml", "val: images/val\nnames: [cat]\n")
    assert open_dataset(file).oddities == ()
