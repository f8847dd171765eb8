"""Losses of a model in evaluation mode: torchvision's detectors give them in training mode alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

T = TypeVar("T")


@contextmanager
def switched(modules: Iterable[nn.Module], *, training: bool) -> Iterator[None]:
    """These modules, but not those inside them, in training or evaluation mode; then as they were."""
    before = [(module, module.training) for module in modules]
    for module, _ in before:
        module.training = training
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def evaluated_losses(
    model: nn.Module, parts: Iterable[nn.Module], run: Callable[[], T], device: torch.device
) -> T:
    """What ``run`` gives while the parts are in training mode, and norms and dropout in evaluation mode.

    The random choice of anchors and regions starts at the same seed each time, and the random numbers of the
    caller go on as if this had not happened.

    Args:
        model: all of it.
        parts: modules that give losses in training mode.
        run: calls the model.
        device: of the model.
    """
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        switched(model.modules(), training=False),
        switched(parts, training=True),
    ):
        torch.manual_seed(0)
        return run()
