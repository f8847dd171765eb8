#!/usr/bin/env python3
"""adaptivestream beside segmentation_models_pytorch's Unet: the same time, scenes, loss and engine.

    pip install segmentation-models-pytorch
    python benchmarks/segmentation.py                          # 5 minutes each, 128 px
    python benchmarks/segmentation.py --size 224 --picture masks.png
    python benchmarks/segmentation.py --dice-weight 1 --json

One model after the other is trained by anydet's engine on synthetic scenes in memory. All get the
same samples in the same order, cross-entropy of pixels and half of that of images, learning rate, warm-up and
cosine. Only the model differs, and with it the number of steps that the time allows; their pace is measured
before. Numbers are those of anydet's evaluators on scenes of another seed, after the last step. The peer has
a ResNet-18 encoder without weights of others, and a head of its own for the class of the image
(``aux_params``).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from segmentation_models_pytorch import Unet
from torch import nn

from anydet.data.dataset.in_memory import InMemory
from anydet.data.scenes.mask_scenes import CLASSES, SyntheticMasks
from anydet.geometry import masks
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.report.files import save_png
from anydet.report.lettering import caption
from anydet.report.palette import color_of
from anydet.report.sheet import contact_sheet
from anydet.training.config.resolve import resolve
from anydet.training.engine import train
from anydet.training.launch.pace import Pace, measure_pace
from anydet.training.run import Run, RunPaths
from anydet.types import AdapterSettings
from anydet_adaptivestream.loss import StableLoss
from anydet_adaptivestream.model import AdaptiveStream, Architecture
from anydet_adaptivestream.predictor import Predictor
from anydet_adaptivestream.task import AdaptiveStreamTraining

PLUGINS = Plugins(only=["adaptivestream"])
WARM_UP = 0.05
"""Share of the steps."""
PANEL_PX = 256
"""About the side of a panel of the picture; pixels of a scene are shown as squares."""
METRICS = ("mIoU", "Dice", "pixel_accuracy", "accuracy", "avg_val_loss")

MODELS: Mapping[str, Callable[[], nn.Module]] = {
    "plain": lambda: AdaptiveStream(Architecture(len(CLASSES), decoder="plain")),
    "skip": lambda: AdaptiveStream(Architecture(len(CLASSES), decoder="skip")),
    "unet": lambda: Unet(
        "resnet18", encoder_weights=None, classes=len(CLASSES), aux_params={"classes": len(CLASSES)}
    ),
}
"""Name -> a model with random weights that gives pixel logits and image logits."""


class Contest(AdaptiveStreamTraining):
    """The adapter's task for any of the models; masks and classes are measured, objects are not."""

    evaluators = ("semantic", "image-class")

    def description(self) -> dict[str, str]:
        """Which it is; nobody loads it again."""
        return {"model": type(self.model).__name__}


@dataclass(frozen=True)
class Trained:
    """What a model reached in its time."""

    parameters: int
    steps: int
    step_s: float
    seconds: float
    metrics: dict[str, float]


def train_one(name: str, arguments: argparse.Namespace, data: Sequence[InMemory]) -> tuple[Trained, Contest]:
    """Train a model for its time; gives the numbers, and the task that predicts."""
    made: list[Contest] = []

    def build(_run: Run) -> Contest:
        model: Any = MODELS[name]()
        predictor = Predictor(model, AdapterSettings(), classes=CLASSES, image_size=arguments.size)
        made.append(Contest(model, predictor, StableLoss(dice_weight=arguments.dice_weight)))
        return made[-1]

    with tempfile.TemporaryDirectory() as folder:
        run = run_of(arguments, data, Path(folder))
        pace = measure_pace(build, run, steps=10)
        steps = max(1, int(60 * arguments.minutes / pace))
        print(f"{name}: {1000 * pace:.0f} ms a step, so {steps} steps", file=sys.stderr)
        clock = Pace()
        result = train(build, with_steps(run, steps, arguments.minutes), [clock])
    task = made[-1]
    task.model.eval()
    return Trained(
        sum(parameter.numel() for parameter in task.model.parameters()),
        len(clock.seconds),
        statistics.median(clock.seconds),
        sum(clock.seconds),
        {key: result.metrics[key] for key in METRICS},
    ), task


def run_of(arguments: argparse.Namespace, data: Sequence[InMemory], folder: Path) -> Run:
    """The adapter's defaults, but for what a few minutes need; one validation, at the end."""
    keys = {
        "lr": arguments.lr,
        "batch_size": arguments.batch,
        "seed": arguments.seed,
        "device": arguments.device,
        "hflip_prob": 0.5,
        "lr_warmup_epochs": 0,
        "num_workers": 0,
        "val_every": 0,
        "restore_best": False,
    }
    schema = load_schema("anydet_adaptivestream:training.schema.json")
    resolved = resolve(keys, None, schema, adapter_name="adaptivestream")
    paths = RunPaths.of_folder(folder)
    return Run("adaptivestream", *data, resolved.settings, paths, resolved.options, plugins=PLUGINS)


def with_steps(run: Run, steps: int, minutes: float) -> Run:
    """The same run for so many steps, and no longer than its time."""
    warm_up = max(1, round(WARM_UP * steps))
    changed = {"max_steps": steps, "epochs": None, "max_minutes": minutes, "lr_warmup_steps": warm_up}
    return replace(run, settings=msgspec.structs.replace(run.settings, **changed))


def draw_masks(scene: Any, tasks: Mapping[str, Contest]) -> Any:
    """One scene, its true mask and that of each model, side by side."""
    panels = {"scene": scene.image(), "truth": paint(scene.class_map())}
    for name, task in tasks.items():
        (found,) = task.predict([scene])
        panels[name] = paint(masks.class_map(found.semantic_mask, scene.size_wh[::-1]))
    zoom = max(1, round(PANEL_PX / max(scene.size_wh)))
    zoomed = [np.repeat(np.repeat(panel, zoom, 0), zoom, 1) for panel in panels.values()]
    return contact_sheet([caption(*pair) for pair in zip(zoomed, panels, strict=True)], len(panels))


def paint(class_map: Any) -> Any:
    """(H, W, 3) colors of classes; the background is black."""
    colors = np.array([(0, 0, 0), *map(color_of, range(1, len(CLASSES)))], np.uint8)
    return colors[class_map]


def busiest(scenes: InMemory) -> Any:
    """The first of the scenes that show most classes."""
    return max(scenes, key=lambda scene: len(np.unique(scene.class_map())))


def print_table(found: Mapping[str, Trained]) -> None:
    """A row a model."""
    print(f"{'model':8} {'parameters':>11} {'steps':>6} {'ms/step':>8} {'seconds':>8}", *METRICS, sep="  ")
    for name, one in found.items():
        numbers = (f"{one.metrics[key]:{len(key)}.3f}" for key in METRICS)
        times = f"{one.steps:6} {1000 * one.step_s:8.0f} {one.seconds:8.1f}"
        print(f"{name:8} {one.parameters:11,} {times}", *numbers, sep="  ")


def main() -> None:
    """Train all, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, each")
    parser.add_argument("--size", type=int, choices=(64, 96, 128, 224), default=128)
    parser.add_argument("--images", type=int, default=1000, help="scenes to train on")
    parser.add_argument("--unseen", type=int, default=200, help="scenes to measure on")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--dice-weight", type=float, default=0.0, help="of a Dice loss, for all models")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--picture", type=Path, help="draw the masks of one unseen scene: PNG")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    size = (arguments.size, arguments.size)
    data = [
        InMemory.read(SyntheticMasks(arguments.images, arguments.seed, size, "train")),
        InMemory.read(SyntheticMasks(arguments.unseen, arguments.seed + 1, size, "val")),
    ]
    trained = {name: train_one(name, arguments, data) for name in arguments.models}
    found = {name: one for name, (one, _) in trained.items()}
    if arguments.picture:
        tasks = {name: task for name, (_, task) in trained.items()}
        save_png(draw_masks(busiest(data[1]), tasks), arguments.picture)
    if arguments.json:
        print(json.dumps({name: asdict(one) for name, one in found.items()}, indent=2))
    else:
        print_table(found)


if __name__ == "__main__":
    main()
