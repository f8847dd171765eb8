#!/usr/bin/env python3
"""Do exported models of the torch adapters predict on every runtime what they predict in torch?

    python benchmarks/runtime_parity.py --out build/runtime_parity

Trains small models on drawn scenes (``fasterrcnn_multitask`` with states, ``adaptivestream`` with both
decoders, ``rtdetr_pose`` with poses, camera and uncertainties, and with keypoints), exports each by
``anydet export-onnx``, and runs ``anydet parity`` of the adapter against its file on each runtime: every
detection, state, keypoint, pose, mask and image class, and the difference of AP with its interval. What has
been trained is kept in ``--out`` and not done again. TensorRT-RTX builds an engine of each file; it predicts
only where there is a GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SIDE = 96
MODEL = {
    "backbone": {"name": "cspdarknet_s", "norm": "bn", "args": {"width_mult": 0.5, "depth_mult": 0.34}},
    "projector": {"d_model": 96},
    "transformer": {
        "encoder_layers": 1,
        "decoder_layers": 2,
        "ffn_dim": 192,
        "attention_heads": 4,
        "expansion": 0.5,
    },
}
"""The key ``model`` of rtdetr_pose."""
QUERIES = {
    "model": MODEL,
    "image_size": SIDE,
    "num_queries": 40,
    "num_denoising": 60,
    "batch_size": 16,
    "lr": 1e-3,
    "hflip_prob": 0.0,
}
STREAM = {"image_size": 64, "lr": 2e-3, "lr_warmup_epochs": 1, "epochs": 4}


@dataclass(frozen=True)
class Subject:
    """One model.

    Attributes:
        name: of its row.
        adapter: that trains and predicts it.
        scene: of ``anydet synth``, and the format that keeps its labels.
        images: of the training.
        keys: of the training.
        iou_type: geometry of the difference of AP.
    """

    name: str
    adapter: str
    scene: tuple[str, ...]
    images: int
    keys: dict[str, Any] = field(default_factory=dict)
    iou_type: str = "bbox"


SUBJECTS = (
    Subject(
        "fasterrcnn_multitask, states",
        "fasterrcnn_multitask",
        ("bikes", "delftbikes"),
        240,
        {
            "weights": "none",
            "backbone": "resnet18_fpn",
            "norm": "batch",
            "min_size": SIDE,
            "max_size": 128,
            "anchor_sizes": [8, 16, 32, 64, 128],
            "pyramid_channels": 48,
            "representation_size": 128,
            "rois_per_image": 32,
            "proposals": 60,
            "batch_size": 8,
            "lr": 6e-4,
            "epochs": 4,
            "best_metric": "val_loss",
        },
    ),
    Subject(
        "adaptivestream, plain decoder",
        "adaptivestream",
        ("segmentation", "class-masks"),
        160,
        {**STREAM, "decoder": "plain"},
        "segm",
    ),
    Subject(
        "adaptivestream, skip decoder",
        "adaptivestream",
        ("segmentation", "class-masks"),
        160,
        {**STREAM, "decoder": "skip"},
        "segm",
    ),
    Subject(
        "rtdetr_pose, poses",
        "rtdetr_pose",
        ("pose", "bop"),
        320,
        {**QUERIES, "task_aligner": "uncertainty", "epochs": 10},
    ),
    Subject(
        "rtdetr_pose, keypoints",
        "rtdetr_pose",
        ("shapes", "coco"),
        320,
        {**QUERIES, "pose": False, "keypoints": True, "epochs": 8},
        "keypoints",
    ),
)


def anydet(*words: object, checked: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of the installed package."""
    print("$ anydet", *map(str, words), file=sys.stderr, flush=True)
    line = [sys.executable, "-m", "anydet.cli", *map(str, words)]
    return subprocess.run(line, check=checked, stdout=subprocess.PIPE, text=True)


def data_of(subject: Subject, out: Path, images: int) -> Path:
    """Scenes of a model: ``train`` for it, ``val`` for the comparison, of other sizes than its input."""
    scene, kind = subject.scene
    folder = out / "data" / scene
    for split, count, seed, size in (
        ("train", subject.images, 1, f"{SIDE}x{SIDE}"),
        ("val", images, 2, "150x120"),
    ):
        if not (folder / split).exists():
            words = ("--images", count, "--size", size, "--seed", seed, "--format", kind, "--split", split)
            anydet("synth", "--scene", scene, "--out", folder / split, *words)
    return folder


def trained(subject: Subject, out: Path, data: Path) -> Path:
    """The folder of a run that has ended well."""
    run = out / "runs" / subject.name.replace(", ", "-").replace(" ", "-")
    done = run / "reports" / "run_record.json"
    file = out / f"{run.name}.yaml"
    usual = {"scheduler": "cosine", "num_workers": 0, "val_every": 0, "parity_policy": "off"}
    datasets = {"dataset": str(data / "train"), "split": "train"}
    file.write_text(yaml.safe_dump({"adapter": subject.adapter, **usual, **subject.keys, **datasets}))
    if not done.exists():
        again = ["--resume"] if run.exists() else []
        anydet("train", file, "--runs-dir", run.parent, "--run-id", run.name, *again)
    return run


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build/runtime_parity"))
    parser.add_argument("--images", type=int, default=60, help="images that are compared")
    parser.add_argument("--only", default="", help="models with this in their name")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    for subject in SUBJECTS:
        if arguments.only in subject.name:
            print(trained(subject, out, data_of(subject, out, arguments.images)))


if __name__ == "__main__":
    main()
