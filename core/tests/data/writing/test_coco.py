from __future__ import annotations

import json

import numpy as np
from pycocotools.coco import COCO

from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.scenes.shapes import KEYPOINTS
from anydet.data.writing.coco import write_coco

SCENES = SyntheticDataset(8, seed=5, image_wh=(96, 72))


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


def test_pycocotools_reads_the_annotations(tmp_path):
    write_coco(SCENES, tmp_path, "train", keypoint_names=KEYPOINTS)
    coco = COCO(tmp_path / "annotations" / "instances_train.json")
    labels = SCENES.ground_truth().labels
    assert len(coco.anns) == len(labels)
    assert [coco.annToMask(ann).sum() for ann in coco.anns.values()] == labels.areas.tolist()
    assert coco.cats[0]["keypoints"] == list(KEYPOINTS)


def test_a_written_data_set_can_be_written_again(tmp_path):
    """Writers take any data set, not only synthetic ones."""
    write_coco(SCENES, tmp_path / "a")
    write_coco(open_dataset(tmp_path / "a"), tmp_path / "b")
    name = "annotations/instances_val.json"
    assert json.loads((tmp_path / "a" / name).read_text()) == json.loads((tmp_path / "b" / name).read_text())


def test_an_area_that_the_source_does_not_state_is_none_of_the_copy_where_oks_would_need_it(tmp_path):
    write_coco(SCENES, tmp_path / "a", keypoint_names=KEYPOINTS)
    file = tmp_path / "a/annotations/instances_val.json"
    truth = json.loads(file.read_text())
    for annotation in truth["annotations"]:
        del annotation["area"]
    for annotation in truth["annotations"][:3]:
        del annotation["keypoints"]
    posed = [one["id"] for one in truth["annotations"][3:]]
    file.write_text(json.dumps(truth))
    write_coco(open_dataset(tmp_path / "a"), tmp_path / "b")
    copy = json.loads((tmp_path / "b/annotations/instances_val.json").read_text())["annotations"]
    assert [one["id"] for one in copy if "area" not in one] == posed
    # Others have what readers need, and what all of them compute.
    assert all(one["area"] == one["bbox"][2] * one["bbox"][3] for one in copy if "area" in one)
    stated = open_dataset(tmp_path / "b").ground_truth().labels.area_stated
    assert (~stated).sum() == len(posed)
