"""``read_weights``: a checkpoint of anydet, or a plain state dictionary of another program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from anydet.errors import TrainingError
from anydet.training.checkpoints.checkpoint import (
    Checkpoint,
    as_checkpoint,
    find_checkpoint,
    is_checkpoint,
    load_tensors,
    naming_a_whole_one,
)

State: TypeAlias = Mapping[str, Tensor]


def read_weights(path: Path | str) -> tuple[Path, Checkpoint | State]:
    """A file and what it holds: a checkpoint, or names and tensors as ``torch.save`` wrote them.

    Args:
        path: of the file, or of a run's folder.

    Raises ``TrainingError`` for everything else.
    """
    file = find_checkpoint(path)
    with naming_a_whole_one(file):
        content = load_tensors(file)
        if is_checkpoint(content):
            return file, as_checkpoint(content, file)
    if not isinstance(content, dict) or not content or not all(map(torch.is_tensor, content.values())):
        raise TrainingError(
            f"{file}: neither a checkpoint of anydet nor a state dictionary (names and tensors)",
            fix="save model.state_dict() with torch.save, or give a run's folder",
        )
    return file, content


def without_wrapper(state: State) -> dict[str, Tensor]:
    """A state dictionary without what DataParallel and DistributedDataParallel put before every name."""
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}
