"""A grid detector with all kinds of layers that LoRA can be put into, and runs that start from a checkpoint.

A module, not fixtures: processes that tests start import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from core.tests.training.grid import CELLS, Grid, GridAdapter, GridTask, tiny_run
from torch import Tensor, nn

from anydet.training.first_weights import Names, start_from
from anydet.training.model import NamedRows
from anydet.training.run import Run
from anydet.types import AdapterSettings

WIDTH = 8
ADAPTED = {
    "lift.weight",
    "mix.self_attn.in_proj_weight",
    "mix.self_attn.out_proj.weight",
    "mix.linear1.weight",
    "mix.linear2.weight",
    "head.weight",
}
"""Weights that ``all_linear_conv1x1`` means."""


class Attentive(Grid):
    """A grid whose cells look at each other: a 1 x 1 convolution, attention, linear layers, and a norm."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, norm=True)
        self.lift = nn.Conv2d(WIDTH, WIDTH, 1)
        self.mix = nn.TransformerEncoderLayer(WIDTH, 2, 2 * WIDTH, dropout=0.0, batch_first=True)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.lift(self.backbone(images)).flatten(2).transpose(1, 2)
        cells = self.mix(tokens).transpose(1, 2).unflatten(2, (CELLS, CELLS))
        found = self.head(cells).flatten(2).transpose(1, 2)
        return found[..., : self.classes], found[..., self.classes :].sigmoid()

    def module_names(self) -> dict[str, list[str]]:
        return {"backbone": ["backbone"], "neck": ["lift", "mix"], "head": ["head"]}

    def named_rows(self) -> dict[str, NamedRows]:
        return dict.fromkeys(("head.weight", "head.bias"), NamedRows(after=4))


class AttentiveTask(GridTask):
    """Trains it."""

    def __init__(self, classes: Any, options: Mapping[str, Any]) -> None:
        super().__init__(classes, {})
        self.model = Attentive(len(classes))


class AttentiveAdapter(GridAdapter):
    """Begins with the weights of its checkpoint."""

    def build_model(self) -> Attentive:
        return Attentive(len(self.classes))

    def build_task(self, run: Run) -> AttentiveTask:
        self.task = AttentiveTask(run.classes, {})
        if self.saved is not None and not run.settings.resume:
            theirs, ours = Names(self.saved.classes), Names(run.classes.names)
            self.task.first_weights = start_from(
                self.task.model, self.saved.model, source=self.saved.source, theirs=theirs, ours=ours
            )
        return self.task


def base_run(folder: Path) -> Path:
    """Train a base, without LoRA; gives its checkpoint."""
    run = tiny_run(folder, epochs=1)
    AttentiveAdapter(AdapterSettings()).train(run)
    return run.paths.best


def lora_run(folder: Path, base: Path | None, **keys: Any) -> tuple[AttentiveAdapter, Run]:
    """Train LoRA on a base; ``keys`` are those of the engine, and ``dataset``."""
    usual = {"epochs": 1, "images": 8, "lora_r": 2, "lora_target": "all_linear_conv1x1"}
    dataset = keys.pop("dataset", None)
    run = tiny_run(folder, **{**usual, "checkpoint": str(base) if base else None, **keys})
    if dataset is not None:
        run = replace(run, dataset=dataset, validation=None)
    adapter = AttentiveAdapter(AdapterSettings(checkpoint=str(base) if base else None))
    adapter.train(run)
    return adapter, run


def outputs(model: nn.Module, seed: int = 0) -> Tensor:
    """What the model gives for two images, in evaluation mode."""
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    model.eval()
    with torch.no_grad():
        return torch.cat(model(images), dim=-1)
