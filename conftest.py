"""Fixtures of all packages' tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent
# Tests leave the cache of the user who runs them alone; those of the cache have their own.
os.environ["ANYDET_CACHE"] = "0"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images, models and results: of ``ANYDET_SHARED_DATA``, or in ``../shared/data``."""
    folder = Path(os.environ.get("ANYDET_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent (set ANYDET_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def coco128(shared_data: Path) -> Path:
    """128 real images with COCO JSON and YOLO labels of an independent conversion."""
    folder = shared_data / "coco128"
    if not folder.is_dir():
        pytest.skip(f"no real images: {folder} is absent (ANYDET_SHARED_DATA names its parent)")
    return folder


@pytest.fixture
def scale_as_fp16(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Losses are scaled as with fp16, on the CPU, from a scale that single precision can hardly hold."""

    def scale() -> None:
        import torch

        from anydet.training import engine
        from anydet.training.build import build_components

        def scaled(run: Any, task: Any, processes: Any, hooks: Any) -> Any:
            accelerator, scaler = processes.accelerator, torch.amp.GradScaler("cpu", init_scale=2.0**127)
            accelerator.scaler = scaler
            components = build_components(run, task, processes, hooks)
            accelerator.unscale_gradients = lambda: scaler.unscale_(components.optimizer)
            return components

        monkeypatch.setattr(engine, "build_components", scaled)

    return scale
