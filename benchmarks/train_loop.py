#!/usr/bin/env python3
"""Steps per second of the training engine beside a bare PyTorch loop, on the same model and data, in one run.

    python benchmarks/train_loop.py                    # a narrow Faster R-CNN, ResNet-18, 160 px, batch 2
    python benchmarks/train_loop.py --rounds 9 --steps 30 --workers 2

Rounds alternate: the engine, the bare loop, the engine, ... A rate is taken from the end of the third step of
a round to the end of its last one, so set-up and final checkpoint are in neither; the table says the median
of each and of the ratio of neighbors. The bare loop is what one would write: a DataLoader, forward,
backward, AdamW, and one look at the loss. The engine does beside it what it always does: gradient norm,
guards, learning rate, a line of metrics, a display.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from anydet.plugins.manager import Plugins
from anydet.training.batches.samples import sample_of
from anydet.training.config.settings import TrainSettings
from anydet.training.engine import train
from anydet.training.hooks import TrainingHook
from anydet.training.numerics.rng import seed_everything
from anydet.training.run import Run, RunPaths
from anydet.types import AdapterSettings
from anydet_delftbikes.scenes.dataset import SyntheticBikes

WARM_UP = 3
"""Steps before the clock starts."""


class Clock(TrainingHook):
    """The time at the end of each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def after_step(self, loop: object) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())


class Items(Dataset):
    """The task's items, as a bare loop has them."""

    def __init__(self, dataset, task) -> None:
        self.dataset, self.task = dataset, task

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int):
        return self.task.item(sample_of(self.dataset[index], self.task.label_kinds))


def make_run(folder: Path, arguments: argparse.Namespace) -> tuple[object, Run]:
    """An adapter and a run of it on bicycles."""
    plugins = Plugins.from_env()
    adapter = plugins.adapter("fasterrcnn_multitask", AdapterSettings())
    schema = plugins.spec("adapters", "fasterrcnn_multitask").training_schema
    from anydet.plugins.options import check_options, load_schema

    own = {
        "backbone": "resnet18_fpn",
        "weights": "none",
        "min_size": arguments.size,
        "max_size": 2 * arguments.size,
        "pyramid_channels": 64,
        "representation_size": 256,
        "rois_per_image": 128,
        "proposals": 300,
    }
    properties = load_schema(schema)
    keys = {k: v for k, v in properties["properties"].items() if k not in TrainSettings.__struct_fields__}
    options = check_options(own, {**properties, "properties": keys}, owner="fasterrcnn_multitask")
    settings = TrainSettings(
        batch_size=2,
        num_workers=arguments.workers,
        device=arguments.device,
        epochs=None,
        max_steps=arguments.steps,
        val_every=0,
        restore_best=False,
    )
    dataset = SyntheticBikes(2 * arguments.steps, seed=0, image_wh=(arguments.size * 4 // 3, arguments.size))
    run = Run("fasterrcnn_multitask", dataset, None, settings, RunPaths.of_folder(folder), options, {}, None)
    return adapter, run


def rate(times: list[float]) -> float:
    """Steps a second after warming up."""
    return (len(times) - WARM_UP) / (times[-1] - times[WARM_UP - 1])


def run_engine(arguments: argparse.Namespace) -> float:
    """The engine's rate."""
    with tempfile.TemporaryDirectory() as folder:
        adapter, run = make_run(Path(folder), arguments)
        clock = Clock()
        train(adapter.training_task, run, hooks=[clock])
    return rate(clock.times)


def run_bare(arguments: argparse.Namespace) -> float:
    """The bare loop's rate."""
    with tempfile.TemporaryDirectory() as folder:
        adapter, run = make_run(Path(folder), arguments)
        seed_everything(run.settings.seed)
        task = adapter.training_task(run)
    return rate(list(bare_loop(task, run)))


def bare_loop(task, run: Run) -> Iterator[float]:
    """What one would write; yields the time at the end of each step."""
    settings = run.settings
    device = torch.device(settings.device)
    model = task.model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    loader = DataLoader(
        Items(run.dataset, task),
        batch_size=settings.batch_size,
        shuffle=True,
        num_workers=settings.num_workers,
        collate_fn=task.collate,
        prefetch_factor=settings.prefetch_factor if settings.num_workers else None,
        pin_memory=device.type == "cuda",
    )
    for images, targets in loader:
        pixels = tuple(image.to(device, non_blocking=True) for image in images)
        known = tuple({k: v.to(device, non_blocking=True) for k, v in target.items()} for target in targets)
        loss = task.step((pixels, known)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not loss.isfinite():
            sys.exit("the bare loop's loss is not finite")
        yield time.perf_counter()


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch; as many as there are cores by default")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rates: dict[str, list[float]] = {"engine": [], "bare loop": []}
    for _ in range(arguments.rounds):
        rates["engine"].append(run_engine(arguments))
        rates["bare loop"].append(run_bare(arguments))
    ratios = [ours / theirs for ours, theirs in zip(*rates.values(), strict=True)]
    for name, values in rates.items():
        print(f"{name:10} {statistics.median(values):6.2f} steps/s  ({min(values):.2f} to {max(values):.2f})")
    print(f"{'ratio':10} {statistics.median(ratios):6.3f}          ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
