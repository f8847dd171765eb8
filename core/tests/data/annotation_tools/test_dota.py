from __future__ import annotations

import pytest

from anydet.data.annotation_tools.formats import DOTA
from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, SplitError

TURNED = "10 0 20 10 10 20 0 10"
HEAD = "imagesource:GoogleEarth\ngsd:0.146343590398\n"


def test_corners_are_masks_and_difficult_ones_count_neither_way(put, paint, tmp_path):
    paint("train/images/P0000.png")
    put(
        "train/labelTxt/P0000.txt",
        f"{HEAD}{TURNED} small-vehicle 0\n2753.0 2408.0 2861.0 2385.0 2888.0 2468.0 2805.0 2502.0 plane 1\n",
    )
    dataset = open_dataset(tmp_path, "train")
    truth = dataset.ground_truth()
    assert truth.labels.boxes_xywh_px.tolist() == [[0, 0, 20, 20], [2753, 2385, 135, 117]]
    assert truth.labels.areas[0] == 200
    assert truth.labels.segmentations[0] == ((10, 0, 20, 10, 10, 20, 0, 10),)
    assert truth.labels.iscrowd.tolist() == [False, True]
    assert len(truth.classes) == 15
    assert [truth.classes.names[i] for i in truth.labels.class_ids] == ["small-vehicle", "plane"]
    assert dataset[0].image().shape == (20, 40, 3)


@pytest.mark.parametrize(
    ("labels", "name", "classes"),
    [
        ("val/labelTxt/P0001.txt", "helicopter", 15),
        ("val/labelTxt-v1.5/DOTA-v1.5_val/P0001.txt", "container-crane", 16),
        ("val/labelTxt-v2.0/DOTA-v2.0_val/P0001.txt", "airport", 18),
        ("val/annfiles/P0001.txt", "my-thing", 1),
        ("labelTxt/val/P0001.txt", "plane", 15),
    ],
)
def test_all_versions_are_found(put, paint, tmp_path, labels, name, classes):
    paint("val/images/P0001.png" if labels.startswith("val") else "images/val/P0001.png")
    put(labels, f"{HEAD}{TURNED} {name} 0\n")
    put(labels.replace("DOTA-v1.5_val", "DOTA-v1.5_val_hbb"), f"{HEAD}{TURNED} {name} 0\n")
    dataset = open_dataset(tmp_path)
    assert (dataset.split, dataset.keys) == ("val", ("P0001.png",))
    assert len(dataset.classes) == classes
    assert dataset[0].image().shape == (20, 40, 3)
    with pytest.raises(SplitError, match="no split 'test'"):
        open_dataset(tmp_path, "test")


def test_lines_without_difficult_and_images_without_objects_are_taken_and_malformed_lines_counted(
    put, paint, tmp_path
):
    for name in ("a", "b", "c"):
        paint(f"images/{name}.png")
    put("labelTxt/a.txt", f"{TURNED} plane\n{TURNED[:-3]} plane 0\n{TURNED} plane x\n")
    put("labelTxt/b.txt", "")
    with pytest.warns(AnydetWarning) as seen:
        dataset = open_dataset(tmp_path)
    said = "\n".join(str(one.message) for one in seen)
    assert "on lines that are not x1 y1 ... x4 y4 class difficult: 2" in said
    assert "images without a label file: 1 (the first: c.png)" in said
    assert dataset.keys == ("a.png", "b.png")
    assert len(dataset.ground_truth()) == 1
    assert len(dataset[1].labels) == 0


def test_oriented_boxes_of_yolo_are_not_taken_for_it(put, paint, tmp_path):
    paint("images/a.png")
    put("labels/a.txt", "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    put("classes.txt", "plane\n")
    assert DOTA.matches(tmp_path) is DOTA.matches(tmp_path / "labels") is False
