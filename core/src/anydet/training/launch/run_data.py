"""Which data a run trains on and which it validates on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from anydet.data.dataset.protocols import Dataset
from anydet.data.dataset.splits import SPLITS, split_named_by
from anydet.data.dataset.subset import FirstImages
from anydet.errors import OptionError, SplitError
from anydet.training.config.settings import TrainSettings

Opener = Callable[[str, str | None], Dataset]
"""Opens a path and a split, ``None`` for the first usual one."""

TRAINING_SPLITS = tuple(name for name in SPLITS if name.startswith("train"))
VALIDATION_SPLITS = tuple(name for name in SPLITS if not name.startswith("train"))


def open_training(settings: TrainSettings, opener: Opener) -> Dataset:
    """The images to train on: ``split``, or the first of the usual ones, those for training before others.

    Raises:
        OptionError: no data set is named.
        DatasetError: it cannot be opened.
    """
    if settings.dataset is None:
        raise OptionError(
            "no training data set given",
            fix="add --dataset DIR, or 'dataset:' to the config file",
        )
    dataset = None
    if settings.split is None:
        dataset = _first(settings.dataset, TRAINING_SPLITS, opener)
    return shorten(dataset or opener(settings.dataset, settings.split), settings.max_images)


def open_validation(settings: TrainSettings, training: Dataset, opener: Opener) -> Dataset | None:
    """The images to validate on.

    ``val_dataset`` where it is named, else ``val_split`` of the training data set, else the first of its
    usual validation splits that is not the training split; ``None`` where there is none.

    Raises ``DatasetError`` where what is named cannot be opened.
    """
    if settings.val_dataset is not None:
        with split_named_by("val_split"):
            return opener(settings.val_dataset, settings.val_split)
    if settings.dataset is None:
        return None
    if settings.val_split is not None:
        with split_named_by("val_split"):
            return opener(settings.dataset, settings.val_split)
    others = [split for split in VALIDATION_SPLITS if split != training.split]
    return _first(settings.dataset, others, opener) if training.split else None


def shorten(dataset: Dataset, max_images: int | None) -> Dataset:
    """The first images of it; itself without a limit."""
    return dataset if max_images is None else FirstImages(dataset, max_images)


def _first(path: str, splits: Sequence[str], opener: Opener) -> Dataset | None:
    for split in splits:
        with suppress(SplitError):
            return opener(path, split)
    return None
