"""Checkpoints: one file of our own, read without running any code that it may hold."""

from __future__ import annotations

import hashlib
import struct
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
_GIVE = "give a file that 'anydet train' wrote, such as runs/ID/checkpoints/best.pt"


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
    save_tensors(path, {**content, "digest": digest(content)})


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
        TrainingError: it is not there, no checkpoint of anydet, damaged, of a newer version, or another
            adapter's.
    """
    path = find_checkpoint(path)
    content = load_tensors(path, device=device)
    if not isinstance(content, dict) or "anydet_checkpoint" not in content:
        raise TrainingError(
            f"{path}: not a checkpoint of anydet",
            fix=_GIVE,
        )
    _check(path, content)
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


def digest(content: Any) -> str:
    """SHA-256 of nested data in hexadecimal: types, keys, values, and tensors with type, shape and bytes."""
    found = hashlib.sha256()
    _feed(found, content)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        found.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        found.update(f"mapping {len(value)}".encode())
        for key, item in value.items():
            _feed(found, key)
            _feed(found, item)
    elif isinstance(value, list | tuple):
        found.update(f"{'list' if isinstance(value, list) else 'tuple'} {len(value)}".encode())
        for item in value:
            _feed(found, item)
    else:
        # Its length goes first, so that no two lists of values are the same bytes.
        text = repr(value).encode()
        found.update(struct.pack("<Q", len(text)) + text)


_PARTS: Mapping[str, tuple[type, ...]] = {
    "adapter": (str,),
    "model": (dict,),
    "description": (dict,),
    "classes": (list, tuple),
    "step": (int,),
    "metrics": (dict,),
    "training": (dict, type(None)),
}


def _check(path: Path, content: Mapping[str, Any]) -> None:
    """Raise ``TrainingError`` where a checkpoint is of another version, damaged, or lacks a part."""
    version = content["anydet_checkpoint"]
    if version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        raise TrainingError(
            f"{path}: checkpoint format {version!r:.40}, this version reads {FORMAT}",
            fix="update anydet: pip install --upgrade anydet" if newer else _GIVE,
        )
    # Files of before there was a digest have none.
    stated = content.get("digest")
    if stated is not None and stated != digest({k: v for k, v in content.items() if k != "digest"}):
        raise TrainingError(
            f"{path}: damaged: its content is not what was written",
            fix="copy the file again, or use another checkpoint of the run",
        )
    for name, kinds in _PARTS.items():
        if not isinstance(content.get(name, ...), kinds):
            what = f"is of type {type(content[name]).__name__}" if name in content else "is missing"
            raise TrainingError(f"{path}: a broken checkpoint: {name!r} {what}", fix=_GIVE)
    odd = [key for key, value in content["model"].items() if not isinstance(value, Tensor)]
    if odd:
        raise TrainingError(f"{path}: a broken checkpoint: model has no tensor {odd[0]!r:.80}", fix=_GIVE)


def load_tensors(path: Path, *, device: str | torch.device = "cpu") -> Any:
    """What ``torch.save`` wrote, if it is data and nothing else.

    Raises ``TrainingError`` for a file that cannot be read, is cut short, or holds more than data.
    """
    try:
        # weights_only: unpickling anything else can run code of whoever wrote the file.
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as exc:  # torch raises whatever bytes lead to
        reason = str(exc).strip().split("\n", maxsplit=1)[0] or type(exc).__name__
        raise TrainingError(
            f"{path}: holds no weights that can be read: {reason}",
            fix="give a file of tensors that torch.save wrote whole",
        ) from exc
