from __future__ import annotations

import numpy as np

from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.yolo import write_yolo

SCENES = SyntheticDataset(8, seed=5, image_wh=(96, 72))


def test_yolo_keeps_classes_and_boxes(tmp_path):
    write_yolo(SCENES, tmp_path)
    opened, wanted = open_dataset(tmp_path).ground_truth(), SCENES.ground_truth()
    assert opened.images == wanted.images
    assert opened.image_index.tolist() == wanted.image_index.tolist()
    assert opened.labels.class_ids.tolist() == wanted.labels.class_ids.tolist()
    assert np.allclose(opened.labels.boxes_xywh_px, wanted.labels.boxes_xywh_px, rtol=0, atol=1e-6)
