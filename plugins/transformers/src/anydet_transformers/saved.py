"""Weights on disk: runs and checkpoints of this adapter, and folders that ``save_pretrained`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoImageProcessor

from anydet.errors import AnydetError, TrainingError
from anydet.text import WORD, listed, one_line
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.lora.spec import LoraState
from anydet_transformers.about import NAME, About
from anydet_transformers.catalog import model_class
from anydet_transformers.hub import has_weights, hub_folder, is_hub_id
from anydet_transformers.quiet import quiet

_PREFIX = "detector."
"""Of the library's model in ``LibraryModel``."""


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """Weights as they were read.

    Attributes:
        model: state dictionary of a ``LibraryModel``.
        source: file, folder or id, for messages.
        about: the model that they are of.
        lora: LoRA layers, which are merged into ``model``.
        folder: of the library's files, where the weights are from one: a tokenizer may be there.
    """

    model: Mapping[str, Tensor]
    source: str
    about: About
    lora: LoraState | None = None
    folder: Path | None = None


def read_saved(checkpoint: str) -> Saved:
    """Weights of a run, a checkpoint, a folder of the library, or of a model on the hub.

    Raises ``TrainingError`` where they cannot be read, or are of a model that this adapter does not run.
    """
    path = Path(checkpoint)
    if (path / "config.json").is_file():
        return _read_folder(path, source=checkpoint)
    if not path.exists() and is_hub_id(checkpoint):
        return _read_folder(hub_folder(checkpoint), source=checkpoint)
    found = load_checkpoint(path, adapter=NAME)
    about = About.from_description(found.description, source=found.source)
    return Saved(found.model, found.source, about, found.lora)


def _read_folder(folder: Path, *, source: str) -> Saved:
    if not has_weights(folder):
        raise TrainingError(
            f"{source}: has a config.json and no weights (model.safetensors)",
            fix="give a folder that save_pretrained wrote, or --option model=FOLDER for random weights",
        )
    auto: Any = AutoImageProcessor  # whose methods have no types
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            _, library_class = model_class(config, source=source)
            about = About.of(config, auto.from_pretrained(folder, local_files_only=True))
            model, notes = library_class.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
    except AnydetError:
        raise
    except Exception as exc:  # whatever files lead the library to
        raise TrainingError(
            f"{source}: cannot be loaded: {one_line(str(exc))}",
            fix="give a folder that save_pretrained of a model and of its image processor wrote",
        ) from exc
    _require_whole(notes, source=source)
    state = {_PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    return Saved(state, source, about, folder=folder)


def _require_whole(notes: Mapping[str, Any], *, source: str) -> None:
    """Raise ``TrainingError`` where the library would fill in random weights."""
    missing = [*sorted(notes.get("missing_keys", ())), *(key for key, *_ in notes.get("mismatched_keys", ()))]
    if missing:
        raise TrainingError(
            f"{source}: lacks weights of the model that it describes: "
            f"{listed(missing, 4, quotes=False, longest=WORD)}",
            fix="give the folder of a whole detector",
        )
