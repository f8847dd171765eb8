"""torchvision's own architectures, small enough for tests: inputs of 64 pixels, few proposals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torchvision.models import get_model

from anydet.data.scenes.shape_scenes import SyntheticDataset, render_scene
from anydet.data.scenes.shapes import CLASSES
from anydet.plugins.manager import Plugins
from anydet.training.checkpoints.checkpoint import Checkpoint, save_checkpoint
from anydet.training.config.settings import TrainSettings
from anydet.training.detectors.inputs import image_tensor
from anydet.training.run import Run, RunPaths
from anydet.types import AdapterSettings
from anydet_torchvision.adapter import Torchvision
from anydet_torchvision.model import PREFIX, Detector
from anydet_torchvision.zoo import model_names

_KEYWORDS = {"proposals": "rpn_post_nms_top_n_test"}
"""Option -> what torchvision's builders call it."""
PLUGINS = Plugins(only=["torchvision"])


def numbers_of(model: str) -> dict[str, Any]:
    """Options of a model's size, as its architecture takes them."""
    sizes = {} if model.startswith("ssd") else {"min_size": 64, "max_size": 96}
    return {**sizes, **({"proposals": 8} if "rcnn" in model else {})}


def opened(model: str, **settings: Any) -> Torchvision:
    """An adapter of a random model whose scores differ from one another."""
    most = 2 if model.startswith("keypoint") else 6
    options = {"model": model, "names": CLASSES.names, "detections_per_img": most, **numbers_of(model)}
    adapter = Torchvision(AdapterSettings(batch_size=4, score_floor=0.01, options=options, **settings))
    adapter.spec = PLUGINS.spec("adapters", "torchvision")
    scatter(adapter.model)
    return adapter


def scatter(model: Detector) -> None:
    """Give scores a spread; those of new heads are so alike that their order would be one of rounding."""
    if "mobilenet" in model.about.model:
        # Its first weights are so small that the image is lost on the way, where norms do not scale it.
        generator = torch.Generator().manual_seed(1)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, generator=generator)
    inputs = model.prepare([image_tensor(render_scene(0, 0, (64, 48)).image, model.device)])
    with torch.no_grad():
        weights = dict(model.named_parameters())
        rows = [name for name, rows in model.named_rows().items() if rows.each == 1 and "mask" not in name]
        for name in rows:
            if name.endswith("bias"):
                weights[name].zero_()
        spread = model.class_logits(inputs).logits.std()
        for name in rows:
            if name.endswith("weight"):
                weights[name].mul_(2 / spread)


@pytest.fixture(scope="module", params=model_names())
def adapter(request: pytest.FixtureRequest) -> Iterator[Torchvision]:
    """Each of torchvision's models, once for a module of tests."""
    made = opened(request.param)
    yield made
    # Several hundred MB: the next one is built before this one would be collected.
    del made.__dict__["model"]


@pytest.fixture(scope="module")
def bare(adapter: Torchvision) -> nn.Module:
    """The model as torchvision builds it, with the adapter's weights and thresholds."""
    options = adapter.settings.options
    points = adapter.notes.keypoint_names
    numbers = {_KEYWORDS.get(key, key): value for key, value in numbers_of(options["model"]).items()}
    numbers |= {"num_keypoints": len(points)} if points else {}
    net = get_model(
        options["model"], weights=None, weights_backbone=None, num_classes=1 + len(CLASSES), **numbers
    )
    state = adapter.model.state_dict()
    net.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in state.items()})
    limited = getattr(net, "roi_heads", net)
    limited.score_thresh = adapter.settings.score_floor
    limited.detections_per_img = options["detections_per_img"]
    return net.eval()


@pytest.fixture(scope="session")
def saved_state(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the weights of ``opened`` as a plain state dictionary of torchvision."""

    @cache
    def save(model: str) -> Path:
        path = tmp_path_factory.mktemp("weights") / f"{model}.pth"
        state = opened(model).model.state_dict()
        torch.save({name.removeprefix(PREFIX): tensor for name, tensor in state.items()}, path)
        return path

    return save


@pytest.fixture(scope="session")
def small_settings(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], AdapterSettings]:
    """Settings of an adapter of a checkpoint that has the weights of ``opened``."""

    @cache
    def settings(model: str) -> AdapterSettings:
        made = opened(model)
        path = tmp_path_factory.mktemp("checkpoints") / f"{model}.pt"
        described = made.model.about.description()
        save_checkpoint(
            path, Checkpoint("torchvision", made.model.state_dict(), described, made.classes.names)
        )
        options = {"detections_per_img": 6}
        given = {"checkpoint": str(path), "batch_size": 2, "score_floor": 0.01}
        return PLUGINS.settings("torchvision", options=options, **given)

    return settings


@pytest.fixture(scope="session")
def tiny_run() -> Callable[..., Run]:
    """Makes a run on drawn shapes that needs no disk for its data; keywords are keys of the engine."""

    def make(folder: Path, *, model: str, images: int = 2, weights: str = "none", **keys: Any) -> Run:
        settings = {"batch_size": 2, "num_workers": 0, "epochs": 1, "device": "cpu"}
        rois = {"rois_per_image": 8} if "rcnn" in model else {}
        return Run(
            adapter="torchvision",
            dataset=SyntheticDataset(images, 0, (64, 48)),
            validation=SyntheticDataset(1, 1, (64, 48), "val"),
            settings=TrainSettings(**(settings | keys)),
            paths=RunPaths.of_folder(folder),
            options={"weights": weights, "model": model, **rois, **numbers_of(model)},
            plugins=PLUGINS,
        )

    return make
