"""A small RT-DETR overfits a few images of shapes: one that is wired wrongly does not."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("transformers")

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.plugins.manager import Plugins
from anydet.training.config.settings import TrainSettings
from anydet.training.run import Run, RunPaths
from anydet.types import AdapterSettings
from anydet_transformers.adapter import Transformers
from anydet_transformers.untrained import tiny_values

SIDE = 96


@pytest.mark.soak
def test_eight_images_of_shapes_are_overfitted_from_scratch(tmp_path):
    config = {
        **tiny_values()["rt_detr"]["config"],
        "model_type": "rt_detr",
        "freeze_backbone_batch_norms": False,
        "backbone_config": {
            **tiny_values()["rt_detr"]["config"]["backbone_config"],
            "embedding_size": 16,
            "hidden_sizes": [16, 32, 64, 64],
        },
        "encoder_in_channels": [32, 64, 64],
        "encoder_hidden_dim": 64,
        "encoder_ffn_dim": 128,
        "d_model": 64,
        "decoder_in_channels": [64, 64, 64],
        "decoder_ffn_dim": 128,
        "decoder_attention_heads": 4,
        "encoder_attention_heads": 4,
        "decoder_n_points": 4,
        "num_queries": 30,
        "num_denoising": 20,
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    images = SyntheticDataset(8, 1, (SIDE, SIDE))
    run = Run(
        adapter="transformers",
        dataset=images,
        validation=images,
        settings=TrainSettings(
            batch_size=8,
            num_workers=0,
            epochs=None,
            max_steps=350,
            val_every=1000,
            device="cpu",
            lr=1e-3,
            scheduler="cosine",
            lr_warmup_steps=20,
            clip_grad_norm=0.1,
        ),
        paths=RunPaths.of_folder(tmp_path / "run"),
        options={"model": str(file), "image_size": SIDE},
        plugins=Plugins(only=["transformers"]),
    )
    metrics = Transformers(AdapterSettings(batch_size=8, score_floor=0.001)).train(run).metrics
    assert metrics["AP50"] > 0.5
