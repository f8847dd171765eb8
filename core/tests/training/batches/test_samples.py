"""Records become samples with the labels that are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import torch

from anydet.data.dataset.columns import boxes_only
from anydet.data.record.class_mask import ClassMaskFile
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.record.transforms import HorizontalFlip
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.training.batches.samples import LABEL_KINDS, sample_of, usable_rows
from anydet.types import RLE, Intrinsics, Poses

SCENES = SyntheticDataset(4, image_wh=(64, 48))


@pytest.fixture(scope="module")
def scene():
    return next(record for record in SCENES if len(record.labels) > 1)


def record_of(labels, size_wh=(8, 6), **known):
    image = np.arange(size_wh[0] * size_wh[1] * 3, dtype=np.uint8).reshape(size_wh[1], size_wh[0], 3)
    return Record("a.png", ImageArray(image), stated_wh=size_wh, labels=labels, **known)


def boxes(*xywh, **optional):
    return boxes_only(np.arange(len(xywh)), np.array(xywh, np.float64).reshape(-1, 4), **optional)


def test_a_sample_has_the_labels_of_its_record(scene):
    sample = sample_of(scene)
    labels = scene.labels
    assert (sample.key, sample.size_wh, len(sample)) == (scene.key, (64, 48), len(labels))
    assert np.array_equal(sample.image.permute(1, 2, 0), scene.image())
    np.testing.assert_allclose(sample.boxes[:, 2:] - sample.boxes[:, :2], labels.boxes_xywh_px[:, 2:])
    assert sample.class_ids.tolist() == labels.class_ids.tolist()
    assert np.array_equal(sample.masks, [masks.decode(rle) for rle in labels.segmentations])
    np.testing.assert_allclose(sample.keypoints, labels.keypoints, rtol=1e-6)
    dtypes = [sample.image, sample.boxes, sample.class_ids, sample.iscrowd, sample.masks, sample.keypoints]
    expected = [torch.uint8, torch.float32, torch.int64, torch.bool, torch.bool, torch.float32]
    assert [tensor.dtype for tensor in dtypes] == expected


def test_what_is_not_requested_is_not_decoded(scene, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("decoded for nothing")

    monkeypatch.setattr("anydet.training.batches.samples.decode", refuse)
    monkeypatch.setattr("anydet.data.record.class_mask.read_class_map", refuse)
    sample = sample_of(
        replace(scene, class_mask=ClassMaskFile(Path("classes.png"))), LABEL_KINDS - {"masks", "semantic"}
    )
    assert sample.masks is None
    assert sample.semantic is None
    assert sample.keypoints is not None
    assert sample_of(scene, ()).keypoints is None
    with pytest.raises(AssertionError, match="for nothing"):
        sample_of(scene)


def test_objects_without_a_real_box_are_left_out_and_can_be_counted():
    labels = boxes((1, 1, 0, 3), (1, 1, 2, 3), (np.nan, 1, 2, 3), (1, 1, 2, -1), (1, np.inf, 1, 1),
                   states=np.arange(5))  # fmt: skip
    sample = sample_of(record_of(labels))
    assert sample.class_ids.tolist() == sample.states.tolist() == [1]
    assert sample.boxes.tolist() == [[1, 1, 3, 4]]
    assert (~usable_rows(labels)).sum() == 4


def test_polygons_become_masks_and_objects_without_any_get_empty_ones():
    square = ((1.0, 1.0, 5.0, 1.0, 5.0, 4.0, 1.0, 4.0),)
    labels = boxes((1, 1, 4, 3), (0, 0, 2, 2), segmentations=(square, None))
    shown = sample_of(record_of(labels)).masks
    assert shown[0].sum() == 12
    assert shown[0, 1:4, 1:5].all()
    assert not shown[1].any()


def test_a_mask_of_another_size_is_an_error_that_names_the_image():
    rle = masks.encode(np.ones((5, 5), np.bool_))
    assert isinstance(rle, RLE)
    with pytest.raises(DatasetError, match=r"a\.png: object 0: its mask is 5 x 5 .* 8 x 6"):
        sample_of(record_of(boxes((0, 0, 2, 2), segmentations=(rle,))))


def test_points_that_nobody_knows_are_unlabeled():
    keypoints = np.array([[[1.0, 2.0, 2.0]], [[np.nan] * 3]])
    sample = sample_of(record_of(boxes((0, 0, 2, 2), (1, 1, 2, 2), keypoints=keypoints)))
    assert sample.keypoints.tolist() == [[[1, 2, 2]], [[0, 0, 0]]]


def test_poses_are_resolved_by_the_camera():
    camera = Intrinsics(10.0, 10.0, 4.0, 3.0)
    poses = Poses(rot6d=np.array([[1.0, 0, 0, 0, 1, 0]]), log_z=np.array([np.log(2.0)]))
    record = record_of(boxes((5, 3, 2, 2), poses=poses), camera=camera)
    sample = sample_of(record)
    torch.testing.assert_close(sample.rotations[0], torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(sample.translations_m[0], torch.tensor([0.4, 0.2, 2.0], dtype=torch.float64))
    assert sample.intrinsics.tolist() == [10, 10, 4, 3]
    assert sample_of(record, LABEL_KINDS - {"poses"}).rotations is None
    assert sample_of(replace(record, camera=None)).translations_m.isnan().all()


def test_class_masks_and_the_class_of_the_image_are_read(tmp_path):
    path = tmp_path / "classes.png"
    Image.fromarray(np.array([[0, 3, 255, 1]] * 2, np.uint8)).save(path)
    extra = {"classification": {"class_id": 5}}
    sample = sample_of(record_of(None, (4, 2), class_mask=ClassMaskFile(path), extra=extra))
    assert sample.semantic.tolist() == [[0, 3, 255, 1]] * 2
    assert (sample.semantic.dtype, sample.label, len(sample)) == (torch.int64, 5, 0)
    with pytest.raises(DatasetError, match=r"a\.png: its class mask is 4 x 2 pixels, the image 8 x 6"):
        sample_of(record_of(None, class_mask=ClassMaskFile(path)))


def test_a_derived_record_gives_its_pixels_and_camera_alone(tmp_path):
    labels = boxes((0, 0, 2, 2))
    record = record_of(
        labels, camera=Intrinsics(10, 10, 1, 3), class_mask=ClassMaskFile(tmp_path / "none.png")
    )
    sample = sample_of(record.derive(HorizontalFlip()))
    assert (len(sample), sample.semantic, sample.label) == (0, None, -1)
    assert sample.intrinsics.tolist() == [10, 10, 7, 3]
    assert np.array_equal(sample.image.permute(1, 2, 0), record.image()[:, ::-1])
