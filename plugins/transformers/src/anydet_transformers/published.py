"""``save_folder``: a checkpoint in the form in which the library and its hub have models."""

from __future__ import annotations

from pathlib import Path

from anydet.outputs import new_folder
from anydet.training.weights import load_weights
from anydet_transformers.model import LibraryModel
from anydet_transformers.quiet import quiet
from anydet_transformers.saved import read_saved


def save_folder(checkpoint: str, folder: Path) -> str:
    """Write configuration, weights and image processor; gives the name of the library's class for them.

    Raises ``TrainingError`` where the checkpoint cannot be read or is another adapter's.
    """
    saved = read_saved(checkpoint)
    model = LibraryModel(saved.about)
    load_weights(model, saved.model, source=saved.source)
    with new_folder(folder) as inside, quiet():
        model.detector.save_pretrained(inside)  # type: ignore[operator] # any module of the library has it
        saved.about.image_processor().save_pretrained(inside)
    return type(model.detector).__name__
