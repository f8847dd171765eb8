"""Data sets of squares, without files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import strategies as st

from anydet.data.dataset.objects import LabeledImage, LabeledObject, table_of
from anydet.data.dataset.table import TableDataset

NAMES = ("cat", "dog", "bird")
Objects = Sequence[tuple[str, float]]
"""Class and side in pixels of each object of an image."""


def dataset(images: Mapping[str, Objects], names: Sequence[str] = NAMES, root: str = "data") -> TableDataset:
    """A data set without files: objects are squares."""
    rows = [
        LabeledImage(key, (640, 480), [LabeledObject(name, (1.0, 2.0, side, side)) for name, side in objects])
        for key, objects in images.items()
    ]
    return TableDataset(Path(root), "val", "split val", "test", Path(root), table_of(rows, names), ())


objects = st.lists(st.tuples(st.sampled_from(NAMES), st.floats(1, 100).map(round).map(float)), max_size=4)
keys = st.from_regex(r"[abc]/[a-z0-9]{1,4}\.jpg", fullmatch=True)
many_images = st.dictionaries(keys, objects, min_size=1, max_size=12)
