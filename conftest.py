"""Fixtures of all packages' tests: real data, pycocotools as the oracle, scenes of states, a browser."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anydet.evaluation.engines import choose_engine
from anydet.plugins.manager import Plugins

Problem = tuple[dict[str, Any], list[dict[str, Any]]]

ROOT = Path(__file__).resolve().parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# hypothesis's deadline of 200 ms fails tests on a busy machine
settings.register_profile("anydet", deadline=None)
settings.load_profile("anydet")
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; tests skip where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        # Without its sandbox, which root cannot have; pages are our own and load nothing.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def run_pycocotools(problem: Problem, iou_type: str, sigmas: Any = None, **params: Any) -> Any:
    """``COCOeval`` on dictionaries, by the book; ``params`` are set as attributes of its ``Params``."""
    truth, results = copy.deepcopy(problem)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        if results:
            found = coco.loadRes(results)
        else:  # loadRes cannot take an empty list
            found = COCO()
            found.dataset = {**truth, "annotations": []}
            found.createIndex()
        run = COCOeval(coco, found, iou_type)
        if sigmas is not None:
            run.params.kpt_oks_sigmas = np.array(sigmas)
        for name, value in params.items():
            setattr(run.params, name, value)
        run.evaluate()
        run.accumulate()
        if not params:
            run.summarize()
    return run


@pytest.fixture(scope="session", params=sorted(Plugins.from_env().specs("engines")))
def engine(request: pytest.FixtureRequest) -> Any:
    """Each installed engine."""
    return choose_engine(name=request.param)


@pytest.fixture(scope="session")
def reference() -> Callable[..., Any]:
    """``run_pycocotools``."""
    return run_pycocotools


def make_scene_of_states(annotations: Any, detections: Any, images: int = 1, parts: int = 2) -> Problem:
    """A problem of (image, part, place, state) and (image, part, place, state, score); places are apart."""

    def box(place: int) -> list[float]:
        return [10.0 * place, 0.0, 8.0, 8.0]

    truth = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 100} for i in range(1, images + 1)
        ],
        "categories": [{"id": i + 1, "name": f"part{i}"} for i in range(parts)],
        "annotations": [
            {"id": i, "image_id": m, "category_id": p + 1, "bbox": box(x), "area": 64.0, "iscrowd": 0}
            | {"state": s}
            for i, (m, p, x, s) in enumerate(annotations, start=1)
        ],
    }
    found = [
        {"image_id": m, "category_id": p + 1, "bbox": box(x), "score": score, "state": s}
        for m, p, x, s, score in detections
    ]
    return truth, found


def make_random_scene_of_states(rng: np.random.Generator, images: int = 6, parts: int = 3) -> Problem:
    """Boxes beside each other; some missed, doubled, of the wrong part or state, or without state."""
    annotations, detections = [], []
    for image in range(1, images + 1):
        for place in range(8):
            part, state = rng.integers(parts), rng.integers(-1, 4)
            annotations.append((image, int(part), place, int(state)))
            for _ in range(rng.integers(3)):
                part = part if rng.random() < 0.8 else rng.integers(parts)
                state = max(state, 0) if rng.random() < 0.7 else rng.integers(-1, 4)
                detections.append((image, int(part), place, int(state), float(rng.integers(1, 20) / 20)))
    return make_scene_of_states(annotations, detections, images, parts)


@pytest.fixture(scope="session")
def scene_of_states() -> Callable[..., Problem]:
    """``make_scene_of_states``."""
    return make_scene_of_states


@pytest.fixture(scope="session")
def random_scene_of_states() -> Callable[..., Problem]:
    """``make_random_scene_of_states``."""
    return make_random_scene_of_states
