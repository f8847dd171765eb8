"""``continual.pt``: what the methods of a run leave to a run that begins with its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anydet.errors import TrainingError
from anydet.inputs import keep
from anydet.training.checkpoints.checkpoint import (
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    load_tensors,
    save_tensors,
)
from anydet.training.checkpoints.plain_data import digest, require_plain
from anydet.training.first_weights import Names

FORMAT = 1
"""Version of the file's layout, under the key ``anydet_continual``."""
_PARTS = {"adapter": str, "classes": list, "states": list, "weights": str, "methods": dict}
_FIX = "copy the run's checkpoints again, or leave the method out"


@dataclass(frozen=True, slots=True, eq=False)
class Handover:
    """What a run leaves.

    Attributes:
        adapter: registered name of the adapter.
        names: of the rows of its model.
        weights: digest of the tensors in its best checkpoint.
        methods: ``ewc``, ``si``, ``derpp`` -> state of the method, for those that were on.
        source: the file.
    """

    adapter: str
    names: Names
    weights: str
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source: str = ""


def write_handover(path: Path, handover: Handover) -> None:
    """Write it whole or not at all; raises as ``save_checkpoint``."""
    content = {
        "anydet_continual": FORMAT,
        "adapter": handover.adapter,
        "classes": list(handover.names.classes),
        "states": list(handover.names.states),
        "weights": handover.weights,
        "methods": {name: dict(state) for name, state in handover.methods.items()},
    }
    require_plain(content, source=f"{path}: cannot be saved")
    save_tensors(path, {**content, "digest": digest(content)})


def read_handover(checkpoint: str, *, adapter: str) -> Handover | None:
    """What the run of a checkpoint left, or ``None`` where there is nothing beside it.

    Args:
        checkpoint: file or folder that a training begins with.
        adapter: that must have written it.

    Raises:
        TrainingError: it is damaged, of another adapter or version, or was left with other weights than the
            best checkpoint has. Other files of the run, of another step or with merged layers, are not
            compared.
    """
    file = find_checkpoint(checkpoint)
    path = file.with_name("continual.pt")
    if not path.is_file():
        return None
    keep(path)
    content = load_tensors(path, handover=True)
    version = content.get("anydet_continual") if isinstance(content, dict) else None
    if version != FORMAT:
        raise TrainingError(
            f"{path}: nothing that a run of this version left: format {version!r:.40}", fix=_FIX
        )
    stated = content.get("digest")
    if stated != digest({key: value for key, value in content.items() if key != "digest"}):
        raise TrainingError(f"{path}: damaged: its content is not what was written", fix=_FIX)
    for name, kind in _PARTS.items():
        if not isinstance(content.get(name), kind):
            raise TrainingError(f"{path}: damaged: it has no {name!r} as a run writes it", fix=_FIX)
    if content["adapter"] != adapter:
        raise TrainingError(f"{path}: was left by {content['adapter']!r:.80}, not {adapter!r}", fix=_FIX)
    if file.name == "best.pt" and weights_digest(load_checkpoint(file)) != content["weights"]:
        raise TrainingError(f"{path}: was left with other weights than {file} has", fix=_FIX)
    names = Names(tuple(content["classes"]), tuple(content["states"]))
    return Handover(adapter, names, content["weights"], content["methods"], str(path))


def weights_digest(checkpoint: Checkpoint) -> str:
    """Of its tensors as they are saved: merged ones differ in their last bits between devices."""
    return digest(checkpoint.state)
