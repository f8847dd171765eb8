"""What is forgotten, and what helps? Two detectors, two sequences of tasks, all methods, three seeds.

    python benchmarks/continual.py --out build/continual

Writes synthetic data once and runs ``anydet continual``: ``domains`` are shapes as they are, then noisy ones;
``parts`` are 11 of the 22 parts of bicycles, then the other 11. Models are small and learn from scratch, at
their own input size. Each training is kept in ``--out`` and not done again, so that an interrupted run goes
on; ``--detectors``, ``--sequences``, ``--methods`` and ``--seeds`` choose a part, and a later call with more
trains what is missing. Prints the tables; they and the charts are in ``--out/DETECTOR-SEQUENCE``.

``--coco DIR`` adds ``coco``: 40 of the 80 classes of a COCO-like data set, then the other 40. Published
figures of this protocol (SDDGR: 43.0 AP after 40 + 40, 40.9 after 70 + 10) are of all of COCO and of large
models.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

FASTER_RCNN: dict[str, Any] = {
    "weights": "none",
    "backbone": "resnet18_fpn",
    "norm": "group",
    "min_size": 128,
    "max_size": 128,
    "anchor_sizes": [8, 16, 32, 64, 128],
    "pyramid_channels": 96,
    "representation_size": 256,
    "rois_per_image": 64,
    "proposals": 100,
    "batch_size": 8,
    "lr": 6e-4,
}
RTDETR: dict[str, Any] = {
    "model": {
        "backbone": {"name": "cspdarknet_s", "norm": "bn", "args": {"width_mult": 0.5, "depth_mult": 0.34}},
        "projector": {"d_model": 96},
        "transformer": {
            "encoder_layers": 1,
            "decoder_layers": 2,
            "ffn_dim": 192,
            "attention_heads": 4,
            "expansion": 0.5,
        },
    },
    "image_size": 128,
    "num_queries": 40,
    "num_denoising": 60,
    "pose": False,
    "batch_size": 16,
    "lr": 1e-3,
}
DETECTORS = {"fasterrcnn_multitask": FASTER_RCNN, "rtdetr_pose": RTDETR}
BOTH = {"scheduler": "cosine", "hflip_prob": 0.5, "num_workers": 0, "log_every": 10}
REPLAYED = 60
"""Images that are kept of earlier tasks; DER++ keeps as many."""
METHODS: dict[str, dict[str, Any]] = {
    "none": {},
    "self_distill": {"later": {"self_distill_from": "{previous}", "self_distill_weight": 1.0}},
    "derpp": {"derpp": True, "derpp_size": REPLAYED},
    "ewc": {"ewc": True, "ewc_lambda": 100.0},
    "si": {"si": True, "si_c": 0.1},
    "replay": {"replay": REPLAYED, "replay_repeat": 4},
    "joint": {"joint": True},
}
SEQUENCES: dict[str, dict[str, Any]] = {
    "domains": {"tasks": {"clean": None, "noise": {"corruption": "gaussian_noise:5"}}},
    "parts": {"class_groups": [11, 11]},
    "coco": {"class_groups": [40, 40]},
}
SCENES = {"domains": ("shapes", "coco"), "parts": ("bikes", "delftbikes")}
STEPS = {"fasterrcnn_multitask": 150, "rtdetr_pose": 200}
"""Optimizer steps of a task; joint training has twice as many, as the tasks have together."""


def anydet(*words: object) -> None:
    """Run a command of the installed package."""
    print("$ anydet", *map(str, words), file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "anydet.cli", *map(str, words)], check=True)


def main() -> None:
    """Write the data that is missing, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/continual"))
    parser.add_argument("--detectors", nargs="+", default=[*DETECTORS], choices=[*DETECTORS])
    parser.add_argument("--sequences", nargs="+", default=[*SCENES], choices=[*SCENES])
    parser.add_argument("--methods", nargs="+", default=[*METHODS], choices=[*METHODS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=200, help="validation images")
    parser.add_argument("--train-images", type=int, default=800)
    parser.add_argument("--steps", type=int, help="optimizer steps of a task, in place of the detector's own")
    parser.add_argument("--coco", type=Path, help="COCO-like data set with 80 classes")
    parser.add_argument("--coco-split", help="its split to evaluate on, where it is none of the usual names")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for sequence in [*arguments.sequences, *(["coco"] if arguments.coco else [])]:
        data = arguments.coco if sequence == "coco" else scenes(sequence, arguments)
        for detector in arguments.detectors:
            measure(detector, sequence, data, arguments)


def scenes(sequence: str, arguments: argparse.Namespace) -> Path:
    """The synthetic data of a sequence, with the splits train and val."""
    folder: Path = arguments.out / "data" / sequence
    scene, kind = SCENES[sequence]
    for split, count, seed in (("train", arguments.train_images, 1), ("val", arguments.images, 2)):
        if not (folder / f"{split}.done").exists():
            size = ("--images", count, "--size", "128x128", "--seed", seed, "--split", split)
            anydet("synth", "--scene", scene, "--format", kind, "--out", folder / split, *size)
            (folder / f"{split}.done").touch()
    return folder


def measure(detector: str, sequence: str, data: Path, arguments: argparse.Namespace) -> None:
    """All methods on one sequence."""
    folder: Path = arguments.out / f"{detector}-{sequence}"
    folder.mkdir(exist_ok=True)
    steps = arguments.steps or STEPS[detector]
    methods = {name: METHODS[name] for name in METHODS if name in arguments.methods}
    if "joint" in methods:
        methods["joint"] = {"joint": True, "max_steps": 2 * steps}
    own = sequence != "coco"
    setting = {
        "adapter": detector,
        "device": arguments.device,
        "dataset": str(data / "train" if own else data),
        "split": "train" if own else None,
        "val_dataset": str(data / "val") if own else None,
        "val_split": "val" if own else arguments.coco_split,
        **SEQUENCES[sequence],
        "training": {**DETECTORS[detector], **BOTH, "max_steps": steps},
        "methods": methods,
        "seeds": arguments.seeds,
    }
    file = folder / "setting.yaml"
    file.write_text(yaml.safe_dump({k: v for k, v in setting.items() if v is not None}, sort_keys=False))
    print(f"{detector}, {sequence}", flush=True)
    anydet("continual", file, "--out", folder)


if __name__ == "__main__":
    main()
