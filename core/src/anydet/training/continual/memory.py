"""What DER++ replays: a reservoir that a run fills by itself, or the records whose sidecars name npz files.

Random choices are drawn from generators of the run's seed and a number: the step, or how many images were
seen. So no state of a generator need be saved, and all processes choose the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.training.batches.loading import map_tensors
from anydet.training.batches.samples import sample_of
from anydet.training.continual.stored import Stored, read_answer
from anydet.training.first_weights import Names

_DRAWN, _SEEN = 1, 2
"""Keys of the two kinds of random choices."""


class Memory(ABC):
    """Images with labels and answers, of which some are drawn in each step."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def __getitem__(self, place: int) -> Stored:
        """The one at a place; raises as ``sample_of`` and ``read_answer``."""

    def draw(self, count: int, *, seed: int, step: int, number: int) -> list[int]:
        """Places of images to replay, without repetition where there are enough.

        Args:
            count: how many.
            seed: of the run.
            step: of the training.
            number: of the batch within the step.
        """
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_DRAWN, step, number)))
        found: list[int] = rng.choice(len(self), count, replace=len(self) < count).tolist()
        return found


class Reservoir(Memory):
    """A sample of all images that were seen, each of them in it with the same probability.

    Source: Vitter 1985, "Random Sampling with a Reservoir", algorithm R.

    Args:
        size: images that it holds at most.
        seed: of the run.

    Attributes:
        seen: images that were offered.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seen, self._seed = size, 0, seed
        self._kept: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, place: int) -> Stored:
        return Stored.from_plain(self._kept[place])

    def offer(self, keys: Sequence[str], store: Callable[[str], Stored]) -> None:
        """Show it images in their order; ``store`` is called with the key of each that is taken.

        One that takes another's place may lose it to a later one at once, and is not stored then.
        """
        taken: dict[int, str] = {}
        for key in keys:
            place = self.seen
            if place >= self.size:
                rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(_SEEN, self.seen)))
                place = int(rng.integers(self.seen + 1))
            self.seen += 1
            if place < self.size:
                taken[place] = key
        for place in sorted(taken):
            stored = store(taken[place]).plain()
            if place < len(self._kept):
                self._kept[place] = stored
            else:
                self._kept.append(stored)

    def state_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {"seen": self.seen, "kept": list(self._kept)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``; where it holds less than that had, its first images are kept."""
        # Checkpoints are loaded onto the model's device.
        kept = map_tensors(list(state["kept"])[: self.size], Tensor.cpu)
        self.seen, self._kept = state["seen"], kept


class NamedAnswers(Memory):
    """The records of a data set whose sidecars name an npz file of stored outputs.

    Args:
        dataset: what is trained on.
        key: of the sidecars.
        label_kinds: labels that are read; see ``samples.LABEL_KINDS``.
        names: of classes and states of the data set.
    """

    def __init__(self, dataset: Dataset, key: str, label_kinds: Any, names: Names) -> None:
        self._dataset, self._kinds, self._names = dataset, label_kinds, names
        self._files = {
            index: answer_path(record, dataset.root, value)
            for index, record in enumerate(dataset)
            if isinstance(value := record.extra.get(key), str) and value
        }
        self._indices = list(self._files)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, place: int) -> Stored:
        record = self._dataset[self._indices[place]]
        answer = read_answer(self._files[self._indices[place]], record.key)
        return Stored(sample_of(record, self._kinds), self._names, answer)


def answer_path(record: Record, root: Path, value: str) -> Path:
    """The file that a sidecar names: absolute, beside the image, or in the folder of the data set."""
    beside = [] if record.path is None else [record.path.parent / value]
    return next((path for path in beside if path.is_file()), root / value)
