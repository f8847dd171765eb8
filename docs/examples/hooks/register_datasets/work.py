from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.columns import columns_of_records
from anydet.data.record.pixels import ImageFile
from anydet.plugins import ClassTable, Record
from anydet.types import Labels

NAME = "boxes.lines"


@dataclass(frozen=True, eq=False)
class BoxLines(BaseDataset):
    """A file boxes.lines beside the images; a line is ``image class x y width height``."""

    root: Path
    split: str = ""

    @cached_property
    def lines(self):
        return [line.split() for line in (self.root / NAME).read_text("utf-8").splitlines()]

    @cached_property
    def keys(self):
        return tuple(sorted(path.name for path in self.root.glob("*.png")))

    @cached_property
    def classes(self):
        return ClassTable(tuple(sorted({line[1] for line in self.lines})))

    @property
    def note(self):
        return f"{len(self)} images"

    @property
    def source(self):
        return NAME

    def record(self, position):
        key = self.keys[position]
        boxes = np.array(self._boxes(key), np.float64).reshape(-1, 4)
        ids = np.array([self.classes.names.index(line[1]) for line in self.lines if line[0] == key], np.int64)
        crowd = np.zeros(len(ids), np.bool_)
        labels = Labels(ids, boxes, boxes[:, 2] * boxes[:, 3], crowd)
        return Record(key, ImageFile(self.root / key), path=self.root / key, labels=labels)

    def ground_truth(self, max_images=None):
        records = map(self.record, range(len(self))[:max_images])
        return columns_of_records(((record, record.size_wh) for record in records), self.classes, self.source)

    def annotations_of_all(self):
        yield (self.root / NAME).read_bytes()

    def _boxes(self, key):
        return [[float(number) for number in line[2:]] for line in self.lines if line[0] == key]


class Format:
    name = "box-lines"

    def matches(self, path):
        return (path / NAME).is_file()

    def open(self, path, split, images):
        return BoxLines(path)


FORMAT = Format()
