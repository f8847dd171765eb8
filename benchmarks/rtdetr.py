#!/usr/bin/env python3
"""A training step and an inference of rtdetr_pose beside RT-DETRv2 of transformers, in one run.

    python benchmarks/rtdetr.py                       # ResNet-18, 3 decoder layers, 320 px, batches of 4
    python benchmarks/rtdetr.py --rounds 15 --size 640 --batch 2 --threads 1

All three have the backbone, encoder and decoder of the published config ``rtdetr_v2_r18vd`` with random
weights, and see the same pictures and objects. A training step is forward, losses, backward and AdamW;
``transformers`` brings its own matching and losses. Inference is forward and decoding to pixels and scores,
for us to predictions with poses. ``boxes`` is ours without pose heads, ``poses`` with depth, rotation, offset
and camera. Rounds alternate; the table says the median time of each and the median ratio of neighbors.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import RTDetrImageProcessor, RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

from anydet.training.batches.samples import sample_of
from anydet.types import AdapterSettings
from anydet_bop.scenes.dataset import PoseScenes
from anydet_rtdetr_pose.architecture import Architecture, Heads, Inputs
from anydet_rtdetr_pose.build import chosen_matcher
from anydet_rtdetr_pose.inputs import model_input
from anydet_rtdetr_pose.losses.criterion import Criterion
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.predictor import Predictor
from anydet_rtdetr_pose.symmetry import Symmetries
from anydet_rtdetr_pose.task import PoseTraining

PEER = "transformers"
Work = Callable[[], object]


def published_config(classes: int) -> RTDetrV2Config:
    """The smallest published RT-DETRv2."""
    backbone = RTDetrResNetConfig(
        embedding_size=64,
        hidden_sizes=[64, 128, 256, 512],
        depths=[2, 2, 2, 2],
        layer_type="basic",
        out_indices=[2, 3, 4],
    )
    return RTDetrV2Config(
        backbone_config=backbone,
        encoder_in_channels=[128, 256, 512],
        hidden_expansion=0.5,
        decoder_layers=3,
        freeze_backbone_batch_norms=False,
        num_labels=classes,
    )


def peer(scenes: PoseScenes, config: RTDetrV2Config) -> tuple[Work, Work]:
    """A training step and an inference as the documentation of ``transformers`` shows them."""
    model = RTDetrV2ForObjectDetection(config)
    task = training_task(scenes, config, Heads(pose=False, camera=False))
    batch = task.collate([task.item(sample_of(record)) for record in scenes])
    images, labels = model_input(batch.images), batch.targets.labels()
    processor = RTDetrImageProcessor()
    sizes = torch.tensor([list(images.shape[2:])] * len(images))

    def loss() -> torch.Tensor:
        return model(pixel_values=images, labels=labels).loss

    def infer() -> object:
        with torch.no_grad():
            return processor.post_process_object_detection(model(images), threshold=0.0, target_sizes=sizes)

    return stepping(model, loss), in_evaluation(model, infer)


def ours(scenes: PoseScenes, config: RTDetrV2Config, heads: Heads) -> tuple[Work, Work]:
    """The task's step, and the predictor's way from inputs to predictions."""
    task = training_task(scenes, config, heads)
    batch = task.collate([task.item(sample_of(record)) for record in scenes])
    settings = AdapterSettings(batch_size=len(scenes), max_detections=300)
    predictor = Predictor(task.model, settings)
    (prepared,) = predictor.batches(scenes, len(scenes))

    def infer() -> object:
        return predictor.predict_batch(prepared)

    return stepping(task.model, lambda: task.step(batch).loss), in_evaluation(task.model, infer)


def training_task(scenes: PoseScenes, config: RTDetrV2Config, heads: Heads) -> PoseTraining:
    """Of the same architecture."""
    architecture = Architecture(
        classes=scenes.classes.names,
        heads=heads,
        inputs=Inputs(size_wh=scenes.image_wh),
        published=config.to_dict(),
    )
    symmetries = Symmetries(scenes.ground_truth().objects, len(scenes.classes))
    model = PoseDetector(architecture)
    criterion = Criterion(chosen_matcher({}), symmetries)
    return PoseTraining(model, scenes.classes, criterion, Predictor(model, AdapterSettings()))


def stepping(model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Work:
    """A training step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step() -> None:
        model.train()
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def in_evaluation(model: torch.nn.Module, infer: Work) -> Work:
    """An inference in evaluation mode."""

    def work() -> object:
        model.eval()
        return infer()

    return work


def seconds(work: Work) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def race(contestants: dict[str, Work], rounds: int, title: str) -> None:
    """Let them take turns, and print."""
    for work in contestants.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            times[name].append(seconds(work))
    print(title)
    for name, values in times.items():
        ratios = [own / theirs for own, theirs in zip(values, times[PEER], strict=True)]
        spread = f"({min(ratios):.3f} to {max(ratios):.3f})"
        milliseconds, ratio = statistics.median(values) * 1e3, statistics.median(ratios)
        print(f"  {name:13}{milliseconds:8.1f} ms   {ratio:6.3f}  {spread}")


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, help="of torch; as many as there are cores by default")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    scenes = PoseScenes(arguments.batch, 0, (arguments.size, arguments.size))
    config = published_config(len(scenes.classes))
    works = {
        PEER: peer(scenes, config),
        "ours, boxes": ours(scenes, config, Heads(pose=False, camera=False)),
        "ours, poses": ours(scenes, config, Heads()),
    }
    race({name: work[0] for name, work in works.items()}, arguments.rounds, "training step")
    race({name: work[1] for name, work in works.items()}, arguments.rounds, "inference")


if __name__ == "__main__":
    main()
