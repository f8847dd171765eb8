"""``quick_test``: does it train here? So many seconds on synthetic scenes, and what they showed."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import msgspec

from anydet.data.dataset.image_columns import image_class
from anydet.data.dataset.in_memory import InMemory
from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.training.config.resolve import resolve
from anydet.training.launch.pace import measure_pace
from anydet.training.launch.preparation import PreparedRun, prepare
from anydet.training.run import Run
from anydet_adaptivestream.adapter import AdaptiveStreamAdapter

Say = Callable[[str], None]

ADAPTER = "adaptivestream"
SHORT: Mapping[str, Any] = {
    "lr": 2e-3,
    "dice_weight": 1.0,
    "hflip_prob": 0.5,
    "lr_warmup_epochs": 0,
    "val_every": 0,
    "num_workers": 0,
    "restore_best": False,
}
"""Training keys that differ from the adapter's defaults, as the run is short; so is its warm-up."""

_WARM_UP = 0.05
"""Fraction of the steps."""
_FEWEST_STEPS, _LAST = 16, 10
_NOT_FINITE = "train_sanitized_nonfinite_logits"


@dataclass(frozen=True, slots=True)
class QuickTest:
    """What a short run measured.

    Attributes:
        steps: optimizer steps taken.
        seconds: of everything: scenes, finding the pace, training, validation.
        step_s: seconds of a step, the median.
        learning_rate: lowest and highest.
        loss: of the first step, and the mean of the last ten: cross-entropy of pixels and of images by their
            weights, without Dice, so that chance is known.
        chance_loss: of an even guess, ln C + 0.5 ln C with the usual weights.
        nan_batches: batches with an input, logit, loss or gradient that was not finite.
        skipped: other steps that were skipped, for a gradient norm above the limit.
        grad_norm: lowest, median and highest, before clipping.
        accuracy: fraction of unseen images whose class is right.
        chance_accuracy: of an even guess, and of always naming the commonest class.
        miou: mean IoU of the classes of pixels on unseen images.
        background_miou: of predicting the commonest class for all pixels.
        changed: key -> default and value, of what differs from the adapter's defaults.
    """

    steps: int
    seconds: float
    step_s: float
    learning_rate: tuple[float, float]
    loss: tuple[float, float]
    chance_loss: float
    nan_batches: int
    skipped: int
    grad_norm: tuple[float, float, float]
    accuracy: float
    chance_accuracy: tuple[float, float]
    miou: float
    background_miou: float
    changed: Mapping[str, tuple[Any, Any]]

    @property
    def nan_share(self) -> float:
        """Fraction of all batches that were not finite."""
        return self.nan_batches / max(1, self.steps + self.skipped + self.nan_batches)

    @property
    def problems(self) -> list[str]:
        """What a healthy run does not have; not a measure of how good it is."""
        found = []
        if self.nan_batches:
            found.append(f"{self.nan_batches} batches were not finite")
        if not self.loss[1] < self.chance_loss:
            found.append(f"the loss {self.loss[1]:.3f} is not below chance, {self.chance_loss:.3f}")
        return found

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, what was measured, and what chance would give."""
        low, middle, high = self.grad_norm
        even, commonest = self.chance_accuracy
        return [
            ("learning rate", "{:.2g} to {:.2g}".format(*self.learning_rate), ""),
            ("loss, first and last", "{:.3f}, {:.3f}".format(*self.loss), f"{self.chance_loss:.3f}"),
            ("NaN batches", f"{self.nan_batches} ({self.nan_share:.1%})", ""),
            ("gradient norm", f"{low:.2f} to {high:.2f}, median {middle:.2f}", ""),
            ("validation accuracy", f"{self.accuracy:.3f}", f"{even:.3f} ({commonest:.3f} for one class)"),
            ("validation mIoU", f"{self.miou:.3f}", f"{self.background_miou:.3f} for one class"),
        ]

    def as_dict(self) -> dict[str, Any]:
        """All numbers for JSON."""
        return {**asdict(self), "nan_share": self.nan_share, "problems": self.problems}


def quick_test(
    plugins: Plugins,
    *,
    seconds: float = 60.0,
    image_size: int = 128,
    device: str | None = None,
    seed: int = 42,
    say: Say = lambda _text: None,
) -> QuickTest:
    """Train on scenes that need no disk, by the engine, and measure.

    The learning rate goes by steps, so the pace is measured first; the run is cut where time is up.

    Args:
        plugins: where the adapter comes from.
        seconds: of everything; a few more where a step takes long, as there are at least 16.
        image_size: side of scenes and inputs in pixels, a multiple of 32 and at least 64.
        device: as the training key.
        seed: of scenes, weights and order; validation scenes are of the next one.
        say: called with a line on each stage.

    Raises ``AnydetError`` as training does.
    """
    start = time.perf_counter()
    training, validation = _scenes(seconds, image_size, seed)
    with tempfile.TemporaryDirectory(prefix="anydet-quick-test-") as folder:
        keys = {**SHORT, "image_size": image_size, "seed": seed, "run_dir": folder, "adapter": ADAPTER}
        chosen = keys if device is None else {**keys, "device": device}
        ready = prepare(chosen, plugins=plugins, dataset=training, validation=validation)
        with AdaptiveStreamAdapter(ready.adapter) as adapter:
            pace = measure_pace(adapter.training_task, ready.run)
            left = seconds - (time.perf_counter() - start) - _validation_s(ready.run, pace)
            run = _for_time(ready.run, pace, left)
            say(f"{1000 * pace:.0f} ms a step: {run.settings.max_steps} steps on {training.note}")
            result = adapter.train(run)
        lines = [json.loads(line) for line in run.paths.train_metrics.read_text("utf-8").splitlines()]
    seconds = time.perf_counter() - start
    return _measured(run, lines, result.metrics, seconds=seconds, changed=_changed(ready, run, plugins))


def _scenes(seconds: float, side: int, seed: int) -> tuple[InMemory, InMemory]:
    """As many as can be painted in a small part of the time."""
    count = min(512, max(24, round(4 * seconds)))
    size = (side, side)
    return (
        InMemory.read(SyntheticMasks(count, seed, size, "train")),
        InMemory.read(SyntheticMasks(max(16, count // 4), seed + 1, size, "val")),
    )


def _validation_s(run: Run, pace: float) -> float:
    """About: images are predicted one by one, and looked at once more for the losses."""
    return pace * 2 * len(run.validation or ()) / run.settings.batch_size


def _for_time(run: Run, pace: float, seconds: float) -> Run:
    """The same run with as many steps as take so long, a fraction of them warm-up."""
    steps = max(_FEWEST_STEPS, round(seconds / pace))
    settings = msgspec.structs.replace(
        run.settings,
        max_steps=steps,
        epochs=None,
        # Only a brake, should steps turn out slower than the measured pace.
        max_minutes=max(seconds, 3 * _FEWEST_STEPS * pace) / 60,
        lr_warmup_steps=max(1, round(_WARM_UP * steps)),
    )
    return replace(run, settings=settings)


def _measured(
    run: Run,
    lines: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, float],
    *,
    seconds: float,
    changed: Mapping[str, tuple[Any, Any]],
) -> QuickTest:
    """From the lines of ``train_metrics`` and the numbers of the validation."""
    taken = [line for line in lines if "train_loss" in line]
    skipped = [line["skipped"] for line in lines if "skipped" in line]
    weights = {name: run.options[f"{name}_weight"] for name in ("segmentation", "classification")}
    losses = [sum(w * line[f"train_loss_{name}"] for name, w in weights.items()) for line in taken]
    rates, norms = ([line[name] for line in taken] for name in ("learning_rate", "grad_norm"))
    not_finite = [reason for reason in skipped if "not finite" in reason]
    classes = len(run.dataset.classes or ())
    commonest, background = _guessing(run)
    return QuickTest(
        steps=len(taken),
        seconds=seconds,
        step_s=statistics.median(line["step_s"] + line["data_s"] for line in taken),
        learning_rate=(min(rates), max(rates)),
        loss=(losses[0], statistics.fmean(losses[-_LAST:])),
        chance_loss=sum(weights.values()) * math.log(classes),
        nan_batches=len(not_finite) + sum(line[_NOT_FINITE] > 0 for line in taken),
        skipped=len(skipped) - len(not_finite),
        grad_norm=(min(norms), statistics.median(norms), max(norms)),
        accuracy=metrics["accuracy"],
        chance_accuracy=(1 / classes, commonest),
        miou=metrics["mIoU"],
        background_miou=background,
        changed=changed,
    )


def _guessing(run: Run) -> tuple[float, float]:
    """Accuracy, and mIoU, of one class for all validation images, and for all of their pixels."""
    images = list(run.validation or ())
    maps = [found.ravel().tolist() for image in images if (found := image.class_map()) is not None]
    of_images, of_pixels = Counter(map(image_class, images)), Counter(chain.from_iterable(maps))
    accuracy, pixels = (counts.most_common(1)[0][1] / counts.total() for counts in (of_images, of_pixels))
    return accuracy, pixels / len(of_pixels)


def _changed(ready: PreparedRun, run: Run, plugins: Plugins) -> dict[str, tuple[Any, Any]]:
    """What makes so short a run another one than ``anydet train`` would make."""
    schema = load_schema(plugins.spec("adapters", ADAPTER).training_schema)
    usual = resolve({}, None, schema, adapter_name=ADAPTER).values
    now = replace(ready.resolved, settings=run.settings).values
    own = {"adapter", "run_dir", "seed", "device", "max_minutes"}
    return {key: (usual[key], value) for key, value in now.items() if key not in own and value != usual[key]}
