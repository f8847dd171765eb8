"""An in-memory data set and an adapter whose results are read off the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray, ImageFile
from anydet.data.record.record import Record
from anydet.plugins.adapter import Adapter
from anydet.types import AdapterSettings, ClassTable, ImagePredictions


class Brightest(Adapter):
    """Boxes around each pixel above 200, scored by its value: enough to see order, flips and thresholds."""

    calls: list[list[str]]

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        self.calls = []
        self.bias = 0.0

    @property
    def classes(self) -> ClassTable:
        return ClassTable(("spot", "other"))

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        self.calls.append([r.key for r in records])
        for record in records:
            image = record.image()
            rows, columns = np.nonzero(image[:, :, 0] > 200)
            boxes = np.stack([columns, rows, columns + 1, rows + 1], axis=1).astype(np.float64)
            scores = np.clip(image[rows, columns, 0] / 255.0 + self.bias, 0, 1)
            yield ImagePredictions(record.key, record.size_wh, boxes, scores, np.zeros(len(boxes), np.int64))


@dataclass
class Spots:
    """``count`` dark 8x6 images with two bright pixels each; some broken."""

    count: int
    broken: frozenset[int] = frozenset()
    root: Path = Path("spots")
    split: str = "val"
    note: str = "split val"
    classes: ClassTable | None = field(default_factory=lambda: ClassTable(("spot", "other")))
    source: str = "none"

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(f"{i:03}.png" for i in range(self.count))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Record:
        key = f"{index:03}.png"
        if index in self.broken:
            return Record(key, ImageFile(Path("nowhere") / key))
        image = np.zeros((6, 8, 3), np.uint8)
        image[index % 6, index % 4] = 210 + index % 40
        image[(index + 2) % 6, 7] = 255
        return Record(key, ImageArray(image))

    def __iter__(self) -> Iterator[Record]:
        return (self[i] for i in range(self.count))

    def fingerprint(self) -> str:
        return f"sha256:{self.count}"


@pytest.fixture
def make_adapter():
    return lambda batch_size=4, **options: Brightest(AdapterSettings(batch_size=batch_size, options=options))


@pytest.fixture
def spots():
    return Spots
