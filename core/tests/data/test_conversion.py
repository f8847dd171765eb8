from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from anydet.cli import main
from anydet.data.dataset import open_dataset
from anydet.data.synthetic import SyntheticDataset
from anydet.data.writers import write_coco


def test_coco_to_yolo_and_back_keeps_images_and_boxes_and_lists_losses(tmp_path: Path) -> None:
    write_coco(SyntheticDataset(6, seed=3, image_wh=(64, 48)), tmp_path / "coco")
    arguments = ["convert", str(tmp_path / "coco"), str(tmp_path / "yolo"), "--to", "yolo", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    start = open_dataset(tmp_path / "coco").ground_truth().labels
    lost = json.loads(result.stdout)["lost"]
    kept = start.take(~start.iscrowd)
    assert start.segmentations is not None
    assert lost["masks"] == len(kept)
    assert "yolo cannot hold masks" in result.stderr
    back = CliRunner().invoke(
        main, ["convert", str(tmp_path / "yolo"), str(tmp_path / "back"), "--to", "coco"]
    )
    assert back.exit_code == 0, back.output
    end = open_dataset(tmp_path / "back").ground_truth().labels
    np.testing.assert_array_equal(end.class_ids, kept.class_ids)
    np.testing.assert_allclose(end.boxes_xywh_px, kept.boxes_xywh_px, atol=1e-6)
    for image in (tmp_path / "coco" / "images" / "val").iterdir():
        assert (tmp_path / "back" / "images" / "val" / image.name).read_bytes() == image.read_bytes()
