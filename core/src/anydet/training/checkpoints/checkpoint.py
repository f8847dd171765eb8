"""Checkpoints: one file of our own, read without running any code that it may hold."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anydet.errors import TrainingError
from anydet.outputs import new_file
from anydet.plugins.checkpoints import IN_A_RUN, find_weights

FORMAT = 1
"""Version of the file's layout, under the key ``anydet_checkpoint``."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Weights and what they need around them.

    Attributes:
        adapter: registered name of the adapter that trained it.
        model: state dictionary to predict with; the average's with ``ema_eval``.
        description: what rebuilds the model (``TrainingTask.description``).
        classes: names of the class ids.
        step: optimizer steps taken.
        metrics: numbers of the last validation before it was written.
        training: what a run needs to go on, or ``None`` in a checkpoint that only predicts.
        source: file that it was read from.
    """

    adapter: str
    model: Mapping[str, Tensor]
    description: Mapping[str, Any]
    classes: tuple[str, ...]
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None
    source: str = ""

    def check_adapter(self, adapter: str) -> None:
        """Raise ``TrainingError`` where another adapter trained it."""
        if self.adapter != adapter:
            raise TrainingError(
                f"{self.source}: was trained by {self.adapter!r}, not {adapter!r}",
                fix=f"use --adapter {self.adapter}",
            )


def find_checkpoint(path: Path | str) -> Path:
    """The checkpoint of a run folder (the best one, else the last), or ``path`` itself.

    Raises ``TrainingError`` where there is none.
    """
    found = find_weights(path)
    if found is not None:
        return found
    if Path(path).is_dir():
        raise TrainingError(
            f"{path}: a folder without {' or '.join(IN_A_RUN)}",
            fix="name a checkpoint file, or the folder of a run that has saved one",
        )
    raise TrainingError(f"{path}: no such checkpoint", fix="name a checkpoint file or a run's folder")


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the file is there whole or as it was. Raises ``OutputError`` as ``new_file``."""
    content = {
        "anydet_checkpoint": FORMAT,
        "adapter": checkpoint.adapter,
        "model": dict(checkpoint.model),
        "description": dict(checkpoint.description),
        "classes": list(checkpoint.classes),
        "step": checkpoint.step,
        "metrics": dict(checkpoint.metrics),
        "training": None if checkpoint.training is None else dict(checkpoint.training),
    }
    save_tensors(path, content)


def save_tensors(path: Path, content: Any) -> None:
    """``torch.save`` as ``outputs.new_file`` writes."""
    with new_file(path) as file:
        torch.save(content, file)


def load_checkpoint(
    path: Path | str, *, adapter: str | None = None, device: str | torch.device = "cpu"
) -> Checkpoint:
    """Read a checkpoint, tensors on ``device``.

    Args:
        path: a file that ``save_checkpoint`` wrote, or the folder of a run.
        adapter: registered name of the adapter that must have trained it; ``None`` for any.
        device: where tensors go.

    Raises:
        TrainingError: it is not there, no checkpoint of anydet, of a newer version, or another adapter's.
    """
    path = find_checkpoint(path)
    content = load_tensors(path, device=device)
    if not isinstance(content, dict) or "anydet_checkpoint" not in content:
        raise TrainingError(
            f"{path}: not a checkpoint of anydet",
            fix="give a file that 'anydet train' wrote, such as runs/ID/checkpoints/best.pt",
        )
    if content["anydet_checkpoint"] != FORMAT:
        raise TrainingError(
            f"{path}: checkpoint format {content['anydet_checkpoint']}, this version reads {FORMAT}",
            fix="update anydet: pip install --upgrade anydet",
        )
    checkpoint = Checkpoint(
        content["adapter"],
        content["model"],
        content["description"],
        tuple(content["classes"]),
        content["step"],
        content["metrics"],
        content["training"],
        str(path),
    )
    if adapter is not None:
        checkpoint.check_adapter(adapter)
    return checkpoint


def load_tensors(path: Path, *, device: str | torch.device = "cpu") -> Any:
    """What ``torch.save`` wrote, if it is data and nothing else.

    Raises ``TrainingError`` for a file that cannot be read, is cut short, or holds more than data.
    """
    try:
        # weights_only: unpickling anything else can run code of whoever wrote the file.
        return torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as exc:
        reason = str(exc).strip().split("\n", maxsplit=1)[0] or type(exc).__name__
        raise TrainingError(
            f"{path}: holds no weights that can be read: {reason}",
            fix="give a file of tensors that torch.save wrote whole",
        ) from exc
