"""The format of Pascal VOC; reading is imported when there is something to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anydet.data.voc.layout import find_layout, has_label_files, is_voc, placed, releases
from anydet.errors import DatasetError

if TYPE_CHECKING:
    from anydet.data.dataset.table import TableDataset


class VocFormat:
    """A folder with VOC's XML files, that folder itself, or one XML file."""

    name = "voc"

    def matches(self, path: Path) -> bool:
        """Whether it is such a file or folder; label files of YOLO in ``labels/`` go first."""
        if path.is_file():
            return path.suffix.lower() == ".xml" and is_voc(path)
        if not path.is_dir() or has_label_files(path / "labels"):
            return False
        return bool(releases(path)) or next(placed(path), None) is not None

    def open(self, path: Path, split: str | None, images: Path | None) -> TableDataset:
        """Open one split; images are in ``images``, or where the layout has them."""
        from anydet.data.voc.reading import read_file, read_layout

        if path.is_file():
            if split is not None:
                raise DatasetError(f"{path}: one file has no splits", fix="leave out --split")
            return read_file(path, images)
        return read_layout(path, find_layout(path, split, images), named=images is not None)

    def naming(self, path: Path) -> Path:
        """What to name in place of a folder that has other layouts, too: the folder of the XML files."""
        return next(placed(path), (path, "", path))[0]


FORMAT = VocFormat()
