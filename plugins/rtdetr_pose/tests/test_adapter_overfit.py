"""A small model overfits a few images: one that is wired wrongly does not."""

from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("torch")
from anydet.plugins.manager import Plugins
from anydet.training.config.settings import TrainSettings
from anydet.training.run import Run, RunPaths
from anydet.types import AdapterSettings
from anydet_bop.scenes.dataset import PoseScenes

SETTINGS = TrainSettings(
    num_workers=0,
    epochs=None,
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


def overfit(folder, count, max_steps):
    """Metrics of a model on the images that it was trained on."""
    from anydet_rtdetr_pose.adapter import RTDETRPose

    images = PoseScenes(count, 0, (96, 96))
    plugins = Plugins(only=["rtdetr_pose"])
    settings = msgspec.structs.replace(SETTINGS, max_steps=max_steps, batch_size=count)
    run = Run("rtdetr_pose", images, images, settings, RunPaths.of_folder(folder), OPTIONS, {}, plugins)
    return RTDETRPose(AdapterSettings(score_floor=0.001)).train(run).metrics


@pytest.mark.soak
def test_one_image_is_overfitted(tmp_path):
    metrics = overfit(tmp_path, 1, 100)
    assert metrics["AP50"] >= 0.9
    assert metrics["match_rate"] >= 0.9
    assert metrics["rotation_deg_median"] <= 10
    assert metrics["relative_depth_median"] <= 0.1


@pytest.mark.soak
def test_four_images_are_overfitted_boxes_and_poses(tmp_path):
    metrics = overfit(tmp_path, 4, 250)
    assert metrics["AP50"] >= 0.95
    assert metrics["match_rate"] >= 0.95
    assert metrics["rotation_deg_median"] <= 5
    assert metrics["relative_depth_median"] <= 0.03
