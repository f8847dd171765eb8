#!/usr/bin/env python3
"""Memory and time of a step of full fine-tuning, LoRA and QLoRA, each in a process of its own.

    python benchmarks/fine_tuning.py          # Faster R-CNN with ResNet-18, and RT-DETR's usual model
    python benchmarks/fine_tuning.py --rounds 5 --steps 12 --device cuda

Rounds are interleaved. Memory is what a process holds more at the peak of its steps than before the first
(gradients, moments, activations): of the resident set on the CPU, under Linux, of the allocator on CUDA.
``weights`` is the size of all parameters as they are held. Times are medians of the steps after two of each
round, on the CPU those of the processor, which other work on the machine does not change. Ratios are to full
fine-tuning.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.plugins.manager import Plugins
from anydet.training.engine import train
from anydet.training.hooks import LoopState, TrainingHook
from anydet.training.launch.preparation import PreparedRun, prepare
from anydet.training.lora.quantized import is_quantized, parts_of

WARM_UP = 2
_LORA = {"lora_r": 4, "lora_target": "all_linear_conv1x1"}
METHODS = {
    "full": {},
    "LoRA": _LORA,
    "LoRA, int8wo": {**_LORA, "torchao_quant": "int8wo", "torchao_required": True},
    "QLoRA": {**_LORA, "qlora": True, "torchao_required": True},
}
MODELS = {
    "fasterrcnn_multitask": {
        **{"backbone": "resnet18_fpn", "weights": "none", "min_size": 160, "max_size": 320}
    },
    "rtdetr_pose": {"image_size": [224, 160], "num_queries": 60},
}


class Watch(TrainingHook):
    """The time at which each step begins, and the memory of the steps.

    Args:
        device: that is watched.
    """

    def __init__(self, device: str) -> None:
        self.times: list[float] = []
        self._cuda = device.startswith("cuda")

    def before_step(self, loop: LoopState) -> None:
        """Note the time."""
        if not self.times:
            self.model = loop.model
            self._forget_peak()
            self._before_mb = self._peak_mb()
        if self._cuda:
            torch.cuda.synchronize()
        self.times.append(time.perf_counter() if self._cuda else time.process_time())

    @property
    def memory_mb(self) -> float:
        """Of the steps so far, beside what was held before."""
        return self._peak_mb() - self._before_mb

    def _forget_peak(self) -> None:
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # see proc(5)

    def _peak_mb(self) -> float:
        if self._cuda:
            return torch.cuda.max_memory_allocated() / 2**20
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def make_run(adapter: str, folder: Path, arguments: argparse.Namespace, **keys: object) -> PreparedRun:
    """A run on scenes that is ready to start."""
    data = SyntheticDataset(2 * arguments.steps, 0, (224, 160), "train")
    usual = {
        **{
            "adapter": adapter,
            "run_dir": str(folder),
            "batch_size": 2,
            "num_workers": 0,
            "scheduler": "none",
        },
        **{"device": arguments.device, "epochs": 1, "restore_best": False, "parity_policy": "off"},
    }
    return prepare({**usual, **MODELS[adapter], **keys}, plugins=Plugins(), dataset=data)


def run(ready: PreparedRun, hooks: Sequence[TrainingHook] = ()) -> None:
    """Train it."""
    with ready.run.plugins.adapter(ready.run.adapter, ready.adapter) as opened:
        train(opened.training_task, ready.run, hooks)


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Numbers of one run in this process."""
    adapter, method, base, folder = arguments.one

    watch = Watch(arguments.device)
    run(make_run(adapter, Path(folder), arguments, checkpoint=base, **METHODS[method]), [watch])
    steps = [later - one for one, later in pairwise(watch.times[WARM_UP:])]
    parameters = list(watch.model.parameters())
    held = [part for one in parameters for part in (parts_of(one).values() if is_quantized(one) else [one])]
    return {
        "trained": sum(one.numel() for one in parameters if one.requires_grad),
        "weights_mb": sum(part.numel() * part.element_size() for part in held) / 2**20,
        "step_ms": 1000 * statistics.median(steps),
        "memory_mb": watch.memory_mb,
    }


def compare(adapter: str, folder: Path, arguments: argparse.Namespace) -> None:
    """All methods on one model, round by round, as a table."""
    base = make_run(adapter, folder / "base", arguments, max_steps=1)
    run(base)
    options = ["--steps", str(arguments.steps), "--device", arguments.device]
    found: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for number in range(arguments.rounds):
        for place, method in enumerate(METHODS):
            words = [adapter, method, str(base.run.paths.best), str(folder / f"{number}-{place}")]
            command = [sys.executable, __file__, *options, "--one", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            found[method].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"\n{adapter}, {arguments.device}, batch 2, {arguments.rounds} rounds of {arguments.steps} steps")
    print(
        f"{'':<14}{'trained':>12}{'weights MB':>12}{'step ms':>10}{'ratio':>8}{'memory MB':>11}{'ratio':>8}"
    )
    medians = {
        method: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for method, rounds in found.items()
    }
    full = medians["full"]
    for method, one in medians.items():
        step, memory = one["step_ms"] / full["step_ms"], one["memory_mb"] / full["memory_mb"]
        print(
            f"{method:<14}{one['trained']:>12.0f}{one['weights_mb']:>12.1f}{one['step_ms']:>10.0f}{step:>8.2f}"
            f"{one['memory_mb']:>11.0f}{memory:>8.2f}",
            flush=True,
        )


def main() -> None:
    """Compare what processes of their own measure, or be such a process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments)))
        return
    for adapter in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            compare(adapter, Path(folder), arguments)


if __name__ == "__main__":
    main()
