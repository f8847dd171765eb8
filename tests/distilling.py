"""A tiny model of an adapter learns the class logits of a second one; ``test_distillation`` runs it.

python tests/distilling.py FOLDER ADAPTER BATCH_SIZE EPOCHS [resume]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from core.tests.training.distillation import Distillation, Keep

from anydet.plugins.manager import Plugins
from anydet.plugins.scenes import build_scenes
from anydet.training.adapter import TorchAdapter
from anydet.training.engine import train
from anydet.training.hooks import LoopState, TrainingHook
from anydet.training.launch.preparation import prepare
from anydet.training.run import Run, RunPaths
from anydet.training.task import StepOutput, TrainingTask

KEYS: dict[str, dict[str, Any]] = {
    "fasterrcnn_multitask": {
        "weights": "none",
        "backbone": "resnet18_fpn",
        "min_size": 64,
        "max_size": 128,
        "pyramid_channels": 16,
        "representation_size": 32,
        # More than there are proposals, so that all of them are looked at, whatever the random numbers.
        "rois_per_image": 4096,
    },
    "rtdetr_pose": {
        "model": {
            "backbone": {"name": "tiny_cnn", "args": {"width_mult": 0.5}},
            "projector": {"d_model": 32},
            "transformer": {"decoder_layers": 2, "ffn_dim": 32, "attention_heads": 4, "expansion": 0.5},
        },
        "image_size": [96, 64],
        "num_queries": 12,
        "num_denoising": 8,
    },
}
"""Training keys of models that train in milliseconds."""
WEIGHTS = {"fasterrcnn_multitask": 30.0, "rtdetr_pose": 0.02}
"""Of the loss; the largest gradients are then of the order of 1, as single precision compares them."""


class Still(TrainingHook):
    """Statistics of a batch, which differ between parts of it and the whole, are not used."""

    def before_step(self, loop: LoopState) -> None:
        for name, module in loop.model.named_modules():
            # torchvision's stages give losses in training mode only.
            module.training = name in {"", "rpn", "roi_heads"} and hasattr(loop.model, "roi_heads")


def prepared(
    adapter: str, folder: Path, *, resume: bool = False, **keys: Any
) -> tuple[TorchAdapter[Any, Any], Run]:
    """An adapter with random weights, and a run of it on scenes that need no disk."""
    plugins = Plugins.from_env()
    scenes = {"fasterrcnn_multitask": "bikes", "rtdetr_pose": "pose"}[adapter]
    data, validation = (
        build_scenes(plugins, scenes, count=count, seed=seed, image_wh=(96, 72), split=split)
        for count, seed, split in ((8, 0, "train"), (1, 1, "val"))
    )
    usual = {"num_workers": 0, "device": "cpu", "val_every": 0, "restore_best": False, "scheduler": "none"}
    chosen = {**usual, **KEYS[adapter], **keys, "adapter": adapter, "run_dir": str(folder / "new")}
    ready = prepare(chosen, plugins=plugins, dataset=data, validation=validation, say=lambda _line: None)
    made = plugins.adapter(adapter, ready.adapter)
    assert isinstance(made, TorchAdapter)
    # Not by prepare: it goes on with runs that launch has written down, and these are trained by themselves.
    settings = msgspec.structs.replace(ready.run.settings, resume=resume)
    return made, replace(ready.run, settings=settings, paths=RunPaths.of_folder(folder))


def build_teacher(adapter: str, folder: Path) -> TrainingTask:
    """The task of a second model, whose weights are drawn from another seed."""
    made, run = prepared(adapter, folder)
    torch.manual_seed(7)
    return made.training_task(run)


def distill(folder: Path, adapter: str, **keys: Any) -> None:
    """Train on the divergence alone: losses of sampled anchors and of matched queries depend on the batch."""

    def build(run: Run) -> TrainingTask:
        task = made.training_task(run)
        step = task.step

        def silent(batch: Any) -> StepOutput:
            output = step(batch)
            return StepOutput(output.losses, 0.0 * output.loss, output.logits)

        task.step = silent  # type: ignore[method-assign]
        return task

    teacher = build_teacher(adapter, folder)
    made, run = prepared(adapter, folder, **keys)
    train(
        build,
        run,
        [Still(), Distillation(teacher, weight=WEIGHTS[adapter]), Keep(folder, teacher=teacher.model)],
    )


if __name__ == "__main__":
    where, name, batch_size, epochs, *rest = sys.argv[1:]
    distill(Path(where), name, batch_size=int(batch_size), epochs=int(epochs), resume="resume" in rest)
