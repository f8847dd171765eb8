"""Samples for training have the same poses whatever layout the scenes were written in."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from anydet import open_dataset
from anydet.geometry.cameras import translation_m
from anydet.geometry.pose_errors import project
from anydet.training.batches.samples import sample_of
from anydet.types import Intrinsics
from anydet_bop.posed_yolo import write_posed_yolo
from anydet_bop.scenes.dataset import PoseScenes
from anydet_bop.writing import write_bop

pytestmark = pytest.mark.slow


def recovered(seen):
    """(N, 3) translations from what a network learns to predict: box, offset, log depth; and the camera."""
    camera = Intrinsics(*seen.intrinsics.tolist())
    translations, boxes = seen.translations_m.numpy(), seen.boxes.double().numpy()
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    offsets = project(translations, camera) - centers
    return translation_m(centers, np.log(translations[:, 2]), camera, offsets)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The same scenes in memory, as BOP and as YOLO with sidecars."""
    root, scenes = tmp_path_factory.mktemp("scenes"), PoseScenes(3, seed=4, image_wh=(64, 48))
    write_bop(scenes, root / "bop", "train")
    write_posed_yolo(scenes, root / "yolo", "train")
    return {"memory": scenes, "bop": open_dataset(root / "bop"), "yolo": open_dataset(root / "yolo")}


@pytest.mark.parametrize("layout", ["bop", "yolo"])
def test_samples_have_the_poses_of_any_layout(layout, written):
    for record, wanted in zip(written[layout], written["memory"], strict=True):
        here, there = sample_of(record), sample_of(wanted)
        for name in ("image", "boxes", "class_ids", "rotations", "translations_m", "intrinsics"):
            torch.testing.assert_close(getattr(here, name), getattr(there, name), rtol=0, atol=1e-5)
        if layout == "bop":
            assert torch.equal(here.masks, there.masks)
        assert np.allclose(recovered(here), wanted.labels.poses.translations_m, rtol=0, atol=1e-6)
