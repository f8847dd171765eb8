"""A small model learns four images by heart: what is wired wrongly does not."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

from anydet.plugins.manager import Plugins
from anydet.training.config.settings import TrainSettings
from anydet.training.run import Run, RunPaths
from anydet.types import AdapterSettings
from anydet_bop.scenes.dataset import PoseScenes

SETTINGS = TrainSettings(
    batch_size=4,
    num_workers=0,
    epochs=None,
    max_steps=250,
    val_every=1000,
    device="cpu",
    lr=1e-3,
    weight_decay=0.0,
    scheduler="cosine",
    lr_warmup_steps=20,
    clip_grad_norm=0.1,
)
OPTIONS = {
    "model": {
        "backbone": {"name": "timm:resnet10t"},
        "projector": {"d_model": 64},
        "transformer": {"decoder_layers": 2, "ffn_dim": 128, "attention_heads": 4, "expansion": 0.5},
    },
    "image_size": 96,
    "num_queries": 20,
    "num_denoising": 20,
    "loss_rot": 2.0,
}


def test_four_images_are_learned_by_heart_boxes_and_poses(tmp_path):
    from anydet_rtdetr_pose.adapter import RTDETRPose

    images = PoseScenes(4, 0, (96, 96))
    plugins = Plugins(only=["rtdetr_pose"])
    run = Run("rtdetr_pose", images, images, SETTINGS, RunPaths.of_folder(tmp_path), OPTIONS, {}, plugins)
    metrics = RTDETRPose(AdapterSettings(score_floor=0.001)).train(images, run).metrics
    assert metrics["AP50"] >= 0.95
    assert metrics["match_rate"] >= 0.95
    assert metrics["rotation_deg_median"] <= 5
    assert metrics["relative_depth_median"] <= 0.03
