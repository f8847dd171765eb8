#!/usr/bin/env python3
"""Does the whole chain run? Train, export, predict and check sizes of ``rtdetr_pose``, in minutes on a CPU.

    python3 tools/run_yolo26_smoke_rtdetr_pose.py --buckets n,s,m,l,x

Fetches coco128 where it is missing; where that fails it says so and goes on with synthetic scenes. Of each
size: some training steps, ``model.onnx``, predictions with their meta. Then ``anydet eval-suite --dry-run``
holds all predictions to one protocol. It shows that the chain runs, not how good a model is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUCKETS = ("n", "s", "m", "l", "x")
PROTOCOL = """\
# What all sizes have in common.
image_size: {size}
max_images: {images}
score_threshold: 0.001
max_detections: 100
tta: false
"""


def main(words: list[str], buckets: str = ",".join(BUCKETS)) -> int:
    """Run the chain; the exit code is that of the first command that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--buckets", default=buckets, help=f"sizes, of {','.join(BUCKETS)} (%(default)s)")
    parser.add_argument("--dataset", type=Path, default=Path("data/coco128"), help="data set (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/yolo26_smoke"), help="folder (%(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="training steps of each (%(default)s)")
    parser.add_argument("--image-size", type=int, default=128, help="side of inputs in pixels (%(default)s)")
    parser.add_argument("--max-images", type=int, default=8, help="images to predict (%(default)s)")
    parser.add_argument("--device", default="cpu", help="(%(default)s)")
    arguments = parser.parse_args(words)
    chosen = [name.strip() for name in arguments.buckets.split(",")]
    unknown = [name for name in chosen if name not in BUCKETS]
    if unknown:
        parser.error(f"there is no size {', '.join(unknown)}: give some of {','.join(BUCKETS)}")
    there = [name for name in chosen if (arguments.out / name).exists()]
    if there:
        parser.error(f"{arguments.out / there[0]} is there already: remove it, or give another --out")
    try:
        dataset = find_data(arguments.dataset, arguments.out)
        for bucket in chosen:
            run_chain(bucket, dataset, arguments)
        check_together(dataset, arguments)
    except subprocess.CalledProcessError as exc:
        return exc.returncode
    print(f"{arguments.out}: trained, exported, predicted and checked: {', '.join(chosen)}")
    return 0


def find_data(dataset: Path, out: Path) -> Path:
    """The data set, fetched where it is coco128 and missing; else synthetic scenes, which is said."""
    if dataset.exists():
        return dataset
    if dataset == Path("data/coco128"):
        fetched = subprocess.run(["bash", str(ROOT / "tools/fetch_coco128.sh")], check=False)
        if fetched.returncode == 0:
            return dataset
    scenes = out / "scenes"
    print(f"warning: {dataset} is not there; going on with synthetic scenes in {scenes}", file=sys.stderr)
    if not scenes.exists():
        anydet("synth", "--out", scenes, "--images", 16, "--size", "128x128")
    return scenes


def run_chain(bucket: str, dataset: Path, arguments: argparse.Namespace) -> None:
    """Training, model file and predictions of one size."""
    folder: Path = arguments.out / bucket
    trainer = ROOT / "plugins/rtdetr_pose/tools/train_minimal.py"
    size, device = ("--image-size", arguments.image_size), ("--device", arguments.device)
    pace = ("--max-steps", arguments.steps, "--batch-size", 2, "--num-workers", 0, "--val-every", 0)
    python(
        *(trainer, "--dataset-root", dataset, "--config", bucket, "--run-dir", folder),
        *(*size, *device, *pace, "--parity-policy", "off"),
    )
    model = ("--adapter", "rtdetr_pose", "--checkpoint", folder)
    anydet("export-onnx", *model, "--output", folder / "model.onnx")
    predictions = arguments.out / "predictions" / f"{bucket}.json"
    few = ("--max-images", arguments.max_images)
    anydet(
        "export-predictions", *model, *device, "--dataset", dataset, *few, "--wrap", "--output", predictions
    )


def check_together(dataset: Path, arguments: argparse.Namespace) -> None:
    """Hold all predictions to one protocol, without evaluating them."""
    protocol: Path = arguments.out / "protocol.yaml"
    protocol.write_text(PROTOCOL.format(size=arguments.image_size, images=arguments.max_images))
    suite = ROOT / "tools/eval_suite.py"
    folder = arguments.out / "predictions"
    python(suite, folder, "--protocol", protocol, "--dataset", dataset, "--dry-run")


def anydet(*words: object) -> None:
    """Run a command of the installed package."""
    python("-m", "anydet.cli", *words)


def python(*words: object) -> None:
    """Run this Python; raises ``CalledProcessError`` where it fails."""
    line = [str(word) for word in words]
    print("$ python3", *line, file=sys.stderr, flush=True)
    subprocess.run([sys.executable, *line], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
