"""A small detector with a torch model, images for it, and methods built as the command line builds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest

from anydet.plugins.manager import Plugins
from anydet.prediction.choices import TTT
from anydet.prediction.hooks import TTTMethod, TTTSettings
from anydet.types import AdapterSettings

SETTINGS = tuple(one.name for one in fields(TTTSettings) if one.name != "options")


@pytest.fixture
def grid(records: list[Any]) -> Iterator[Any]:
    """The kit's detector, with a batch norm whose statistics are those of the first records."""
    torch = pytest.importorskip("torch")
    from anydet.testing.grid import GridDetector

    with GridDetector(AdapterSettings(batch_size=2, score_floor=0.001)) as adapter:
        model = adapter.get_model()
        model.backbone[1].momentum = 1.0
        with torch.no_grad():
            model.train()(next(iter(adapter.build_loader(records[:3], batch_size=3))))
        model.eval()
        yield adapter


@pytest.fixture
def records() -> list[Any]:
    """Five scenes of several sizes."""
    from anydet.testing.images import default_images, in_memory

    return in_memory(default_images())


@pytest.fixture(scope="session")
def build() -> Callable[..., TTTMethod]:
    """Builds a registered method; keywords are settings, all others options of the method."""
    plugins = Plugins()

    def make(name: str, **given: Any) -> Any:
        fields = {key: given.pop(key) for key in SETTINGS if key in given}
        choice = TTT(name, TTTSettings(**fields, options=given)).resolve(plugins)
        return plugins.build("ttt_methods", name, choice.settings)

    return make
