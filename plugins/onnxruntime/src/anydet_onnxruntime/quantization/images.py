"""Which images are for what: none that a choice was made on counts for the number that is reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from anydet.data.dataset.base import SomeImages
from anydet.data.dataset.in_memory import kept
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.text import counted, listed

FEWEST = 4
"""Images to choose layers on and to report on, at least."""
_MOST_BYTES = 1 << 30
"""Of decoded images that are kept."""


@dataclass(frozen=True, eq=False)
class ChosenImages(SomeImages):
    """Some images of a data set, decoded once as long as there is room."""

    def record(self, position: int) -> Record:
        """An image; the first ones stay in memory."""
        if position in self._kept:
            return self._kept[position]
        record = super().record(position)
        if sum(self._bytes) < _MOST_BYTES:
            record = self._kept[position] = kept(record)
            self._bytes.append(record.pixels.read().nbytes)
        return record

    @cached_property
    def _kept(self) -> dict[int, Record]:
        return {}

    @cached_property
    def _bytes(self) -> list[int]:
        return []


@dataclass(frozen=True, slots=True)
class Images:
    """Three sets without an image in common.

    Attributes:
        calibration: ranges of activations are measured on.
        choice: decide which layers stay in float.
        held_out: decide nothing; what is reported is measured on them.
    """

    calibration: ChosenImages
    choice: ChosenImages
    held_out: ChosenImages


def divide(
    dataset: Dataset, evaluation: Dataset | None, *, calibration_images: int, max_images: int, seed: int
) -> Images:
    """Images for calibration, choice and report, drawn by a seed.

    Args:
        dataset: images for calibration; where there is no other data set, the rest of them is evaluated.
        evaluation: images for choice and report, half of them each.
        calibration_images: at most so many; of a data set that is for all, at most a quarter.
        max_images: at most so many for choice and report together.
        seed: of the draw.

    Raises:
        OptionError: the two have an image in common, or there are too few.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(dataset)).tolist()
    if evaluation is None:
        few = max(1, min(calibration_images, len(order) // 4))
        calibration, rest, source = order[:few], order[few:], dataset
    else:
        calibration, source = order[:calibration_images], evaluation
        rest = generator.permutation(len(evaluation)).tolist()
    rest = rest[:max_images]
    half = len(rest) // 2
    if not calibration or half < FEWEST:
        raise OptionError(
            f"{source.root}: {counted(len(rest), 'image')} to evaluate on are too few: half of them choose "
            f"layers, at least {FEWEST}, and the other half is for the report",
            fix="give --eval-dataset a data set with more images, or raise --max-images",
        )
    chosen = _chosen(dataset, calibration)
    if evaluation is not None:
        _require_disjoint(chosen, _chosen(evaluation, rest))
    return Images(chosen, _chosen(source, rest[:half]), _chosen(source, rest[half:]))


def repeated_images(images: Images) -> int:
    """How many images to evaluate on have the pixels of one of the calibration, whatever their names."""
    seen = set(_digests(images.calibration))
    return sum(digest in seen for part in (images.choice, images.held_out) for digest in _digests(part))


def _digests(images: ChosenImages) -> Iterator[bytes]:
    for at in range(len(images)):
        pixels = images[at].image()
        yield sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


def _chosen(dataset: Dataset, positions: Sequence[int]) -> ChosenImages:
    # The order of the data set, so that files of it are read in theirs.
    return ChosenImages(dataset, tuple(sorted(positions)))


def _require_disjoint(calibration: ChosenImages, evaluation: ChosenImages) -> None:
    """Refuse images, by where their pixels come from, that are in both."""
    places = {key: at for at, key in enumerate(evaluation.keys)}
    common = [
        key
        for at, key in enumerate(calibration.keys)
        if key in places and _pixels(calibration, at) == _pixels(evaluation, places[key])
    ]
    if common:
        raise OptionError(
            f"--dataset and --eval-dataset have {counted(len(common), 'image')} in common "
            f"({listed(common, 3)}): AP on images of the calibration says too much",
            fix="leave --eval-dataset out, and the images of --dataset are divided",
        )


def _pixels(images: ChosenImages, at: int) -> object:
    return images.dataset[images.positions[at]].pixels
