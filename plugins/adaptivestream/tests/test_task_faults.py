"""Faults are put into data, weights, losses and the recipe; run with -s, each prints its row of a table.

Whatever is wrong, a run ends with finite weights, in checkpoint and live model, and names the fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.errors import AnydetError
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet_adaptivestream.task import AdaptiveStreamTraining

SPOILT = "000003.png"
"""Shown in the second step of each epoch, after a first checkpoint."""


@dataclass(frozen=True)
class Mask:
    """A class mask that is wrong."""

    classes: Any

    def read(self):
        return self.classes


class Altered(SyntheticMasks):
    """Scenes whose last record is what ``change`` makes of it."""

    def __getitem__(self, index):
        record = super().__getitem__(index)
        return self.change(record) if record.key == SPOILT else record


def altered(change):
    return type("Changed", (Altered,), {"change": staticmethod(change)})(4, 0, (64, 64), "train")


def spoil_item(value):
    """Pixels of one image reach the model as this value."""

    def spoil(patch):
        item = AdaptiveStreamTraining.item

        def spoilt(self, sample):
            made = item(self, sample)
            return made if sample.key != SPOILT else made | {"images": torch.full_like(made["images"], value)}

        patch.setattr(AdaptiveStreamTraining, "item", spoilt)

    return spoil


def poison_weight(patch):
    """NaN gets into a weight after the second step."""
    step, calls = AdaptiveStreamTraining.step, []

    def poisoned(self, batch):
        calls.append(batch)
        if len(calls) == 3:
            self.model.decoder[6].weight.data[0, 0, 0, 0] = float("nan")
        return step(self, batch)

    patch.setattr(AdaptiveStreamTraining, "step", poisoned)


def scale_loss(patch):
    """From the second step on the loss counts 1e30 times."""
    step, calls = AdaptiveStreamTraining.step, []

    def scaled(self, batch):
        calls.append(batch)
        output = step(self, batch)
        return replace(output, total=output.loss * 1e30) if len(calls) > 1 else output

    patch.setattr(AdaptiveStreamTraining, "step", scaled)


def overflow(patch):
    """The loss is larger than the scale of fp16, as it is at first here, lets it be."""
    step = AdaptiveStreamTraining.step

    def scaled(self, batch):
        output = step(self, batch)
        return replace(output, total=output.loss * 16)

    patch.setattr(AdaptiveStreamTraining, "step", scaled)


def nothing(_patch):
    """No fault but the keys'."""


@dataclass(frozen=True)
class Fault:
    name: str
    message: str
    """What the report must say."""
    spoil: Callable[[Any], None] = nothing
    change: Callable[[Any], Any] = lambda record: record
    """What becomes of the record that is spoilt."""
    keys: dict[str, Any] = field(default_factory=dict)
    fp16: bool = False
    """Whether losses are scaled as with fp16."""


def labeled(class_id):
    return lambda record: replace(record, extra={"classification": {"class_id": class_id}})


def masked(classes):
    return lambda record: replace(record, class_mask=Mask(np.asarray(classes, np.int64)))


NOT_FINITE = rf"images of the input is not finite; images: .*{SPOILT}"
FAULTS = [
    Fault("NaN pixels", NOT_FINITE, spoil_item(float("nan"))),
    Fault("infinite pixels", NOT_FINITE, spoil_item(float("inf"))),
    Fault("pixels of 1e38", rf"not finite.*{SPOILT}", spoil_item(1e38)),
    Fault("class of an image out of range", rf"{SPOILT}: its class is 9, the 5 classes", change=labeled(9)),
    Fault(
        "mask values out of range",
        rf"{SPOILT}: its class mask has 77",
        change=masked(np.full((64, 64), 77)),
    ),
    Fault("mask of 0 x 0 pixels", rf"{SPOILT}.*mask is 0 x 0", change=masked(np.zeros((0, 0)))),
    Fault("poisoned weight", r"weights of decoder\.6\.weight are not finite", poison_weight),
    Fault(
        "loss scale of 1e30", r"the norm itself, as the gradient of \S+ reaches \S+e\+(29|30|31)", scale_loss
    ),
    Fault(
        "fp16 overflow",
        "fp16 overflowed; the loss scale was lowered",
        overflow,
        keys={"epochs": 6, "max_grad_norm": 0.0},
        fp16=True,
    ),
    Fault(
        "learning rate of 10",
        r"the gradient was 0 in all 2 steps.*\d+ clamped_logits",
        keys={"lr": 10.0, "lr_warmup_epochs": 0, "epochs": 6},
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_run_ends_with_finite_weights_and_names_the_fault(
    fault, tmp_path, monkeypatch, scale_as_fp16, plugins, small_run
):
    fault.spoil(monkeypatch)
    if fault.fp16:
        scale_as_fp16()
    keys = {"epochs": 2, "shuffle": False, "save_every": 1, "val_every": 0} | fault.keys
    run = replace(small_run(tmp_path, altered(fault.change), **keys), validation=None)
    with plugins.adapter("adaptivestream", plugins.settings("adaptivestream")) as adapter:
        try:
            adapter.train(run)
            end = "ran to its end"
        except AnydetError as exc:
            end = exc.problem
        live = adapter.get_model().state_dict()
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    lines = [json.loads(line) for line in run.paths.train_metrics.read_text().splitlines()]
    reported = "; ".join([end, *(line.get("skipped") or line.get("overflow") or "" for line in lines)])
    assert all(torch.isfinite(value).all() for state in (live, saved.model) for value in state.values())
    assert saved.step >= 1
    found = re.search(fault.message, reported)
    print(f"\n| {fault.name} | {end.replace(str(tmp_path), 'RUN')} | {found and found.group()} |")  # noqa: T201 - the table
    assert found, reported


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_fp16_overflows_lower_the_scale_and_training_goes_on(tmp_path, monkeypatch, plugins, small_run):
    step = AdaptiveStreamTraining.step

    def scaled(self, batch):
        output = step(self, batch)
        return replace(output, total=output.loss * 1e4)

    monkeypatch.setattr(AdaptiveStreamTraining, "step", scaled)
    run = small_run(tmp_path, device="cuda", amp="fp16", epochs=12, max_grad_norm=0.0, val_every=0)
    with plugins.adapter("adaptivestream", plugins.settings("adaptivestream")) as adapter:
        adapter.train(run)
        live = adapter.get_model().state_dict()
    lines = [json.loads(line) for line in run.paths.train_metrics.read_text().splitlines()]
    assert any("fp16 overflowed" in line.get("overflow", "") for line in lines)
    assert any("train_loss" in line for line in lines)
    assert all(torch.isfinite(value).all() for value in live.values())
