"""Does test-time training help? Two detectors of synthetic scenes, 15 corruptions, all methods.

    python benchmarks/ttt.py --out build/ttt

Trains ``fasterrcnn_multitask`` and ``rtdetr_pose`` on clean scenes of 128 pixels, the models' own input size
(a larger image would be resized, which averages noise away), collects statistics of the training data, and
runs ``anydet ttt-compare``: every method in stream mode with one seed; the three best and the model as it is
with three; the two best in sample mode on four corruptions. Each step is kept in ``--out`` and not done
again, so that an interrupted run goes on. Tables and charts are in ``--out/ADAPTER/*``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
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
    parser.add_argument("--adapters", nargs="+", default=["fasterrcnn_multitask", "rtdetr_pose"])
    parser.add_argument("--corruptions", nargs="+", default=["all"])
    parser.add_argument("--severities", nargs="+", type=int, default=[3, 5])
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", arguments.train_images, 1), ("val", arguments.images, 2)):
        if not (out / split).exists():
            words = (
                "--images",
                count,
                "--size",
                "128x128",
                "--seed",
                seed,
                "--format",
                "coco",
                "--split",
                split,
            )
            anydet("synth", "--out", out / split, *words)
    for config in (FASTER_RCNN, RTDETR):
        if config["adapter"] in arguments.adapters:
            measure(config, out, arguments)


def measure(config: dict[str, Any], out: Path, arguments: argparse.Namespace) -> None:
    """All comparisons of one adapter."""
    adapter = config["adapter"]
    folder = out / adapter
    run = train(config, out)
    statistics = folder / "source.npz"
    if not statistics.exists():
        anydet(
            "ttt-statistics",
            *("--adapter", adapter, "--checkpoint", run, "--dataset", out / "train", "--split", "train"),
            *("--max-images", 512, "--output", statistics),
        )
    methods = {
        name: {**keys, "statistics": str(statistics)} if name in OF_THE_SOURCE else keys
        for name, keys in METHODS.items()
    }
    shared = {
        "adapter": adapter,
        "checkpoint": str(run),
        "dataset": str(out / "val"),
        "split": "val",
        "max_images": arguments.images,
        "severities": arguments.severities,
    }
    wide = {**shared, "corruptions": arguments.corruptions, "seeds": [0], "methods": methods}
    best = ranked(compare(wide, folder / "stream"))
    deep = {**wide, "seeds": [0, 1, 2], "methods": {name: methods[name] for name in best[:3]}}
    compare(deep, folder / "stream")
    sampled = {name: {**methods[name], "reset": "sample"} for name in best[:2]}
    compare({**shared, "corruptions": SAMPLED, "seeds": [0], "methods": sampled}, folder / "sample")


def train(config: dict[str, Any], out: Path) -> Path:
    """The folder of a run that has ended well."""
    adapter = config["adapter"]
    run = out / adapter / "run"
    data = {
        "dataset": str(out / "train"),
        "split": "train",
        "val_dataset": str(out / "val"),
        "val_split": "val",
    }
    file = out / f"{adapter}.yaml"
    file.write_text(yaml.safe_dump({**config, **BOTH, **data}))
    done = run / "reports" / "val_metrics.jsonl"
    if not done.exists() or len(done.read_text().splitlines()) < config["epochs"]:
        again = ["--resume"] if run.exists() else []
        anydet("train", file, "--runs-dir", run.parent, "--run-id", run.name, *again)
    reached = max(json.loads(line)["AP50"] for line in done.read_text().splitlines())
    print(f"{adapter}: AP50 {reached:.3f} on clean images", flush=True)
    if reached < LEAST_AP50:
        raise SystemExit(f"{adapter}: AP50 {reached:.3f} is below {LEAST_AP50}; train longer")
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
