from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.data.writing.prepare import prepare_coco_yolo
from anydet.errors import DatasetError


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """COCO as it is downloaded: images in a folder of the split's name."""
    write_coco(SyntheticDataset(6, seed=3, image_wh=(64, 48)), tmp_path / "coco", "val2017")
    (tmp_path / "coco" / "images" / "val2017").rename(tmp_path / "coco" / "val2017")
    return tmp_path / "coco"


@pytest.mark.parametrize("copy_images", [False, True])
def test_what_was_written_opens_with_the_ground_truth_of_the_json(copy_images: bool, coco: Path) -> None:
    out = coco.parent / "out"
    done = prepare_coco_yolo(coco, "val2017", out, copy_images=copy_images)
    described = json.loads(done.dataset_json.read_bytes())
    assert all(Path(described[key]).is_absolute() for key in ("images_dir", "labels_dir", "annotations"))
    opened = open_dataset(out)
    truth = open_dataset(coco, "val2017").ground_truth()
    np.testing.assert_array_equal(opened.ground_truth().labels.boxes_xywh_px, truth.labels.boxes_xywh_px)
    assert opened.ground_truth().images == truth.images
    assert opened[0].image().shape == (48, 64, 3)
    images = list((coco / "val2017").iterdir())
    if copy_images:
        assert all((out / "images" / "val2017" / p.name).read_bytes() == p.read_bytes() for p in images)
    else:
        assert not (out / "images").exists()


def test_the_labels_alone_hold_the_same_boxes(coco: Path) -> None:
    out = coco.parent / "out"
    prepare_coco_yolo(coco, "val2017", out, copy_images=True)
    prepare_coco_yolo(coco, "val2017", out, copy_images=True)  # again, over what is there
    (out / "dataset.json").unlink()
    labels = open_dataset(out).ground_truth().labels
    truth = open_dataset(coco, "val2017").ground_truth().labels
    kept = truth.take(~truth.iscrowd)
    assert len(kept) > 0
    np.testing.assert_array_equal(labels.class_ids, kept.class_ids)
    np.testing.assert_allclose(labels.boxes_xywh_px, kept.boxes_xywh_px, atol=1e-6)


def test_real_annotations_become_labels_that_are_the_same(coco128: Path, tmp_path: Path) -> None:
    done = prepare_coco_yolo(coco128, "train2017", tmp_path / "out")
    assert (done.images, done.labels) == (128, 128)
    truth = open_dataset(coco128).ground_truth()
    assert len(truth) == 939
    np.testing.assert_array_equal(
        open_dataset(done.dataset_json).ground_truth().labels.boxes_xywh_px, truth.labels.boxes_xywh_px
    )
    described = json.loads(done.dataset_json.read_bytes())
    del described["annotations"]
    done.dataset_json.write_text(json.dumps(described))
    labels, kept = open_dataset(done.dataset_json).ground_truth(), truth.labels.take(~truth.labels.iscrowd)
    assert labels.images == truth.images
    assert len(labels) == 929
    np.testing.assert_array_equal(labels.labels.class_ids, kept.class_ids)
    np.testing.assert_allclose(labels.labels.boxes_xywh_px, kept.boxes_xywh_px, atol=1e-6)


def test_what_is_missing_is_named_and_nothing_half_written_stays(coco: Path) -> None:
    out = coco.parent / "out"
    with pytest.raises(DatasetError, match=r"no split .train2017. \(there are: val2017\)"):
        prepare_coco_yolo(coco, "train2017", out)
    next((coco / "val2017").iterdir()).unlink()
    with pytest.raises(DatasetError, match="cannot be copied"):
        prepare_coco_yolo(coco, "val2017", out, copy_images=True)
    assert list(out.iterdir()) == []


def test_folders_of_roboflow_are_prepared_as_coco_is(coco: Path) -> None:
    robo = coco.parent / "roboflow"
    for split in ("train", "valid"):
        shutil.copytree(coco / "val2017", robo / split)
        shutil.copy(coco / "annotations" / "instances_val2017.json", robo / split / "_annotations.coco.json")
    ours = prepare_coco_yolo(coco, "val2017", coco.parent / "a")
    done = prepare_coco_yolo(robo, "valid", coco.parent / "b", copy_images=True)
    assert (done.images, done.labels, done.lost) == (ours.images, ours.labels, ours.lost)
    for label in (coco.parent / "a" / "labels" / "val2017").iterdir():
        assert (coco.parent / "b" / "labels" / "valid" / label.name).read_bytes() == label.read_bytes()
    opened = open_dataset(done.dataset_json)
    assert (opened.split, opened[0].image().shape) == ("valid", (48, 64, 3))
    with pytest.raises(DatasetError, match=r"no split 'vali' \(there are: train, valid\); did you"):
        prepare_coco_yolo(robo, "vali", coco.parent / "c")
    with pytest.raises(DatasetError, match=r"instances_valid.json: no such file, and no COCO file"):
        prepare_coco_yolo(coco / "val2017", "valid", coco.parent / "c")
