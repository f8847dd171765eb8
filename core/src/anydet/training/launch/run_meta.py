"""``run_meta.json``: by what, on what and from what a run was made."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from anydet.data.dataset.protocols import Dataset
from anydet.inputs import known_json
from anydet.outputs import new_file
from anydet.training.devices.torchrun import process_count
from anydet.training.run import Run

PACKAGES = (
    *("anydet", "numpy", "pillow", "msgspec", "pycocotools", "opencv-python-headless", "scipy"),
    *("torch", "torchvision", "accelerate", "timm", "transformers", "peft", "torchao", "onnx"),
    *("wandb", "tensorboard", "mlflow-skinny"),
)
"""Distributions whose versions are noted where they are installed, beside the adapter's own."""


def run_meta(run: Run, *, command: Sequence[str], strict: bool = False) -> dict[str, Any]:
    """Git, packages, hardware, command and data of a run that starts now.

    Args:
        run: the run; its data sets are fingerprinted, which reads their annotations.
        command: words of the command line.
        strict: whether strict contract mode is on.
    """
    return {
        **_start(command),
        "run": str(run.paths.root),
        "strict": strict,
        "seed": run.settings.seed,
        "processes": process_count(),
        "adapter": _adapter(run),
        "data": {"train": data_meta(run.dataset), "val": run.validation and data_meta(run.validation)},
        "python": platform.python_version(),
        "packages": _versions(PACKAGES),
        "hardware": hardware(),
    }


def write_run_meta(run: Run, *, command: Sequence[str], strict: bool = False) -> None:
    """Write ``run_meta.json``; a run that goes on keeps it and notes when, by what and where it went on."""
    meta = run_meta(run, command=command, strict=strict)
    first = read_run_meta(run.paths.run_meta) if run.settings.resume else None
    if first is not None:
        again = {key: meta[key] for key in (*_start(()), "processes", "hardware")}
        meta = {**first, "resumed": [*first.get("resumed", ()), again]}
    with new_file(run.paths.run_meta) as file:
        file.write(json.dumps(meta, indent=2).encode() + b"\n")


def read_run_meta(path: Path) -> dict[str, Any] | None:
    """What ``write_run_meta`` wrote, or ``None`` where it is not there or broken."""
    return known_json(path) or None


def data_meta(dataset: Dataset) -> dict[str, Any]:
    """Path, size and fingerprint of a data set."""
    return {
        "root": str(dataset.root),
        "split": dataset.split,
        "source": dataset.source,
        "images": len(dataset),
        "classes": None if dataset.classes is None else list(dataset.classes.names),
        "fingerprint": dataset.fingerprint(),
    }


def hardware() -> dict[str, Any]:
    """CPU, memory and, where torch is in use, its devices."""
    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        **_devices(),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the repository around a folder, and whether files differ from it; ``None`` without one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}


def _start(command: Sequence[str]) -> dict[str, Any]:
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(command),
        "git": git_state(Path.cwd()),
    }


def _adapter(run: Run) -> Mapping[str, Any]:
    owner = run.plugins and run.plugins.owner("adapters", run.adapter)
    package = {"distribution": owner.distribution, "version": owner.version} if owner else {}
    return {"name": run.adapter, **package}


def _versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], check=False, cwd=folder, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None


def _devices() -> dict[str, Any]:
    """GPUs as torch sees them; nothing is imported for it, as not every adapter is one of torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {"gpus": [], "cuda": None}
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"gpus": names, "cuda": torch.version.cuda}
