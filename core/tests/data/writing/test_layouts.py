from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.scenes.shapes import KEYPOINTS
from anydet.data.writing.coco import write_coco
from anydet.data.writing.yolo import write_yolo
from anydet.errors import DatasetError, OptionError

SCENES = SyntheticDataset(8, seed=5, image_wh=(96, 72))
WRITERS = {"coco": write_coco, "yolo": write_yolo}


def explode(_count):
    raise KeyboardInterrupt


@pytest.mark.parametrize("layout", WRITERS)
def test_what_was_written_opens_with_the_same_pixels_keys_and_classes(layout, tmp_path):
    WRITERS[layout](SCENES, tmp_path / "scenes")
    opened = open_dataset(tmp_path / "scenes")
    assert opened.split == "val"
    assert opened.classes.names == SCENES.classes.names
    assert [record.key for record in opened] == list(SCENES.keys)
    assert all(np.array_equal(a.image(), b.image()) for a, b in zip(opened, SCENES, strict=True))


def test_coco_keeps_the_ground_truth_to_the_bit(tmp_path):
    write_coco(SCENES, tmp_path, keypoint_names=KEYPOINTS)
    opened, wanted = open_dataset(tmp_path).ground_truth(), SCENES.ground_truth()
    assert opened.images == wanted.images
    assert opened.sizes_wh.tolist() == wanted.sizes_wh.tolist()
    assert opened.image_index.tolist() == wanted.image_index.tolist()
    for column in ("class_ids", "boxes_xywh_px", "areas", "iscrowd", "keypoints"):
        assert np.array_equal(getattr(opened.labels, column), getattr(wanted.labels, column)), column
    assert opened.labels.segmentations == wanted.labels.segmentations


def test_coco_keeps_states_and_their_names(tmp_path):
    write_coco(SCENES, tmp_path / "a")
    file = tmp_path / "a/annotations/instances_val.json"
    truth = json.loads(file.read_text())
    for i, annotation in enumerate(truth["annotations"]):
        annotation["state"] = i % 2
    truth["state_categories"] = [{"id": 0, "name": "new"}, {"id": 1, "name": "worn"}]
    file.write_text(json.dumps(truth))
    write_coco(open_dataset(tmp_path / "a"), tmp_path / "b")
    assert json.loads((tmp_path / "b/annotations/instances_val.json").read_text()) == truth


def test_yolo_keeps_classes_and_boxes(tmp_path):
    write_yolo(SCENES, tmp_path)
    opened, wanted = open_dataset(tmp_path).ground_truth(), SCENES.ground_truth()
    assert opened.images == wanted.images
    assert opened.image_index.tolist() == wanted.image_index.tolist()
    assert opened.labels.class_ids.tolist() == wanted.labels.class_ids.tolist()
    assert np.allclose(opened.labels.boxes_xywh_px, wanted.labels.boxes_xywh_px, rtol=0, atol=1e-6)


def test_a_written_data_set_can_be_written_again(tmp_path):
    """Writers take any data set, not only synthetic ones."""
    write_coco(SCENES, tmp_path / "a")
    write_coco(open_dataset(tmp_path / "a"), tmp_path / "b")
    name = "annotations/instances_val.json"
    assert json.loads((tmp_path / "a" / name).read_text()) == json.loads((tmp_path / "b" / name).read_text())


def test_pycocotools_reads_the_annotations(tmp_path):
    write_coco(SCENES, tmp_path, "train", keypoint_names=KEYPOINTS)
    coco = COCO(tmp_path / "annotations" / "instances_train.json")
    labels = SCENES.ground_truth().labels
    assert len(coco.anns) == len(labels)
    assert [coco.annToMask(ann).sum() for ann in coco.anns.values()] == labels.areas.tolist()
    assert coco.cats[0]["keypoints"] == list(KEYPOINTS)


@pytest.mark.parametrize("layout", WRITERS)
def test_a_folder_with_something_in_it_is_left_alone(layout, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(OptionError, match="not an empty folder"):
        WRITERS[layout](SCENES, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("layout", WRITERS)
def test_an_interrupted_write_leaves_nothing(layout, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        WRITERS[layout](SCENES, tmp_path / "scenes", report=explode)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", ["../val", "", "a/b", ".."])
@pytest.mark.parametrize("layout", WRITERS)
def test_a_split_is_a_plain_name(layout, split, tmp_path):
    with pytest.raises(DatasetError, match="split"):
        WRITERS[layout](SCENES, tmp_path / "scenes", split)
    assert list(tmp_path.iterdir()) == []
