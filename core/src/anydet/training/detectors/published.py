"""``download``: weights that torchvision publishes, or one error that says what to do without network."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from anydet.errors import TrainingError
from anydet.text import one_line

T = TypeVar("T")
SECONDS = 10.0
"""Without an answer after which a server counts as not there; torch itself waits for minutes."""


def download(weights: Any, get: Callable[[], T], *, instead: str) -> T:
    """What ``get`` gives, which may download weights.

    Args:
        weights: entry of a ``torchvision.models.WeightsEnum``.
        get: builds a model with them, or reads them.
        instead: what can be used in their place, as the end of a sentence.

    Raises ``TrainingError`` where they cannot be had.
    """
    try:
        with _patience(SECONDS):
            return get()
    except (OSError, RuntimeError) as exc:  # no network, or a file that is not what it claims to be
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        raise TrainingError(
            f"torchvision's {weights} cannot be downloaded: {one_line(str(exc))}",
            fix=f"fetch {weights.url} elsewhere and put it at {file}; or {instead}",
        ) from exc


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Sockets that are opened meanwhile wait no longer; torch's downloads take no timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds if before is None else min(before, seconds))
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
