from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.class_masks import write_class_masks
from anydet.data.writing.conversion import convert_dataset
from anydet.data.writing.prepare import prepare_coco_yolo
from anydet.data.writing.yolo import write_yolo
from anydet.errors import DatasetError

SCENES = SyntheticDataset(8, seed=5, image_wh=(96, 72))


def test_yolo_keeps_classes_and_boxes(tmp_path):
    write_yolo(SCENES, tmp_path)
    opened, wanted = open_dataset(tmp_path).ground_truth(), SCENES.ground_truth()
    assert opened.images == wanted.images
    assert opened.image_index.tolist() == wanted.image_index.tolist()
    assert opened.labels.class_ids.tolist() == wanted.labels.class_ids.tolist()
    assert np.allclose(opened.labels.boxes_xywh_px, wanted.labels.boxes_xywh_px, rtol=0, atol=1e-6)


def coco(root: Path, names: list[str], boxes: list[list[float]], crowds: tuple[int, ...] = ()) -> Path:
    """Images of 64 x 48 pixels and boxes of the first one, as COCO is downloaded."""
    images = [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(names)]
    annotations: list[dict[str, Any]] = [
        {"id": i + 1, "image_id": 0, "category_id": 5, "bbox": box, "iscrowd": int(i in crowds)}
        for i, box in enumerate(boxes)
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 5, "name": "a"}]}
    for folder in ("annotations", "val2017"):
        (root / folder).mkdir(parents=True)
    (root / "annotations/instances_val2017.json").write_text(json.dumps(document))
    for name in names:
        Image.new("RGB", (64, 48)).save(root / "val2017" / name)
    return root


def test_two_images_with_one_label_file_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    root, out = coco(tmp_path / "coco", ["1.jpg", "2.jpg", "1.png"], [[1, 1, 9, 9]]), tmp_path / "out"
    named = r"images '1\.jpg' and '1\.png' would both have the file '1\.txt'"
    with pytest.raises(DatasetError, match=named):
        write_yolo(open_dataset(root), out, copy=True)
    with pytest.raises(DatasetError, match=named):
        convert_dataset(open_dataset(root), out, "yolo")
    with pytest.raises(DatasetError, match=named):
        prepare_coco_yolo(root, "val2017", out)
    assert not out.exists()
    assert convert_dataset(open_dataset(root), out, "coco") == {}


def test_two_images_with_one_mask_file_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    root, out = coco(tmp_path / "coco", ["a.jpg", "A.bmp"], []), tmp_path / "out"
    with pytest.raises(DatasetError, match=r"would both have the file 'a\.png'"):
        write_class_masks(open_dataset(root), out)
    assert not out.exists()


BOXES = [[0, 5, 0, 10], [70, 0, 9, 9], [-4, 40, 10, 20], [1, 1, 8, 8], [0, 0, 64.00001, 9], [2, 2, 9, 9]]


@pytest.mark.parametrize("command", ["prepare", "convert"])
def test_what_label_files_cannot_hold_is_left_out_or_clipped_and_counted(
    command: str, tmp_path: Path
) -> None:
    root, out = coco(tmp_path / "coco", ["1.jpg"], BOXES, crowds=(5,)), tmp_path / "out"
    if command == "prepare":
        lost = dict(prepare_coco_yolo(root, "val2017", out).lost)
    else:
        lost = convert_dataset(open_dataset(root), out, "yolo")
    counted = {"crowds": 1, "boxes without area": 1, "boxes outside of their image": 1}
    counted |= {"parts of boxes beyond the edge": 1}
    assert {name: count for name, count in lost.items() if name in counted} == counted
    rows = np.loadtxt(out / "labels/val2017/1.txt", ndmin=2)[:, 1:]
    left = np.concatenate([rows[:, :2] - rows[:, 2:] / 2, rows[:, 2:]], axis=1) * (64, 48, 64, 48)
    np.testing.assert_allclose(left, [[0, 40, 6, 8], [1, 1, 8, 8], [0, 0, 64.00001, 9]], atol=1e-5)
    if command == "convert":  # what it wrote, it reads
        assert len(open_dataset(out).ground_truth()) == 3
