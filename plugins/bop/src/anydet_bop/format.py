"""BOP data sets: ``<split>/000001/rgb/000002.png`` beside ``000001/scene_gt.json``, and ``models/``.

Source: bop_toolkit, ``docs/bop_datasets_format.md``. Reading is imported when there is something to read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anydet.data.dataset.splits import choose_split
from anydet_bop.layout import find_scenes, find_splits

if TYPE_CHECKING:
    from anydet.types import ObjectModel
    from anydet_bop.dataset import BopDataset


class BopFormat:
    """A folder of splits, or a split, which is a folder of scenes called by their numbers."""

    name = "bop"

    def matches(self, path: Path) -> bool:
        """Whether there is a scene in it, or in one of its folders."""
        return path.is_dir() and bool(find_scenes(path) or find_splits(path))

    def open(self, path: Path, split: str | None, images: Path | None) -> BopDataset:
        """Open one split.

        Raises:
            DatasetError: that names file, image and object of what is malformed or missing.
        """
        if find_scenes(path):
            path = path.absolute()  # which has a name, and a folder above it
            path, chosen = path.parent, choose_split(path, [path.name], split or path.name)
        else:
            chosen = choose_split(path, find_splits(path), split)
        from anydet_bop.opening import open_split

        return open_split(path, chosen, images)

    def read_models(self, folder: Path) -> dict[int, ObjectModel]:
        """The models of a folder by object id, in meters; see ``models.read_models``."""
        from anydet_bop.models import read_models

        return read_models(folder)


FORMAT = BopFormat()
