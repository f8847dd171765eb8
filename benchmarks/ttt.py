"""Does test-time training help? Detectors of scenes and of photographs, 15 corruptions, all methods.

    python benchmarks/ttt.py --out build/ttt

Trains ``fasterrcnn_multitask`` and ``rtdetr_pose`` on clean scenes of 128 pixels, the models' own input size
(a larger image would be resized, which averages noise away), collects statistics of the training data, and
runs ``anydet ttt-compare``: every method in stream mode with one seed; the three best and the model as it is
with three; the two best in sample mode on four corruptions. ``groupnorm`` is a Faster R-CNN whose norms keep
no statistics; ``bccd`` an RT-DETR of photographs of blood cells. Each step is kept in ``--out`` and not done
again, so that an interrupted run goes on; ``--detectors``, ``--severities``, ``--corruptions`` choose a part.
Tables and charts are in ``--out/DETECTOR/*``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FASTER_RCNN: dict[str, Any] = {
    "adapter": "fasterrcnn_multitask",
    "weights": "none",
    "backbone": "resnet18_fpn",
    "norm": "batch",
    "min_size": 128,
    "max_size": 128,
    "anchor_sizes": [8, 16, 32, 64, 128],
    "pyramid_channels": 96,
    "representation_size": 256,
    "rois_per_image": 64,
    "proposals": 100,
    "batch_size": 8,
    "lr": 6e-4,
    "epochs": 3,
}
RTDETR: dict[str, Any] = {
    "adapter": "rtdetr_pose",
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
    "enable_mim": True,
    "pose": False,
    "batch_size": 16,
    "lr": 1e-3,
    "epochs": 8,
}
BOTH = {"scheduler": "cosine", "hflip_prob": 0.5, "num_workers": 0, "best_metric": "AP50", "val_every": 1}
METHODS = {
    "norm": {"preset": "norm_safe"},
    "tent": {"preset": "safe"},
    "mim": {"preset": "mim_safe"},
    "eata": {"preset": "eata_safe"},
    "sar": {"preset": "sar_safe"},
    "cotta": {"preset": "cotta_safe"},
    "align": {"preset": "align_safe"},
}
OF_THE_SOURCE = ("eata", "align")
SAMPLED = ["gaussian_noise", "fog", "contrast", "jpeg_compression"]
LEAST_AP50 = 0.8


@dataclass(frozen=True)
class Detector:
    """A model to train, and what is asked of it.

    Attributes:
        name: of its folder.
        config: of its training.
        photographs: it is of those of ``--photographs``, else of synthetic scenes.
        methods: that are compared.
        deep: with three seeds and in sample mode, too.
    """

    name: str
    config: dict[str, Any]
    photographs: bool = False
    methods: tuple[str, ...] = tuple(METHODS)
    deep: bool = True


DETECTORS = (
    Detector("fasterrcnn_multitask", FASTER_RCNN),
    Detector("rtdetr_pose", RTDETR),
    # Its norms have nothing to re-estimate, and the presets of norms select none of its parameters.
    Detector("groupnorm", {**FASTER_RCNN, "norm": "group"}, methods=("align",), deep=False),
    Detector(
        "bccd",
        {**RTDETR, "image_size": 192, "num_queries": 60, "batch_size": 8, "epochs": 40},
        photographs=True,
        deep=False,
    ),
)


def anydet(*words: object) -> None:
    """Run a command of the installed package."""
    line = [sys.executable, "-m", "anydet.cli", *map(str, words)]
    print("$ anydet", *map(str, words), file=sys.stderr, flush=True)
    subprocess.run(line, check=True)


def main() -> None:
    """Train what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/ttt"))
    parser.add_argument("--images", type=int, default=400, help="validation images")
    parser.add_argument("--train-images", type=int, default=1600)
    names = [detector.name for detector in DETECTORS]
    parser.add_argument("--detectors", nargs="+", default=names, choices=names)
    parser.add_argument("--corruptions", nargs="+", default=["all"])
    parser.add_argument("--severities", nargs="+", type=int, default=[3, 5])
    parser.add_argument(
        "--photographs", type=Path, help="data set with the splits train and val, such as BCCD"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", arguments.train_images, 1), ("val", arguments.images, 2)):
        folder = arguments.out / split
        if not folder.exists():
            size = ("--images", count, "--size", "128x128", "--seed", seed)
            anydet("synth", "--out", folder, *size, "--format", "coco", "--split", split)
    for detector in DETECTORS:
        if detector.name in arguments.detectors and (arguments.photographs or not detector.photographs):
            measure(detector, arguments)


def measure(detector: Detector, arguments: argparse.Namespace) -> None:
    """All comparisons of one detector."""
    adapter, folder = detector.config["adapter"], arguments.out / detector.name
    if detector.photographs:
        training = validation = arguments.photographs
    else:
        training, validation = arguments.out / "train", arguments.out / "val"
    run = train(detector, folder, training, validation)
    statistics = folder / "source.npz"
    if not statistics.exists():
        source = ("--dataset", training, "--split", "train", "--max-images", 512)
        anydet("ttt-statistics", "--adapter", adapter, "--checkpoint", run, *source, "--output", statistics)
    methods = {
        name: {**METHODS[name], "statistics": str(statistics)} if name in OF_THE_SOURCE else METHODS[name]
        for name in detector.methods
    }
    shared = {
        "adapter": adapter,
        "checkpoint": str(run),
        "dataset": str(validation),
        "split": "val",
        "max_images": arguments.images,
        "severities": arguments.severities,
    }
    wide = {**shared, "corruptions": arguments.corruptions, "seeds": [0], "methods": methods}
    best = ranked(compare(wide, folder / "stream"))
    if detector.deep:
        deep = {**wide, "seeds": [0, 1, 2], "methods": {name: methods[name] for name in best[:3]}}
        compare(deep, folder / "stream")
        sampled = {name: {**methods[name], "reset": "sample"} for name in best[:2]}
        compare({**shared, "corruptions": SAMPLED, "seeds": [0], "methods": sampled}, folder / "sample")


def train(detector: Detector, folder: Path, training: Path, validation: Path) -> Path:
    """The folder of a run that has ended well."""
    folder.mkdir(exist_ok=True)
    run, file = folder / "run", folder / "training.yaml"
    data = {"dataset": str(training), "split": "train", "val_dataset": str(validation), "val_split": "val"}
    file.write_text(yaml.safe_dump({**detector.config, **BOTH, **data}))
    done = run / "reports" / "val_metrics.jsonl"
    if not done.exists() or len(done.read_text().splitlines()) < detector.config["epochs"]:
        again = ["--resume"] if run.exists() else []
        anydet("train", file, "--runs-dir", run.parent, "--run-id", run.name, *again)
    reached = max(json.loads(line)["AP50"] for line in done.read_text().splitlines())
    print(f"{detector.name}: AP50 {reached:.3f} on clean images", flush=True)
    if reached < LEAST_AP50 and not detector.photographs:
        raise SystemExit(f"{detector.name}: AP50 {reached:.3f} is below {LEAST_AP50}; train longer")
    return run


def compare(setting: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What ``anydet ttt-compare`` gives."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "setting.yaml"
    file.write_text(yaml.safe_dump(setting))
    anydet("ttt-compare", file, "--out", folder)
    result: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return result


def ranked(result: dict[str, Any]) -> list[str]:
    """Names of methods, best mean over corrupted conditions first."""
    rows = result["tables"][0]["rows"]
    methods = [row for row in rows if row[0] != "none"]
    return [row[0] for row in sorted(methods, key=lambda row: -row[3])]


if __name__ == "__main__":
    main()
