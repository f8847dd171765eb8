#!/usr/bin/env python3
"""Training and inference of two adapters on a GPU, beside the least time that its data sheet allows.

    python benchmarks/gpu.py                          # on a machine with CUDA: all rows
    python benchmarks/gpu.py --estimate-only          # anywhere: the estimates alone
    python benchmarks/gpu.py --device cpu --gpu none  # anywhere: what a CPU can run, without estimates

An estimate is a roofline (Williams, Waterman and Patterson 2009), operator by operator: the larger of its
floating-point operations over the peak rate, and of the bytes of its inputs and outputs over the bandwidth of
the memory. Nothing can be faster but by fusing operators, which saves bytes; launches of small kernels,
waiting for the CPU and data loading come on top. Training counts the forward and backward pass, not the
optimizer. Rates are of data sheets, dense, without sparsity.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from anydet.data.opening import open_dataset
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins

WARM_UP = 5
GPUS = {
    # name: (float32, TF32, float16 and bfloat16) in TFLOP/s, memory in TB/s
    "H200": ((67.0, 494.5, 989.5), 4.8),
    "H100": ((67.0, 494.5, 989.5), 3.35),
    "L4": ((30.3, 60.0, 121.0), 0.3),
    "RTX 4090": ((82.6, 82.6, 165.2), 1.008),
}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "rtdetr_pose": {"pose": False, "batch_size": 8},
    "fasterrcnn_multitask": {"weights": "none", "backbone": "resnet50_fpn", "batch_size": 4},
}
DTYPES = {"none": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Roofline(TorchDispatchMode):
    """Adds up the least time of each operator that runs within it."""

    def __init__(self, tflops: float, tbytes_s: float) -> None:
        super().__init__()
        self.flops_s, self.bytes_s = tflops * 1e12, tbytes_s * 1e12
        self.seconds = self.flops = self.bytes = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, and count it."""
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        flops = flop_registry[packet](*args, **(kwargs or {}), out_val=out) if packet in flop_registry else 0
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        places = {tensor.untyped_storage().data_ptr() for tensor in given}
        is_view = bool(made) and all(tensor.untyped_storage().data_ptr() in places for tensor in made)
        moved = 0 if is_view and not func._schema.is_mutable else sum(t.nbytes for t in (*given, *made))
        self.flops += flops
        self.bytes += moved
        self.seconds += max(flops / self.flops_s, moved / self.bytes_s)
        return out


@dataclass(frozen=True)
class Row:
    """One line of the table: milliseconds an image."""

    model: str
    what: str
    measured_ms: float | None
    estimate_ms: float | None


def anydet(*words: object) -> str:
    """What a command prints to stdout."""
    line = [sys.executable, "-m", "anydet.cli", *map(str, words)]
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout


def train(adapter: str, scenes: Path, run: Path, amp: str, arguments: argparse.Namespace) -> float:
    """Median milliseconds an image of a training's steps, data loading left out."""
    config = CONFIGS[adapter]
    keys = [
        word for key, value in config.items() for word in (f"--{key.replace('_', '-')}", json.dumps(value))
    ]
    keys = [word.strip('"') for word in keys]
    steps = ("--max-steps", arguments.steps + WARM_UP, "--num-workers", 0, "--amp", amp)
    device = ("--device", arguments.device, "--run-dir", run)
    anydet("train", "--adapter", adapter, "--dataset", scenes, *keys, *steps, *device)
    lines = (run / "train_metrics.jsonl").read_text().splitlines()
    times = [json.loads(line)["step_s"] for line in lines][WARM_UP:]
    return 1000 * statistics.median(times) / config["batch_size"]


def timed(work: Callable[[], object], arguments: argparse.Namespace) -> float:
    """Median seconds of a call."""
    wait = torch.cuda.synchronize if arguments.device == "cuda" else (lambda: None)
    times = []
    for round_ in range(arguments.steps + WARM_UP):
        wait()
        start = time.perf_counter()
        work()
        wait()
        if round_ >= WARM_UP:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def estimate(adapter: Any, batch: torch.Tensor, amp: str, gpu: str, *, backward: bool) -> float:
    """Milliseconds an image by the roofline; the model runs on the CPU for it."""
    (single, tensor, half), bandwidth = GPUS[gpu]
    peak = {"none": tensor if torch.backends.cuda.matmul.allow_tf32 else single}.get(amp, half)
    autocast = nullcontext() if amp == "none" else torch.autocast("cpu", torch.bfloat16)
    with Roofline(peak, bandwidth) as count, autocast, torch.set_grad_enabled(backward):
        logits = adapter.class_logits(batch).logits
        if backward:
            logits.float().mean().backward()
    return 1000 * count.seconds / len(batch)


def measure(name: str, folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """All rows of one adapter."""
    scenes, run = folder / "scenes", folder / name
    plugins = Plugins.from_env()
    gpu = None if arguments.gpu == "none" else arguments.gpu
    measured = not arguments.estimate_only
    amps = ["none", "bf16", *(["fp16"] if arguments.device == "cuda" else [])]
    dataset = open_dataset(scenes, None, formats=installed_formats(plugins))
    records = [dataset[i] for i in range(arguments.batch)]
    rows: list[Row] = []
    # Of random weights, on the CPU: neither changes what has to be computed.
    with plugins.adapter(name, plugins.settings(name)) as adapter:
        (batch,) = adapter.build_loader(records, batch_size=arguments.batch)
        least = {
            (amp, backward): estimate(adapter, batch, amp, gpu, backward=backward) if gpu else None
            for amp in amps
            for backward in (True, False)
        }
    for amp in amps:
        ms = None
        if measured:
            ms = train(name, scenes, run if amp == "none" else folder / f"{name}-{amp}", amp, arguments)
        rows.append(Row(name, f"training, {amp}", ms, least[amp, True]))
    if not measured:
        return [*rows, *(Row(name, f"inference, {amp}", None, least[amp, False]) for amp in amps)]
    with plugins.adapter(
        name, plugins.settings(name, checkpoint=str(run), device=arguments.device)
    ) as adapter:
        (batch,) = adapter.build_loader(records, batch_size=arguments.batch)
        for amp in amps:
            cast = torch.autocast(arguments.device, DTYPES[amp], enabled=amp != "none")
            with torch.no_grad(), cast:
                seconds = timed(lambda: adapter.class_logits(batch), arguments)
            rows.append(Row(name, f"inference eager, {amp}", 1000 * seconds / len(batch), least[amp, False]))
        if arguments.compile:
            adapter.get_model().compile()
            with torch.no_grad():
                seconds = timed(lambda: adapter.class_logits(batch), arguments)
            row = Row(name, "inference compiled, none", 1000 * seconds / len(batch), least["none", False])
            rows.append(row)
    return [*rows, *runtimes(name, folder, run, arguments, least["none", False])]


def runtimes(
    name: str, folder: Path, run: Path, arguments: argparse.Namespace, least: float | None
) -> list[Row]:
    """The exported file in ONNX Runtime, and where there is a GPU, as an engine; the model's stage alone."""
    file = folder / f"{name}.onnx"
    anydet("export-onnx", "--adapter", name, "--checkpoint", run, "--output", file)
    sides = ["--adapter", "onnxruntime", "--checkpoint", file]
    if arguments.device == "cuda":
        engine = folder / f"{name}.engine"
        anydet("tensorrt", "build", "--onnx", file, "--engine", engine)
        sides += ["--adapter", "tensorrt", "--checkpoint", engine]
    line = ("--dataset", folder / "scenes", "--max-images", 32, "--json", "-")
    found = json.loads(anydet("benchmark", "--device", arguments.device, *sides, *line))
    return [
        Row(name, f"inference, {side['adapter']}", side["stages_ms_per_image"]["model"], least)
        for side in found["contestants"]
    ]


def main() -> None:
    """Measure and estimate, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--gpu", default="H200", choices=[*GPUS, "none"], help="whose data sheet")
    parser.add_argument("--estimate-only", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--adapters", nargs="+", default=list(CONFIGS), choices=list(CONFIGS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        anydet("synth", "--out", folder / "scenes", "--images", 64, "--size", "640x480")
        rows = [row for name in arguments.adapters for row in measure(name, folder, arguments)]
    print(
        f"| model | what | {arguments.device}: ms an image | roofline of {arguments.gpu} |\n|---|---|---|---|"
    )
    for row in rows:
        cells = ("" if ms is None else f"{ms:.3f}" for ms in (row.measured_ms, row.estimate_ms))
        print(f"| {row.model} | {row.what} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
